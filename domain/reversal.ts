import type { JsonObject } from './json';

/** What policy lets the broker do where a system reports a failure after it has committed. */
export interface ReversalTerms {
  /** The action of the catalogue that reverses. */
  readonly act: string;
  /** Which parameters of the action it takes over, as they are. */
  readonly params: readonly string[];
  readonly limits: JsonObject;
}

/** As approvers see it, and sign for it. */
export interface ReversalContent extends JsonObject {
  readonly act: string;
  readonly con: { readonly params: JsonObject; readonly limits: JsonObject };
}

/** The claim `rev` of a mandate: the other half of the pair. */
export interface PairedReversal extends ReversalContent {
  /** The reversal mandate's own. */
  readonly jti: string;
  /** NumericDate. */
  readonly exp: number;
}

export function reversalContent({ act, params, limits }: ReversalTerms, values: JsonObject): ReversalContent {
  const taken = Object.entries(values).filter(([name]) => params.includes(name));
  return { act, con: { params: Object.fromEntries(taken), limits } };
}

/** The terms in an event, without the values: those are told where they were asked. */
export function reversalTold({ act, params, limits }: ReversalTerms): JsonObject {
  return { act, params, limits };
}
