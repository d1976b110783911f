import { decodeBase64url, parseCompactJws } from '../../domain/compact-jws';
import type { CompactJwsForm } from '../../domain/compact-jws';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import type { MandateClaims, ReversalClaims } from '../../domain/mandate';
import { TIERS } from '../../domain/policy';
import type { Tier } from '../../domain/policy';
import type { MandateOpener } from '../../domain/ports';
import type { MandateVerificationKeys } from './mandate-keys';
import type { PairedReversal } from '../../domain/reversal';
import { MANDATE_TYP, REVERSAL_TYP } from './mandate-signer';
import { isSignedBy } from './signature';

/** Who must have issued a mandate, and for whom. */
export interface MandateParties {
  readonly issuer: string;
  readonly audience: string;
}

export interface MandateTime {
  readonly now: Date;
  /** How far the verifier's clock may be behind or ahead (RFC 7519 §4.1.4, §4.1.5); none unless told. */
  readonly clockSkewSeconds?: number;
}

const FORM: CompactJwsForm = {
  typ: MANDATE_TYP,
  headerParameters: ['kid'],
  // A request's body is at most 64 KiB, and base64 makes four characters of three bytes.
  maxLength: 128 * 1024,
  code: 'mandate_invalid',
};

const SHA256_BYTES = 32;

/**
 * Checks form, signature, issuer and audience of a mandate, whatever its times. The key that `kid` names has one
 * algorithm, and `alg` must say the same. Throws `mandate_invalid`.
 */
export function openMandate(
  compact: string,
  keys: MandateVerificationKeys,
  parties: MandateParties,
): MandateClaims {
  return requireFor(parties, parseClaims(signedClaims(compact, keys, FORM)));
}

/** As verifyMandate, for the mandates of another type that only the broker itself redeems. */
export function verifyReversal(
  compact: string,
  keys: MandateVerificationKeys,
  { now, clockSkewSeconds, ...parties }: MandateParties & MandateTime,
): ReversalClaims {
  const reversal = requireFor(
    parties,
    parseReversal(signedClaims(compact, keys, { ...FORM, typ: REVERSAL_TYP })),
  );
  requireInTime(reversal, { now, ...(clockSkewSeconds !== undefined && { clockSkewSeconds }) });
  return reversal;
}

function signedClaims(compact: string, keys: MandateVerificationKeys, form: CompactJwsForm): JsonObject {
  const { header, claims, signingInput, signature } = parseCompactJws(compact, form);
  if (header.alg !== 'EdDSA') throw invalid('its alg is not EdDSA');
  const key = typeof header.kid === 'string' ? keys.get(header.kid) : undefined;
  if (!key) throw invalid('its key is unknown');
  if (!isSignedBy(key, Buffer.from(signingInput), signature)) throw invalid('its signature does not verify');
  return claims;
}

function requireFor<Claims extends { readonly iss: string; readonly aud: string }>(
  { issuer, audience }: MandateParties,
  claims: Claims,
): Claims {
  if (claims.iss !== issuer) throw invalid('it was issued by somebody else');
  if (claims.aud !== audience) throw invalid('it is for somebody else');
  return claims;
}

/** As openMandate, and the mandate is good now. Throws `mandate_invalid`, and `mandate_lapsed` where it was good once. */
export function verifyMandate(
  compact: string,
  keys: MandateVerificationKeys,
  { now, clockSkewSeconds, ...parties }: MandateParties & MandateTime,
): MandateClaims {
  const mandate = openMandate(compact, keys, parties);
  requireInTime(mandate, { now, ...(clockSkewSeconds !== undefined && { clockSkewSeconds }) });
  return mandate;
}

/** Throws `mandate_invalid` before the mandate's time, and `mandate_lapsed` after it. */
export function requireInTime(
  { nbf, exp }: Pick<MandateClaims, 'nbf' | 'exp'>,
  { now, clockSkewSeconds = 0 }: MandateTime,
): void {
  const seconds = now.getTime() / 1000;
  // Said this way round so that a clock that tells no number refuses.
  if (!(seconds + clockSkewSeconds >= nbf)) throw invalid('it is not good yet');
  if (!(seconds - clockSkewSeconds < exp)) throw new AtbError('mandate_lapsed', 'the mandate has lapsed');
}

/** The port's way to say it. */
export function mandateOpener(keys: MandateVerificationKeys, parties: MandateParties): MandateOpener {
  // eslint-disable-next-line @typescript-eslint/require-await -- async turns what is thrown into a rejection.
  return { open: async (compact) => openMandate(compact, keys, parties) };
}

function parseClaims(claims: JsonObject): MandateClaims {
  const { cnf, rev, salt, ...common } = claims;
  const mandate = commonClaims(common);
  return {
    ...mandate,
    cnf: confirmation(cnf),
    ...(rev !== undefined && { rev: pairedReversal(rev, mandate) }),
    ...(salt !== undefined && { salt: text(salt, 'salt') }),
  };
}

function parseReversal(claims: JsonObject): ReversalClaims {
  const { rev, ...common } = claims;
  const { jti, act, sub, ...unknown } = object(rev, 'rev');
  if (Object.keys(unknown).length > 0) throw invalid('its rev has a member that does not belong there');
  return {
    ...commonClaims(common),
    rev: { jti: text(jti, 'rev.jti'), act: text(act, 'rev.act'), sub: text(sub, 'rev.sub') },
  };
}

function pairedReversal(rev: Json, { jti: own, exp: end }: { jti: string; exp: number }): PairedReversal {
  const { act, con, jti, exp, ...unknown } = object(rev, 'rev');
  if (Object.keys(unknown).length > 0) throw invalid('its rev has a member that does not belong there');
  const paired = {
    act: text(act, 'rev.act'),
    con: constraints(con),
    jti: text(jti, 'rev.jti'),
    exp: numericDate(exp, 'rev.exp'),
  };
  if (paired.jti === own || paired.exp < end) throw invalid('its rev is no reversal that outlives it');
  return paired;
}

function commonClaims(claims: JsonObject): Omit<MandateClaims, 'cnf' | 'rev' | 'salt'> {
  const { iss, aud, sub, act, con, leg, tier, pol, req, jti, iat, nbf, exp, ...unknown } = claims;
  if (Object.keys(unknown).length > 0) throw invalid('it has a claim that does not belong there');
  const mandate = {
    iss: text(iss, 'iss'),
    aud: text(aud, 'aud'),
    sub: text(sub, 'sub'),
    act: text(act, 'act'),
    con: constraints(con),
    leg: object(leg, 'leg'),
    tier: knownTier(tier),
    pol: text(pol, 'pol'),
    req: text(req, 'req'),
    jti: text(jti, 'jti'),
    iat: numericDate(iat, 'iat'),
    nbf: numericDate(nbf, 'nbf'),
    exp: numericDate(exp, 'exp'),
  };
  if (mandate.exp <= mandate.nbf || mandate.exp <= mandate.iat) throw invalid('it ends before it begins');
  return mandate;
}

function constraints(con: Json | undefined): MandateClaims['con'] {
  const { params, limits, ...unknown } = object(con, 'con');
  if (Object.keys(unknown).length > 0) throw invalid('its con has a member that does not belong there');
  return { params: object(params, 'con.params'), limits: object(limits, 'con.limits') };
}

function confirmation(cnf: Json | undefined): MandateClaims['cnf'] {
  const { 'x5t#S256': certificate, jkt, ...unknown } = object(cnf, 'cnf');
  if (Object.keys(unknown).length === 0) {
    if (jkt === undefined && isThumbprint(certificate)) return { 'x5t#S256': certificate };
    if (certificate === undefined && isThumbprint(jkt)) return { jkt };
  }
  throw invalid('its cnf is not the thumbprint of a certificate or of a key');
}

function isThumbprint(value: Json | undefined): value is string {
  return typeof value === 'string' && decodeBase64url(value)?.length === SHA256_BYTES;
}

function knownTier(value: Json | undefined): Tier {
  const tier = TIERS.find((known) => known === value);
  if (tier === undefined) throw invalid('its tier is unknown');
  return tier;
}

function text(value: Json | undefined, name: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(`its ${name} is not a text`);
  return value;
}

function object(value: Json | undefined, name: string): JsonObject {
  if (!isJsonObject(value)) throw invalid(`its ${name} is not an object`);
  return value;
}

function numericDate(value: Json | undefined, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(`its ${name} is not a whole number of seconds`);
  }
  return value;
}

function invalid(why: string): AtbError {
  return new AtbError('mandate_invalid', `the mandate is not valid: ${why}`);
}
