import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { canonicalJson } from '../../domain/canonical-json';
import type { MandateClaims, ReversalClaims } from '../../domain/mandate';
import type { IdentityTokenSigner, MandateSigner } from '../../domain/ports';
import { identityTokenSigner } from './identity-token';

export const MANDATE_TYP = 'poa+jwt';
/** Explicit typing (RFC 8725 §3.11): what takes the one never takes the other. */
export const REVERSAL_TYP = 'poa-reversal+jwt';

/**
 * Signs mandates. Ed25519 is deterministic (RFC 8032 §5.1) and the payload is canonical, so the same claims give the
 * same bytes, whatever the order in which they were put together.
 */
export class Ed25519MandateSigner implements MandateSigner {
  constructor(
    private readonly privateKey: KeyObject,
    readonly publicKey: KeyObject,
    /** The public key's RFC 7638 thumbprint. */
    readonly kid: string,
  ) {}

  /** The same key for identity tokens, under their own type. */
  get identityTokens(): IdentityTokenSigner {
    return identityTokenSigner(this.privateKey, this.kid);
  }

  sign(claims: MandateClaims): Promise<string> {
    return this.signed(MANDATE_TYP, claims);
  }

  signReversal(claims: ReversalClaims): Promise<string> {
    return this.signed(REVERSAL_TYP, claims);
  }

  private signed(typ: string, claims: MandateClaims | ReversalClaims): Promise<string> {
    return new CompactSign(new TextEncoder().encode(canonicalJson(claims)))
      .setProtectedHeader({ alg: 'EdDSA', typ, kid: this.kid })
      .sign(this.privateKey);
  }
}
