import type { Guardrail, GuardrailFinding, GuardrailSubject } from '../../domain/guardrail';
import { isJsonObject } from '../../domain/json';
import type { Json } from '../../domain/json';
import { decodedOnce } from './encodings';
import { InjectionRules } from './injection';
import { PERSONAL_FORMS } from './personal-data';
import { hiddenCharacters, plain, visible } from './plain-text';
import type { RuleSet } from './rule-set';
import { SecretRules } from './secrets';

/** What one place tells is worth this much less when it takes several places to tell it. */
const SPREAD_SHARE = 0.6;
const EVERYWHERE = '';

/**
 * Looks at every text of a call or an answer, however deeply nested, names included, as it looks to a reader and with
 * its encodings undone, for orders to models, secrets and personal data. A rule set says which and what follows. Takes
 * time in proportion to what it is given, and is given no more than the rule set's limits.
 */
export class RuleGuardrail implements Guardrail {
  private readonly injection: InjectionRules;
  private readonly secrets: SecretRules;

  constructor(private readonly rules: RuleSet) {
    this.injection = new InjectionRules(rules);
    this.secrets = new SecretRules(rules);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- async turns what is thrown into a rejection.
  async inspect(subject: GuardrailSubject): Promise<readonly GuardrailFinding[]> {
    const { limits } = this.rules;
    const texts: (readonly [string, string])[] = [];
    let characters = 0;
    for (const text of textsOf(subject)) {
      characters += text[1].length;
      texts.push(text);
      if (characters > limits.characters || texts.length > limits.texts) return [tooMuch(text[0])];
    }
    const look = new Look(this.rules, subject, this.injection, this.secrets);
    for (const [where, text] of texts) look.at(where, text);
    if (texts.length > 1) look.across(texts.map(([, text]) => text).join(' '));
    return look.findings;
  }
}

/** One look at one call. */
class Look {
  readonly findings: GuardrailFinding[] = [];
  private decodedLeft: number;

  constructor(
    private readonly rules: RuleSet,
    private readonly subject: GuardrailSubject,
    private readonly injection: InjectionRules,
    private readonly secrets: SecretRules,
  ) {
    this.decodedLeft = rules.limits.decoded_characters;
  }

  /** A text and what it becomes when its encodings are undone, one within the other. */
  at(where: string, text: string): void {
    const injections = new Map<string, number>();
    let views: readonly string[] = [text];
    for (let depth = 0; views.length > 0; depth++) {
      for (const view of views) this.view(where, view, injections);
      views = [...new Set(views.flatMap(decodedOnce))];
      if (views.length === 0) break;
      if (depth === this.rules.limits.decoding_depth) {
        this.add({ kind: 'injection', rule: 'encoded_too_deep', where, score: this.rules.scores.high });
        break;
      }
      this.decodedLeft -= views.reduce((sum, { length }) => sum + length, 0);
      if (this.decodedLeft < 0) {
        this.findings.push(tooMuch(where));
        break;
      }
    }
    for (const [rule, score] of injections) this.add({ kind: 'injection', rule, where, score });
    const together = 1 - [...injections.values()].reduce((doubt, score) => doubt * (1 - score), 1);
    if (injections.size > 1 && together >= this.rules.confirmed_at)
      this.add({ kind: 'injection', rule: 'injection_combined', where, score: together });
  }

  /** What only shows when all texts are read one after the other: recorded, never confirmed by that alone. */
  across(text: string): void {
    const known = new Set(this.findings.map(({ rule }) => rule));
    for (const { rule, score } of this.injection.matches(`\n${plain(visible(text))}`)) {
      if (known.has(rule)) continue;
      this.findings.push({
        kind: 'injection',
        rule,
        where: EVERYWHERE,
        score: score * SPREAD_SHARE,
        confirmed: false,
      });
    }
  }

  private view(where: string, view: string, injections: Map<string, number>): void {
    const seen = visible(view);
    for (const { rule, score } of this.injection.matches(`\n${plain(seen)}`)) injections.set(rule, score);
    const { hidden_text: hidden, scores } = this.rules;
    if (hiddenCharacters(view) >= hidden.characters) injections.set('hidden_text', scores[hidden.severity]);
    const { secrets, personalData } = this.subject.handling;
    if (secrets !== 'pass') {
      for (const { rule, score } of this.secrets.matches(seen)) {
        const confirmed = secrets === 'block' && score >= this.rules.confirmed_at;
        this.once({ kind: 'secret', rule, where, score, confirmed });
      }
    }
    if (personalData === 'pass') return;
    for (const { id, severity, form } of this.rules.personal_data) {
      if (!PERSONAL_FORMS[form](seen)) continue;
      const confirmed = personalData === 'block';
      this.once({ kind: 'personal', rule: id, where, score: scores[severity], confirmed });
    }
  }

  private add(finding: Omit<GuardrailFinding, 'confirmed'>): void {
    this.findings.push({ ...finding, confirmed: finding.score >= this.rules.confirmed_at });
  }

  private once(finding: GuardrailFinding): void {
    const isKnown = this.findings.some(({ rule, where }) => rule === finding.rule && where === finding.where);
    if (!isKnown) this.findings.push(finding);
  }
}

function tooMuch(where: string): GuardrailFinding {
  return { kind: 'size', rule: 'too_much_to_inspect', where, score: 1, confirmed: true };
}

function* textsOf({ path, query, headers, body }: GuardrailSubject): Generator<readonly [string, string]> {
  yield ['path', path];
  for (const [name, value] of query) {
    yield [`query/${name}`, name];
    yield [`query/${name}`, value];
  }
  for (const [name, value] of headers) yield [`header/${name}`, value];
  yield* textsIn(body, '');
}

function* textsIn(value: Json, pointer: string): Generator<readonly [string, string]> {
  if (typeof value === 'string') yield [pointer, value];
  // A card's number may come as a number.
  else if (typeof value === 'number') yield [pointer, String(value)];
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
