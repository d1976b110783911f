import type { IdentityEvidence } from '../../domain/mandate-request';

/** Who is at the other end of a call, and the proof of it that the worker verifies again. */
export interface CallerIdentity {
  readonly spiffeId: string;
  readonly evidence: IdentityEvidence;
}
