import type { Json } from './json';

/** Everything in a call, or in an answer, that a system or a model could read. */
export interface GuardrailSubject {
  readonly direction: 'request' | 'response';
  readonly agent: string;
  readonly action: string;
  readonly connector: string;
  readonly path: string;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
  /** Null where there is no body. */
  readonly body: Json;
}

export interface GuardrailFinding {
  readonly rule: string;
  /** Where it was found: an RFC 6901 pointer, or `path`, `query/<name>`, `header/<name>`. */
  readonly where: string;
  /** From 0 to 1. */
  readonly score: number;
  /** Confirmed findings block; the others are recorded. */
  readonly confirmed: boolean;
}

/** Looks for what must not pass. Throws `guardrail_unavailable`: who cannot look refuses (attack 38). */
export interface Guardrail {
  inspect(subject: GuardrailSubject): Promise<readonly GuardrailFinding[]>;
}
