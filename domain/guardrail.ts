import type { Handling } from './connector';
import type { Json } from './json';

/** Everything in a call, or in a part of an answer, that a system or a model could read. */
export interface GuardrailSubject {
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
  /** Null where there is no body. */
  readonly body: Json;
  readonly handling: { readonly secrets: Handling; readonly personalData: Handling };
}

export interface GuardrailFinding {
  readonly kind: 'injection' | 'secret' | 'personal' | 'size';
  readonly rule: string;
  /** Where it was found: an RFC 6901 pointer, or `path`, `query/<name>`, `header/<name>`. */
  readonly where: string;
  /** From 0 to 1. */
  readonly score: number;
  /** Confirmed findings block; the others are recorded. */
  readonly confirmed: boolean;
}

/** Looks for what must not pass. Whatever it throws, the call is refused: who cannot look refuses (attack 38). */
export interface Guardrail {
  inspect(subject: GuardrailSubject): Promise<readonly GuardrailFinding[]>;
}
