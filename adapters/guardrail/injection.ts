import type { InjectionRule, RuleSet } from './rule-set';

interface Compiled {
  readonly id: string;
  readonly score: number;
  readonly steps: readonly ReadonlySet<string>[];
  readonly gap: number;
}

export interface InjectionMatch {
  readonly rule: string;
  readonly score: number;
}

const WORDS = /[\p{L}\p{N}]+/gu;
/** Written for letters, where letters stand beside them. */
const LEET: Readonly<Record<string, string>> = {
  ...{ '0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't' },
  ...{ '@': 'a', $: 's', '!': 'i', '|': 'i' },
};
const LEET_IN_WORD = /[a-z][013457@$!|]+[a-z]|[013457@$!|][a-z]{2}/;
const MIN_GLUED = 10;
const MAX_GLUED = 512;
const GLUED_SHARE = 0.6;
/** Of a run of letters that stand apart: shorter ones are initials. */
const MIN_SPACED = 5;

/**
 * Finds texts that give orders to a model. A rule is a sequence of words with few others between them, so that the
 * time is in proportion to the text whatever the text and the rules are: there are no regular expressions to exhaust.
 */
export class InjectionRules {
  private readonly byFirstWord = new Map<string, Compiled[]>();
  private readonly literals: readonly {
    readonly id: string;
    readonly score: number;
    readonly text: string;
  }[];
  private readonly vocabulary: ReadonlySet<string>;
  /** How long known words are that begin with two letters, the longest first. */
  private readonly lengths = new Map<string, readonly number[]>();

  constructor({ injection, scores }: Pick<RuleSet, 'injection' | 'scores'>) {
    const wordsOf = (step: readonly string[]) =>
      new Set(
        step.flatMap((word) => (word.startsWith('@') ? (injection.words[word.slice(1)] ?? []) : [word])),
      );
    const compile = ({ id, severity, sequence = [], gap = 0 }: InjectionRule): Compiled => ({
      id,
      score: scores[severity],
      steps: sequence.map(wordsOf),
      gap,
    });
    const vocabulary = new Set(injection.fillers);
    for (const rule of injection.rules) {
      const compiled = compile(rule);
      for (const step of compiled.steps) for (const word of step) vocabulary.add(word);
      for (const word of compiled.steps[0] ?? [])
        this.byFirstWord.set(word, [...(this.byFirstWord.get(word) ?? []), compiled]);
    }
    this.literals = injection.rules.flatMap(({ id, severity, literals = [] }) =>
      literals.map((text) => ({ id, score: scores[severity], text })),
    );
    this.vocabulary = vocabulary;
    for (const word of vocabulary) {
      const start = word.slice(0, 2);
      const known = new Set([...(this.lengths.get(start) ?? []), word.length]);
      this.lengths.set(
        start,
        [...known].sort((a, b) => b - a),
      );
    }
  }

  /** The rules that a text of `plain` letters meets, each once. */
  matches(text: string): readonly InjectionMatch[] {
    const found = new Map<string, number>();
    for (const { id, score, text: literal } of this.literals)
      if (text.includes(literal)) found.set(id, score);
    this.match(this.wordsOf(text), found);
    if (LEET_IN_WORD.test(text)) {
      this.match(this.wordsOf(text.replace(/[013457@$!|]/g, (letter) => LEET[letter] ?? letter)), found);
    }
    return [...found].map(([rule, score]) => ({ rule, score }));
  }

  private match(words: readonly string[], found: Map<string, number>): void {
    for (const [start, word] of words.entries()) {
      for (const rule of this.byFirstWord.get(word) ?? []) {
        if (!found.has(rule.id) && leadsThrough(rule, words, start)) found.set(rule.id, rule.score);
      }
    }
  }

  /** The words, with letters that stand apart put together, and words that are written together taken apart. */
  private wordsOf(text: string): readonly string[] {
    const words: string[] = [];
    let apart: string[] = [];
    const join = () => {
      if (apart.length >= MIN_SPACED) words.push(...this.takenApart(apart.join('')));
      else words.push(...apart);
      apart = [];
    };
    for (const [word] of text.matchAll(WORDS)) {
      if (word.length === 1) {
        apart.push(word);
        continue;
      }
      join();
      if (word.length >= MIN_GLUED && !this.vocabulary.has(word)) words.push(...this.takenApart(word));
      else words.push(word);
    }
    join();
    return words;
  }

  /** The known words that a run is made of, the longest first; the run itself where they are too little of it. */
  private takenApart(run: string): readonly string[] {
    if (run.length > MAX_GLUED) return [...pieces(run)].flatMap((piece) => this.takenApart(piece));
    const words: string[] = [];
    let known = 0;
    for (let at = 0; at < run.length;) {
      const length = this.lengths
        .get(run.slice(at, at + 2))
        ?.find((candidate) => candidate >= 2 && this.vocabulary.has(run.slice(at, at + candidate)));
      if (length !== undefined) {
        words.push(run.slice(at, at + length));
        known += length;
        at += length;
      } else at++;
    }
    return words.length > 1 && known >= run.length * GLUED_SHARE ? words : [run];
  }
}

/** Every way on from each place where a step was met: a greedy choice could miss one. */
function leadsThrough({ steps, gap }: Compiled, words: readonly string[], start: number): boolean {
  let places: ReadonlySet<number> = new Set([start]);
  for (const step of steps.slice(1)) {
    const next = new Set<number>();
    for (const place of places) {
      for (let at = place + 1; at <= place + 1 + gap && at < words.length; at++)
        if (step.has(words[at] ?? '')) next.add(at);
    }
    if (next.size === 0) return false;
    places = next;
  }
  return true;
}

function* pieces(run: string): Generator<string> {
  for (let at = 0; at < run.length; at += MAX_GLUED) yield run.slice(at, at + MAX_GLUED);
}
