import type { KeyObject } from 'node:crypto';
import { canonicalJson } from '../../domain/canonical-json';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import type { Json, JsonObject } from '../../domain/json';
import type { VerdictOpener } from '../../domain/ports';
import { VERDICT_TYP } from '../../domain/verdict';
import type { SignedVerdict, VerdictClaims } from '../../domain/verdict';
import { hasOthers, NAME, statementClaims } from './statement-claims';
import { openSvidSigned, signWithSvid } from './svid-signature';

const FORM: CompactJwsForm = {
  typ: VERDICT_TYP,
  headerParameters: ['x5c'],
  // Room for the longest reason and a chain of eight certificates.
  maxLength: 48 * 1024,
  code: 'verdict_malformed',
};

const MAX_ATTESTS = 32;
const REQUEST_ID = /^[A-Za-z0-9_-]{1,128}$/;

/**
 * Signs a verdict with the private key of an approver's SVID (ES256, ES384 or Ed25519, as the key is). `chain` is that
 * SVID's, DER, leaf first. Throws `verdict_malformed` for claims that nobody would accept, and
 * `configuration_invalid` for a key that is not the certificate's.
 */
export async function signVerdict(
  privateKey: KeyObject,
  chain: readonly Uint8Array[],
  claims: VerdictClaims,
): Promise<string> {
  const text = canonicalJson(claims);
  parseClaims(JSON.parse(text) as JsonObject);
  return signWithSvid(privateKey, chain, VERDICT_TYP, text);
}

/**
 * Checks form, claims and signature of a verdict. The signature is checked with the key of the leaf in `x5c`: whose
 * that is, and whether it may be trusted, is for the SVID's validation to say. Throws `verdict_malformed`,
 * `verdict_signature_invalid`.
 */
export function openVerdict(compact: string): SignedVerdict {
  const { claims, chain, isSigned } = openSvidSigned(compact, FORM);
  const verdict = parseClaims(claims);
  if (!isSigned()) {
    throw new AtbError(
      'verdict_signature_invalid',
      "the verdict's signature is not by the key of its certificate",
    );
  }
  return { claims: verdict, chain };
}

/** The port's way to say it. */
export const verdictOpener: VerdictOpener = {
  // eslint-disable-next-line @typescript-eslint/require-await -- async turns what is thrown into a rejection.
  open: async (compact) => openVerdict(compact),
};

function parseClaims(claims: JsonObject): VerdictClaims {
  const { req, verdict, attests, ...others } = claims;
  if (hasOthers(others)) throw malformed('it has a claim that does not belong there');
  if (typeof req !== 'string' || !REQUEST_ID.test(req)) throw malformed('its req is not the id of a request');
  if (verdict !== 'approve' && verdict !== 'reject' && verdict !== 'release') {
    throw malformed('its verdict is none of approve, reject, release');
  }
  const said = statementClaims(others, malformed);
  return { req, verdict, attests: parseAttests(attests), ...said };
}

function parseAttests(attests: Json | undefined): readonly string[] {
  if (!Array.isArray(attests)) throw malformed('its attests is not a list');
  const facts = (attests as readonly Json[]).map((fact) => {
    if (typeof fact !== 'string' || !NAME.test(fact))
      throw malformed('its attests has what is not the name of a fact');
    return fact;
  });
  if (facts.length > MAX_ATTESTS || new Set(facts).size < facts.length) {
    throw malformed(`its attests has a fact twice, or more than ${MAX_ATTESTS}`);
  }
  return facts;
}

function malformed(why: string, cause?: unknown): AtbError {
  return new AtbError('verdict_malformed', `the verdict is malformed: ${why}`, { cause });
}
