import type { RuleSet, SecretRule } from './rule-set';

const ALPHABETS: Readonly<Record<NonNullable<SecretRule['alphabet']>, RegExp>> = {
  alphanumeric: /[A-Za-z0-9]/,
  upper: /[A-Z0-9]/,
  hex: /[0-9a-f]/,
  word: /\w/,
  base64url: /[\w-]/,
  token: /[\w.-]/,
};
const WORD = /[A-Za-z0-9]/;

/** Finds credentials by their well-known shapes: a prefix and what may follow it, or a whole mark. */
export class SecretRules {
  constructor(private readonly rules: Pick<RuleSet, 'secrets' | 'scores'>) {}

  matches(text: string): readonly { readonly rule: string; readonly score: number }[] {
    const found = new Map<string, number>();
    for (const rule of this.rules.secrets) {
      if (!found.has(rule.id) && has(rule, text)) found.set(rule.id, this.rules.scores[rule.severity]);
    }
    return [...found].map(([rule, score]) => ({ rule, score }));
  }
}

function has({ literals = [], prefixes = [], alphabet, length }: SecretRule, text: string): boolean {
  if (literals.some((literal) => text.includes(literal))) return true;
  return (
    alphabet !== undefined &&
    length !== undefined &&
    prefixes.some((prefix) => follows(prefix, alphabet, length, text))
  );
}

function follows(
  prefix: string,
  alphabet: NonNullable<SecretRule['alphabet']>,
  { min, max }: NonNullable<SecretRule['length']>,
  text: string,
): boolean {
  const letters = ALPHABETS[alphabet];
  for (let at = text.indexOf(prefix); at !== -1;) {
    const begin = at + prefix.length;
    let end = begin;
    while (end < text.length && letters.test(text[end] ?? '')) end++;
    // A part of a longer word is none.
    const isWhole = at === 0 || !WORD.test(text[at - 1] ?? '');
    if (isWhole && end - begin >= min && end - begin <= max) return true;
    // What was looked at is not looked at again.
    at = text.indexOf(prefix, Math.max(end, at + 1));
  }
  return false;
}
