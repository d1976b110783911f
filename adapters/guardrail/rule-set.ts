import type { Classification, Handling } from '../../domain/connector';
import { readConfiguration } from '../json-schema';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import type { PERSONAL_FORMS } from './personal-data';
import schema from './guardrails.schema.json';

export type Severity = 'low' | 'medium' | 'high' | 'critical';
type ByClassification = Readonly<Record<Classification, Handling>>;

export interface InjectionRule {
  readonly id: string;
  readonly severity: Severity;
  /** Steps in their order; a step is one of its words, `@name` for those of a list. */
  readonly sequence?: readonly (readonly string[])[];
  readonly gap?: number;
  readonly literals?: readonly string[];
}

export interface SecretRule {
  readonly id: string;
  readonly severity: Severity;
  readonly prefixes?: readonly string[];
  readonly alphabet?: 'alphanumeric' | 'upper' | 'hex' | 'word' | 'base64url' | 'token';
  readonly length?: { readonly min: number; readonly max: number };
  readonly literals?: readonly string[];
}

export interface PersonalRule {
  readonly id: string;
  readonly severity: Severity;
  readonly form: keyof typeof PERSONAL_FORMS;
}

/** What the guardrails look for; guardrails.schema.json says what each member means. */
export interface RuleSet {
  readonly version: string;
  readonly limits: {
    readonly characters: number;
    readonly texts: number;
    readonly decoding_depth: number;
    readonly decoded_characters: number;
    readonly calls_per_minute: number;
  };
  readonly scores: Readonly<Record<Severity, number>>;
  readonly confirmed_at: number;
  readonly handling: { readonly secrets: ByClassification; readonly personal_data: ByClassification };
  readonly injection: {
    readonly words: Readonly<Record<string, readonly string[]>>;
    readonly fillers: readonly string[];
    readonly rules: readonly InjectionRule[];
  };
  readonly secrets: readonly SecretRule[];
  readonly personal_data: readonly PersonalRule[];
  readonly hidden_text: { readonly severity: Severity; readonly characters: number };
}

/** Reads a rule set. Throws `configuration_invalid`: there is no start with rules that cannot be read. */
export async function readRuleSet(file: string): Promise<RuleSet> {
  const rules = await readConfiguration<RuleSet>(file, schema);
  const named = rules.injection.rules.flatMap(({ sequence }) => (sequence ?? []).flat());
  const unknown = named.find(
    (word) => word.startsWith('@') && !Object.hasOwn(rules.injection.words, word.slice(1)),
  );
  if (unknown !== undefined)
    throw new AtbError('configuration_invalid', `${file}: there is no list ${unknown}`);
  return rules;
}

/** Another digest, other rules. */
export function ruleSetDigest(rules: RuleSet): string {
  return sha256Base64url(canonicalJson(rules));
}
