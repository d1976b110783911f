import { dirname, resolve } from 'node:path';
import { AtbError } from '../../domain/error';
import { readConfiguration } from '../json-schema';

/** What may be done to production, by names; docs/changes.md describes the file. */
export interface OperationDefinitions {
  readonly operations: Readonly<Record<string, OperationDefinition>>;
  readonly checks: Readonly<Record<string, CheckDefinition>>;
}

export interface Allowed {
  /** By parameter: the whole text must match. */
  readonly parameters: Readonly<Record<string, string>>;
  /** What it changes: of the operations that share one, one change runs at a time. Its own name unless told. */
  readonly target?: string;
}

/** A program with arguments, never a shell. */
export interface CommandDefinition {
  readonly program: string;
  /** `{name}` stands for a parameter, `{percent}` for the share. */
  readonly arguments: readonly string[];
  readonly timeout_seconds: number;
  /** All that the program's environment has, but for PATH, ATB_CHANGE, ATB_PERCENT and ATB_FENCE. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A commit that Argo CD or Flux picks up. */
export interface CommitDefinition {
  readonly repository: string;
  readonly branch: string;
  /** A JSON or YAML file in the repository. */
  readonly file: string;
  /** What it says afterwards, by RFC 6901 pointer. */
  readonly set: Readonly<Record<string, string>>;
  readonly author: { readonly name: string; readonly email: string };
  readonly timeout_seconds: number;
  /** For git: where an SSH key is, for example. */
  readonly environment?: Readonly<Record<string, string>>;
}

export type OperationDefinition =
  | (Allowed & CommandDefinition & { readonly kind: 'command'; readonly repeatable: boolean })
  | (Allowed & CommitDefinition & { readonly kind: 'commit' });

export interface HttpCheck {
  readonly url: string;
  readonly status: number;
  readonly timeout_seconds: number;
  readonly ca_file?: string;
}

export interface PrometheusCheck {
  /** The server's base URL. */
  readonly url: string;
  /** PromQL whose answer is one number. */
  readonly query: string;
  readonly at_most?: number;
  readonly at_least?: number;
  readonly timeout_seconds: number;
  readonly ca_file?: string;
}

export type CheckDefinition =
  | (CommandDefinition & { readonly kind: 'command' })
  | (HttpCheck & { readonly kind: 'http' })
  | (PrometheusCheck & { readonly kind: 'prometheus' });

const TEXT = { type: 'string', minLength: 1 };
const TEXTS = { type: 'object', additionalProperties: TEXT };
const STRINGS = { type: 'object', additionalProperties: { type: 'string' } };
const NAME = { type: 'string', pattern: '^[a-z][a-z0-9_-]{0,62}$' };
const URL_TEXT = { type: 'string', pattern: '^https?://[^/?#@]+(/.*)?$' };
const ABSOLUTE = { type: 'string', pattern: '^/' };
const INSIDE = { type: 'string', pattern: '^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$' };
const seconds = (most: number) => ({ type: 'integer', minimum: 1, maximum: most });

const COMMAND = {
  program: ABSOLUTE,
  arguments: { type: 'array', items: { type: 'string' } },
  timeout_seconds: seconds(3_600),
  environment: STRINGS,
};
const COMMAND_NEEDS = ['program', 'arguments', 'timeout_seconds'];

const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  ...object(
    {
      operations: {
        type: 'object',
        propertyNames: NAME,
        additionalProperties: {
          oneOf: [
            object(
              {
                kind: { const: 'command' },
                parameters: TEXTS,
                target: NAME,
                repeatable: { type: 'boolean' },
                ...COMMAND,
              },
              [...['kind', 'parameters', 'repeatable'], ...COMMAND_NEEDS],
            ),
            object(
              {
                kind: { const: 'commit' },
                parameters: TEXTS,
                target: NAME,
                repository: TEXT,
                branch: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]*$' },
                file: INSIDE,
                set: {
                  type: 'object',
                  minProperties: 1,
                  propertyNames: { type: 'string', pattern: '^(/([^/~]|~[01])+)+$' },
                  additionalProperties: { type: 'string' },
                },
                author: object({ name: TEXT, email: TEXT }, ['name', 'email']),
                timeout_seconds: seconds(3_600),
                environment: STRINGS,
              },
              ['kind', 'parameters', 'repository', 'branch', 'file', 'set', 'author', 'timeout_seconds'],
            ),
          ],
        },
      },
      checks: {
        type: 'object',
        propertyNames: NAME,
        additionalProperties: {
          oneOf: [
            object({ kind: { const: 'command' }, ...COMMAND }, ['kind', ...COMMAND_NEEDS]),
            object(
              {
                kind: { const: 'http' },
                url: URL_TEXT,
                status: { type: 'integer', minimum: 100, maximum: 599 },
                timeout_seconds: seconds(300),
                ca_file: TEXT,
              },
              ['kind', 'url', 'status', 'timeout_seconds'],
            ),
            object(
              {
                kind: { const: 'prometheus' },
                url: URL_TEXT,
                query: TEXT,
                at_most: { type: 'number' },
                at_least: { type: 'number' },
                timeout_seconds: seconds(300),
                ca_file: TEXT,
              },
              ['kind', 'url', 'query', 'timeout_seconds'],
            ),
          ],
        },
      },
    },
    ['operations', 'checks'],
  ),
};

function object(properties: Record<string, unknown>, required: readonly string[]) {
  return { type: 'object', additionalProperties: false, properties, required };
}

const PLACEHOLDER = /\{([a-z][a-z0-9_-]*)\}/g;

/** Throws `configuration_invalid` where the file is not of the form, or a placeholder stands for nothing. */
export async function readOperations(file: string): Promise<OperationDefinitions> {
  const definitions = await readConfiguration<OperationDefinitions>(file, SCHEMA);
  const faults: string[] = [];
  for (const [name, definition] of Object.entries(definitions.operations)) {
    const known = new Set(['percent', ...Object.keys(definition.parameters)]);
    const texts = definition.kind === 'command' ? definition.arguments : Object.values(definition.set);
    for (const unknown of placeholdersIn(texts).filter((one) => !known.has(one))) {
      faults.push(`${name} has no parameter ${unknown}`);
    }
    for (const [parameter, pattern] of Object.entries(definition.parameters)) {
      if (parameter === 'percent') faults.push(`${name} has percent of its own`);
      if (!compiles(pattern)) faults.push(`${name}: ${parameter} is no regular expression`);
    }
  }
  for (const [name, check] of Object.entries(definitions.checks)) {
    if (check.kind === 'command' && placeholdersIn(check.arguments).some((one) => one !== 'percent')) {
      faults.push(`${name} is a check, and has no parameters`);
    }
    if (check.kind === 'prometheus' && check.at_most === undefined && check.at_least === undefined) {
      faults.push(`${name} says neither at_most nor at_least`);
    }
  }
  if (faults.length > 0) throw new AtbError('configuration_invalid', `${file}: ${faults.join('; ')}`);
  return besides(file, definitions);
}

/** File names are told from where the file itself is. */
function besides(file: string, { operations, checks }: OperationDefinitions): OperationDefinitions {
  return {
    operations,
    checks: Object.fromEntries(
      Object.entries(checks).map(([name, check]) => [
        name,
        check.kind === 'command' || check.ca_file === undefined
          ? check
          : { ...check, ca_file: resolve(dirname(file), check.ca_file) },
      ]),
    ),
  };
}

function placeholdersIn(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => [...text.matchAll(PLACEHOLDER)].map(([, name = '']) => name));
}

/** A text with its placeholders filled in: what is put there is never looked at again. */
export function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(PLACEHOLDER, (_, name: string) => values[name] ?? '');
}

/** Whether a value is whole what the pattern allows. */
export function matches(pattern: string, value: string): boolean {
  return new RegExp(`^(?:${pattern})$`, 'u').test(value);
}

function compiles(pattern: string): boolean {
  try {
    return matches(pattern, '') || true;
  } catch {
    return false;
  }
}
