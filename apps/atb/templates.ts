import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../adapters/process/project-root';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import { Unreachable, UsageError } from './refusal';

/** A mandate template (operating model §4): a legal ground, and the claims of `leg` that it needs. */
export interface Template {
  readonly name: string;
  readonly basis: string;
  readonly title: string;
  readonly source: string;
  readonly fields: readonly TemplateField[];
}

export interface TemplateField {
  readonly name: string;
  readonly required: boolean;
  readonly description: string;
  readonly example: string;
  /** What the value must match, whole. */
  readonly pattern: string | undefined;
}

/** What every legal ground needs beside its own claims (operating model §3). */
const EVERY_GROUND: readonly TemplateField[] = [
  {
    name: 'jurisdiction',
    required: true,
    description: 'Whose law: an ISO 3166 country, or EU',
    example: 'EU',
    pattern: '[A-Z]{2}',
  },
  {
    name: 'accountable_party',
    required: true,
    description: 'Who answers for it, as type:id',
    example: 'employee:emp-100',
    pattern: '[^:]+:.+',
  },
];

/** The templates of the policy data that this program was delivered with. Throws `Unreachable` where there are none. */
export function localTemplates(folder = join(projectRoot(), 'policy', 'dist')): readonly Template[] {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(join(folder, 'data.json'), 'utf8'));
  } catch (cause) {
    throw new Unreachable('this installation has no policy data, and so no templates', { cause });
  }
  return templatesOf(isJsonObject(data) ? data.templates : undefined);
}

export function templatesOf(templates: Json | undefined): readonly Template[] {
  return Object.entries(isJsonObject(templates) ? templates : {}).map(([name, value]) => {
    const { basis, title, source, required, optional, fields } = isJsonObject(value) ? value : {};
    const described = isJsonObject(fields) ? fields : {};
    const field =
      (demanded: boolean) =>
      (member: string): TemplateField => {
        const { description, example, pattern } = isJsonObject(described[member]) ? described[member] : {};
        return {
          ...{ name: member, required: demanded, description: text(description), example: text(example) },
          pattern: typeof pattern === 'string' ? pattern : undefined,
        };
      };
    return {
      ...{ name, basis: text(basis), title: text(title), source: text(source) },
      fields: [...EVERY_GROUND, ...texts(required).map(field(true)), ...texts(optional).map(field(false))],
    };
  });
}

/** The `leg` of a template. Throws `UsageError` with everything that is missing, unknown or malformed. */
export function filledIn(
  { name, basis, fields }: Template,
  values: Readonly<Record<string, string>>,
): JsonObject {
  const faults = [
    ...Object.keys(values)
      .filter((given) => !fields.some((field) => field.name === given))
      .map((given) => `${given} is no field of ${name}`),
    ...fields.flatMap((field) => faultOf(field, values[field.name])),
  ];
  if (faults.length > 0) throw new UsageError(faults.join('; '));
  const claims = Object.entries(values).map(([field, value]): [string, Json] => {
    if (field !== 'accountable_party') return [field, value];
    const at = value.indexOf(':');
    return [field, { type: value.slice(0, at), id: value.slice(at + 1) }];
  });
  return { basis, ...Object.fromEntries(claims) };
}

function faultOf(
  { name, required, description, example, pattern }: TemplateField,
  value: string | undefined,
): string[] {
  if (value === undefined || value.trim() === '') {
    return required || value !== undefined
      ? [`${name} is missing (${description}; for example ${example})`]
      : [];
  }
  const matches = pattern === undefined || new RegExp(`^(?:${pattern})$`, 'su').test(value);
  return matches ? [] : [`${name} must look like ${example} (${description})`];
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function texts(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}
