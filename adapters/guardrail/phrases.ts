import type { Guardrail, GuardrailFinding, GuardrailSubject } from '../../domain/guardrail';
import { isJsonObject } from '../../domain/json';
import type { Json } from '../../domain/json';

/** Characters that are not seen: zero-width, direction marks, soft hyphens, variation selectors, tags. */
const INVISIBLE = /[\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00-\ufe0f]/gu;

/**
 * The least that is always looked for: phrases that tell a model to disobey, in every text of a call however deeply it
 * is nested, names included. Texts are compared after compatibility folding, without invisible characters and doubled
 * spaces.
 */
export class PhraseGuardrail implements Guardrail {
  private readonly phrases: readonly string[];

  constructor(phrases: readonly string[]) {
    this.phrases = phrases.map(folded);
  }

  inspect(subject: GuardrailSubject): Promise<readonly GuardrailFinding[]> {
    const findings: GuardrailFinding[] = [];
    for (const [where, text] of textsOf(subject)) {
      const plain = folded(text);
      const phrase = this.phrases.find((candidate) => plain.includes(candidate));
      if (phrase !== undefined) findings.push({ rule: 'injection_phrase', where, score: 1, confirmed: true });
    }
    return Promise.resolve(findings);
  }
}

function folded(text: string): string {
  return text.normalize('NFKC').replace(INVISIBLE, '').replace(/\s+/g, ' ').toLowerCase();
}

function* textsOf({ path, query, headers, body }: GuardrailSubject): Generator<readonly [string, string]> {
  yield ['path', decodeURIComponent(path)];
  for (const [name, value] of query) yield [`query/${name}`, `${name} ${value}`];
  for (const [name, value] of headers) yield [`header/${name}`, value];
  yield* textsIn(body, '');
}

function* textsIn(value: Json, pointer: string): Generator<readonly [string, string]> {
  if (typeof value === 'string') yield [pointer, value];
  else if (Array.isArray(value)) {
    for (const [index, element] of (value as readonly Json[]).entries())
      yield* textsIn(element, `${pointer}/${index}`);
  } else if (isJsonObject(value)) {
    for (const [name, member] of Object.entries(value)) {
      const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      yield [at, name];
      yield* textsIn(member, at);
    }
  }
}
