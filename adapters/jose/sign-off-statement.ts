import type { KeyObject } from 'node:crypto';
import { canonicalJson } from '../../domain/canonical-json';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import { SIGN_OFF_TYP } from '../../domain/proposal';
import type { SignedSignOff, SignOffClaims } from '../../domain/proposal';
import { hasOthers, NAME, statementClaims } from './statement-claims';
import { openSvidSigned, signWithSvid } from './svid-signature';

const FORM: CompactJwsForm = {
  typ: SIGN_OFF_TYP,
  headerParameters: ['x5c'],
  // Room for the longest reason and a chain of eight certificates.
  maxLength: 48 * 1024,
  code: 'verdict_malformed',
};

const PROPOSAL = /^[a-z0-9_.A-Z-]{1,128}$/;

/**
 * Signs a sign-off with the private key of a person's SVID (ES256, ES384 or Ed25519, as the key is). `chain` is that
 * SVID's, DER, leaf first. Throws `verdict_malformed` for claims that nobody would accept, and `configuration_invalid`
 * for a key that is not the certificate's.
 */
export async function signSignOff(
  privateKey: KeyObject,
  chain: readonly Uint8Array[],
  claims: SignOffClaims,
): Promise<string> {
  const text = canonicalJson(claims);
  parseClaims(JSON.parse(text) as JsonObject);
  return signWithSvid(privateKey, chain, SIGN_OFF_TYP, text);
}

/**
 * Checks form, claims and signature of a sign-off. The signature is checked with the key of the leaf in `x5c`: whose
 * that is, and whether it may be trusted, is for the SVID's validation to say. Throws `verdict_malformed`,
 * `verdict_signature_invalid`.
 */
export function openSignOff(compact: string): SignedSignOff {
  const { claims, chain, isSigned } = openSvidSigned(compact, FORM);
  const word = parseClaims(claims);
  if (!isSigned()) {
    throw new AtbError(
      'verdict_signature_invalid',
      "the sign-off's signature is not by the key of its certificate",
    );
  }
  return { claims: word, chain };
}

function parseClaims(claims: JsonObject): SignOffClaims {
  const { on, step, verdict, ...others } = claims;
  if (hasOthers(others)) throw malformed('it has a claim that does not belong there');
  if (typeof on !== 'string' || !PROPOSAL.test(on)) throw malformed('its on is not the id of a proposal');
  if (typeof step !== 'string' || !NAME.test(step)) throw malformed('its step is not the name of a step');
  if (verdict !== 'approve' && verdict !== 'reject')
    throw malformed('its verdict is neither approve nor reject');
  return { on, step, verdict, ...statementClaims(others, malformed) };
}

function malformed(why: string): AtbError {
  return new AtbError('verdict_malformed', `the sign-off is malformed: ${why}`);
}
