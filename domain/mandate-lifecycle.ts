import type { ErrorCode } from './error';
import type { IdentityEvidence } from './mandate-request';
import type { MandateClaims } from './mandate';

/** Asks the worker to revoke a mandate (RFC 7009 §2.1). */
export interface RevocationRequest {
  readonly token: string;
  readonly evidence: IdentityEvidence;
}

/** RFC 7009 §2.2: an unknown token counts as revoked; a known one of somebody else's is refused. */
export type Revocation =
  { readonly done: true } | { readonly done: false; readonly code: ErrorCode; readonly message: string };

/** Asks the worker what became of a mandate (RFC 7662 §2.1). */
export interface IntrospectionRequest {
  readonly token: string;
  readonly evidence: IdentityEvidence;
}

/** RFC 7662 §2.2: claims only of an active mandate. */
export type Introspection =
  { readonly active: false } | { readonly active: true; readonly claims: MandateClaims };
