import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { parseAssignments, parseJson } from './assignment';
import { UsageError } from './refusal';

export interface RequestOptions {
  readonly file?: string;
  readonly param: readonly string[];
  readonly limit: readonly string[];
  readonly legFile?: string;
  readonly basis?: string;
  readonly ref?: string;
  readonly description?: string;
  readonly jurisdiction?: string;
  readonly accountable?: string;
  readonly dataSubject?: string;
  readonly purpose?: string;
  readonly justification?: string;
  readonly ticket?: string;
  readonly dualControl?: boolean;
  readonly approver: readonly string[];
  readonly ttl?: string;
  readonly reversal?: boolean;
}

const collect = (value: string, before: readonly string[]) => [...before, value];

/** The options that make up a body of POST /issue and POST /plan. */
export function withRequestOptions(command: Command): Command {
  return withGroundOptions(
    command
      .option('--file <file>', 'the whole body as JSON, instead of all the others (- is stdin)')
      .option(
        '--param <name=value>',
        'what exactly will be done; name:=json for numbers; repeatable',
        collect,
        [],
      ),
  );
}

/** The options that say why, on which legal ground and within which limits; not what is done. */
export function withGroundOptions(command: Command): Command {
  return command
    .option('--limit <name:=json>', "a narrower ceiling than policy's; repeatable", collect, [])
    .option('--leg-file <file>', 'the legal ground as JSON (- is stdin)')
    .option('--basis <basis>', 'legal ground: LI, CONTRACT, CONSENT, LEGAL')
    .option('--ref <reference>', 'legal ground: the document that it rests on')
    .option('--description <text>', 'legal ground: in words')
    .option('--jurisdiction <code>', 'legal ground: for example EU')
    .option('--accountable <type:id>', 'legal ground: the accountable party, for example employee:emp-100')
    .option('--data-subject <id>', 'legal ground CONSENT: whose consent')
    .option('--purpose <text>', 'legal ground CONSENT: to what')
    .option('--justification <text>', 'why; the approvers read it')
    .option('--ticket <id>', 'the change or incident that this belongs to')
    .option('--dual-control', 'ask for two approvers even where policy does not')
    .option('--approver <id>', 'nominate an approver: a SPIFFE ID or person/NAME; two or more', collect, [])
    .option('--ttl <seconds>', "a shorter lifetime of the mandate than policy's")
    .option('--reversal', 'have the broker undo it if the system fails after it has committed');
}

/**
 * The body of POST /issue. `ownId` completes short names of approvers with its trust domain. Throws `UsageError`; what
 * policy will say of it is AgentAuth's to answer.
 */
export async function requestBody(
  action: string | undefined,
  options: RequestOptions,
  ownTrustDomain: string,
  input: () => Promise<string>,
): Promise<JsonObject> {
  const leg = await legalGround(options, input);
  const built: JsonObject = {
    ...(action !== undefined && { act: action }),
    ...constraints(options),
    ...(Object.keys(leg).length > 0 && { leg }),
    ...(options.justification !== undefined && { justification: options.justification }),
    ...(options.ticket !== undefined && { ticket: options.ticket }),
    ...(options.dualControl === true && { requires_dual_control: true }),
    ...(options.approver.length > 0 && {
      approvers: options.approver.map((approver) => spiffeId(approver, ownTrustDomain)),
    }),
    ...(options.ttl !== undefined && { ttl_seconds: parseJson('--ttl', options.ttl) }),
    ...(options.reversal === true && { reversal: true }),
  };
  if (options.file !== undefined) {
    if (Object.keys(built).length > 0)
      throw new UsageError('--file is the whole body; nothing else goes with it');
    return parseObject('--file', await contentOf(options.file, input));
  }
  if (action === undefined)
    throw new UsageError('which action? for example: atb request crm.contact.read, or --file');
  return built;
}

function constraints({ param, limit }: RequestOptions): JsonObject {
  const params = parseAssignments('--param', param);
  const limits = parseAssignments('--limit', limit);
  if (param.length + limit.length === 0) return {};
  return { con: { params, ...(limit.length > 0 && { limits }) } };
}

async function legalGround(options: RequestOptions, input: () => Promise<string>): Promise<JsonObject> {
  const { basis, ref, description, jurisdiction, accountable, dataSubject, purpose, legFile } = options;
  const given: Readonly<Record<string, Json | undefined>> = {
    basis,
    ref,
    description,
    jurisdiction,
    accountable_party: accountable === undefined ? undefined : accountableParty(accountable),
    data_subject: dataSubject,
    purpose,
  };
  const fromFile = legFile === undefined ? {} : parseObject('--leg-file', await contentOf(legFile, input));
  const leg: Record<string, Json> = { ...fromFile };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (Object.hasOwn(leg, name)) throw new UsageError(`${name} stands both in --leg-file and in an option`);
    leg[name] = value;
  }
  return leg;
}

function accountableParty(text: string): JsonObject {
  const [, type, id] = /^([^:]+):(.+)$/s.exec(text) ?? [];
  if (type === undefined || id === undefined) {
    throw new UsageError('--accountable is type:id, for example employee:emp-100');
  }
  return { type, id };
}

function spiffeId(approver: string, trustDomain: string): string {
  return approver.startsWith('spiffe://') ? approver : `spiffe://${trustDomain}/${approver}`;
}

function parseObject(what: string, content: string): JsonObject {
  const value = parseJson(what, content);
  if (!isJsonObject(value)) throw new UsageError(`${what}: a JSON object, please`);
  return value;
}

/** A file's content, or stdin's for `-`. Throws `UsageError`. */
export async function contentOf(file: string, input: () => Promise<string>): Promise<string> {
  if (file === '-') return input();
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${file} cannot be read`, { cause });
  }
}
