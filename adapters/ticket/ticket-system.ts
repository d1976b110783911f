import { dirname, resolve } from 'node:path';
import { AtbError } from '../../domain/error';
import { readConfiguration } from '../json-schema';
import { PRESETS } from './presets';
import type { Expected, Preset } from './presets';

/** How tickets are looked up over HTTPS; docs/tickets.md describes the file. */
export interface TicketSystemConfiguration {
  /** An https URL with `{ticket}` where the id goes: in the path or the query, never in the host. */
  readonly url: string;
  /** The whole id must match; anything else is no ticket, and no call is made. */
  readonly ticketPattern: string;
  readonly authentication: TicketAuthentication;
  readonly caFile: string | undefined;
  /** Where the answer is a list: the pointer to it. It must then hold exactly one, and the pointers below start there. */
  readonly results: string | undefined;
  readonly id: string;
  readonly state: {
    readonly pointer: string;
    readonly open: readonly string[];
    readonly closed: readonly string[];
    readonly cancelled: readonly string[];
  };
  readonly approval: Expected | undefined;
  readonly window: { readonly start: string; readonly end: string } | undefined;
  /** By the fact that it proves. */
  readonly attests: Readonly<Record<string, Expected>>;
  /** For a look-up with its retries. Policy may be asked three times within a step of seven seconds. */
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly maxResponseBytes: number;
}

/** Secrets stand in files, which are read at each call: they may be replaced at any time. */
export type TicketAuthentication =
  | { readonly type: 'bearer'; readonly tokenFile: string }
  | { readonly type: 'basic'; readonly username: string; readonly passwordFile: string }
  | { readonly type: 'header'; readonly name: string; readonly valueFile: string };

/** The file as written. What it leaves out, a preset says. */
interface TicketSystemFile {
  readonly preset?: keyof typeof PRESETS;
  readonly base_url?: string;
  readonly url?: string;
  readonly ticket_pattern?: string;
  readonly authentication:
    | { readonly type: 'bearer'; readonly token_file: string }
    | { readonly type: 'basic'; readonly username: string; readonly password_file: string }
    | { readonly type: 'header'; readonly name: string; readonly value_file: string };
  readonly ca_file?: string;
  readonly results?: string;
  readonly id?: string;
  readonly state?: {
    readonly pointer: string;
    readonly open: readonly string[];
    readonly closed?: readonly string[];
    readonly cancelled?: readonly string[];
  };
  readonly approval?: Expected;
  readonly window?: { readonly start: string; readonly end: string };
  readonly attests?: Readonly<Record<string, Expected>>;
  readonly timeout_ms?: number;
  readonly attempts?: number;
  readonly max_response_bytes?: number;
}

const TEXT = { type: 'string', minLength: 1 };
const TEXTS = { type: 'array', items: TEXT };
const SOME_TEXTS = { ...TEXTS, minItems: 1 };
const POINTER = { type: 'string', pattern: '^(/([^/~]|~[01])*)+$' };
const EXPECTED = object({ pointer: POINTER, accepted: SOME_TEXTS }, ['pointer', 'accepted']);

const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  ...object(
    {
      preset: { enum: Object.keys(PRESETS) },
      base_url: { type: 'string', pattern: '^https://[^/?#@]+$' },
      url: { type: 'string', pattern: '^https://[^/?#@{}]+/.*\\{ticket\\}' },
      ticket_pattern: TEXT,
      authentication: {
        oneOf: [
          object({ type: { const: 'bearer' }, token_file: TEXT }, ['type', 'token_file']),
          object({ type: { const: 'basic' }, username: TEXT, password_file: TEXT }, [
            'type',
            'username',
            'password_file',
          ]),
          object(
            {
              type: { const: 'header' },
              name: { type: 'string', pattern: '^[A-Za-z0-9-]+$' },
              value_file: TEXT,
            },
            ['type', 'name', 'value_file'],
          ),
        ],
      },
      ca_file: TEXT,
      results: POINTER,
      id: POINTER,
      state: object({ pointer: POINTER, open: SOME_TEXTS, closed: TEXTS, cancelled: TEXTS }, [
        'pointer',
        'open',
      ]),
      approval: EXPECTED,
      window: object({ start: POINTER, end: POINTER }, ['start', 'end']),
      attests: { type: 'object', additionalProperties: EXPECTED },
      timeout_ms: { type: 'integer', minimum: 100, maximum: 2_000 },
      attempts: { type: 'integer', minimum: 1, maximum: 5 },
      max_response_bytes: { type: 'integer', minimum: 1_024, maximum: 4_194_304 },
    },
    ['authentication'],
  ),
};

function object(properties: Readonly<Record<string, unknown>>, required: readonly string[]) {
  return { type: 'object', properties, required, additionalProperties: false };
}

/** Reads the file of a ticket system. Throws `configuration_invalid`. */
export async function readTicketSystem(file: string): Promise<TicketSystemConfiguration> {
  const written = await readConfiguration<TicketSystemFile>(file, SCHEMA);
  const preset: Preset | undefined = written.preset && PRESETS[written.preset];
  if (preset && written.url === undefined && written.base_url === undefined)
    fault(file, 'base_url is missing');
  const url = written.url ?? (preset && `${written.base_url ?? ''}${preset.path}`);
  const { ticket_pattern = preset?.ticketPattern, id = preset?.id, state = preset?.state } = written;
  if (url === undefined || ticket_pattern === undefined || id === undefined || state === undefined) {
    return fault(file, 'without a preset it needs url, ticket_pattern, id and state');
  }
  try {
    new RegExp(ticket_pattern, 'u');
  } catch {
    fault(file, 'ticket_pattern is no regular expression');
  }
  const beside = (path: string) => resolve(dirname(file), path);
  return {
    url,
    ticketPattern: ticket_pattern,
    authentication: authentication(written.authentication, beside),
    caFile: written.ca_file === undefined ? undefined : beside(written.ca_file),
    results: written.results ?? preset?.results,
    id,
    state: {
      pointer: state.pointer,
      open: state.open,
      closed: state.closed ?? [],
      cancelled: state.cancelled ?? [],
    },
    approval: written.approval ?? preset?.approval,
    window: written.window ?? preset?.window,
    attests: written.attests ?? {},
    timeoutMs: written.timeout_ms ?? 2_000,
    attempts: written.attempts ?? 3,
    maxResponseBytes: written.max_response_bytes ?? 262_144,
  };
}

function authentication(
  written: TicketSystemFile['authentication'],
  beside: (path: string) => string,
): TicketAuthentication {
  switch (written.type) {
    case 'bearer':
      return { type: 'bearer', tokenFile: beside(written.token_file) };
    case 'basic':
      return { type: 'basic', username: written.username, passwordFile: beside(written.password_file) };
    case 'header':
      return { type: 'header', name: written.name, valueFile: beside(written.value_file) };
  }
}

function fault(file: string, what: string): never {
  throw new AtbError('configuration_invalid', `${file}: ${what}`);
}
