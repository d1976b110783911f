import { canonicalJson } from '../domain/canonical-json';
import { AtbError } from '../domain/error';
import type { JsonObject } from '../domain/json';
import type { Confirmation } from '../domain/mandate';
import { askedMandateOf } from '../domain/mandate-request';
import type {
  AskedMandate,
  IdentityEvidence,
  SignedRequestEvidence,
  TokenEvidence,
} from '../domain/mandate-request';
import type { OneTimeProof } from '../domain/ports';
import { parseAtbSpiffeId } from '../domain/spiffe-id';
import { epochSeconds, fromEpochSeconds } from './assessment';
import type { ActivityPorts } from './ports';

// A process that fronts us may be a little ahead; anything more is not the time of presenting.
const CLOCK_SKEW_SECONDS = 10;
// What was presented waits as long as a store or Temporal is away. The proofs that it came with are remembered for a day
// longer (0051-used-proof-purge), so that it cannot be shown again when they are forgotten.
const MAX_AGE_SECONDS = 86_400;

/** The call that evidence must be for. */
export interface Call {
  readonly path: string;
  /** What was asked, where the call asks for something. */
  readonly asked: AskedMandate | null;
}

/** Who is behind a piece of evidence, and what follows from how they proved it. */
export interface ProvenCaller {
  readonly spiffeId: string;
  /** What a mandate for this caller is bound to. */
  readonly confirmation: Confirmation;
  /** True where the caller signed this very call: nobody on the way can have made it up. */
  readonly signed: boolean;
  /** Until when the evidence is fresh enough. */
  readonly freshUntil: Date;
  /** What this evidence uses up. */
  readonly proofs: readonly OneTimeProof[];
}

/**
 * The caller behind a piece of evidence. A certificate is judged as of `at`; without it as of when it was presented, so
 * that a request that was accepted goes on even where a store was out of reach until the certificate had expired. A
 * signed request is judged as of when it was signed, and is good for this call alone; a token like a certificate. Throws the 401 codes,
 * `signed_request_malformed`, `signed_request_mismatch`.
 */
export async function identify(
  ports: ActivityPorts,
  evidence: IdentityEvidence,
  call: Call | null,
  at?: Date,
): Promise<ProvenCaller> {
  if (evidence.kind === 'probe') throw new AtbError('svid_malformed', 'a probe proves nobody');
  if (evidence.kind === 'signed_request') return identifySigner(ports, evidence, call);
  if (evidence.presentedAt > epochSeconds(ports.clock()) + CLOCK_SKEW_SECONDS) {
    throw new AtbError('svid_malformed', 'the evidence was presented in the future');
  }
  if (evidence.kind === 'token') {
    return identifyByToken(ports, evidence, call, at ?? fromEpochSeconds(evidence.presentedAt));
  }
  const svid = ports.svids.validate(evidence.chain, fromEpochSeconds(evidence.presentedAt));
  if (at) ports.svids.validate(evidence.chain, at);
  return {
    // One spelling for one principal: SPIFFE allows upper case in a path, we do not.
    spiffeId: parseAtbSpiffeId(svid.spiffeId).uri,
    confirmation: { 'x5t#S256': svid.x5tS256 },
    signed: false,
    freshUntil: presentedUntil(evidence.presentedAt),
    proofs: [],
  };
}

function identifySigner(
  ports: ActivityPorts,
  evidence: SignedRequestEvidence,
  call: Call | null,
): ProvenCaller {
  const { caller, body } = identifyStatement(ports, evidence, call?.path ?? null);
  const due = call?.asked == null ? canonicalJson({}) : canonicalJson(call.asked);
  const signed = call?.asked == null ? body : askedMandateOf(body);
  if (canonicalJson(signed) !== due) throw mismatch('something else is asked than what was signed');
  return caller;
}

/** Who signed a call to this path, and the body that they signed. Throws as `identify` does. */
export function identifyStatement(
  ports: ActivityPorts,
  { statement }: SignedRequestEvidence,
  path: string | null,
): { readonly caller: ProvenCaller; readonly body: JsonObject } {
  const { claims, chain } = ports.requests.open(statement);
  const signedAt = fromEpochSeconds(claims.iat);
  if (claims.iat > epochSeconds(ports.clock()) + CLOCK_SKEW_SECONDS) {
    throw new AtbError('signed_request_stale', 'the request was signed in the future');
  }
  const svid = ports.svids.validate(chain, signedAt);
  const spiffeId = parseAtbSpiffeId(svid.spiffeId).uri;
  if (claims.aud !== ports.issuer) throw mismatch(`it was signed for ${claims.aud}`);
  if (claims.path !== path) throw mismatch(`it was signed for POST ${claims.path}`);
  const freshUntil = new Date(signedAt.getTime() + ports.signedRequestMaxAgeSeconds * 1000);
  const caller: ProvenCaller = {
    spiffeId,
    confirmation: { 'x5t#S256': svid.x5tS256 },
    signed: true,
    freshUntil,
    proofs: [{ key: `request/${spiffeId}/${claims.jti}`, expiresAt: freshUntil }],
  };
  return { caller, body: claims.body };
}

/** A JWT-SVID is bound to no key: it counts for one request, with the key that came with it. */
async function identifyByToken(
  ports: ActivityPorts,
  { token, proof, url, presentedAt }: TokenEvidence,
  call: Call | null,
  at: Date,
): Promise<ProvenCaller> {
  if (call && (!URL.canParse(url) || new URL(url).pathname !== call.path)) {
    throw new AtbError('dpop_proof_invalid', `the DPoP proof is not for ${call.path}`);
  }
  const verified = await ports.tokens.verify(token, at);
  const proven = ports.dpop.verify(proof, { method: 'POST', url, token, now: at });
  if (verified.jkt !== null && verified.jkt !== proven.jkt) {
    throw new AtbError('token_invalid', 'the token is bound to another key');
  }
  return {
    spiffeId: parseAtbSpiffeId(verified.spiffeId).uri,
    confirmation: { jkt: proven.jkt },
    signed: false,
    freshUntil: presentedUntil(presentedAt),
    proofs: [
      { key: `dpop/${proven.jkt}/${proven.jti}`, expiresAt: proven.expiresAt },
      ...(verified.jkt === null
        ? [{ key: `token/${verified.digest}`, boundTo: proven.jkt, expiresAt: verified.expiresAt }]
        : []),
    ],
  };
}

/** Throws `signed_request_stale`, `evidence_stale` where the evidence is too old to be taken now. */
export function requireFresh({ signed, freshUntil }: ProvenCaller, now: Date): void {
  if (now <= freshUntil) return;
  throw signed
    ? new AtbError('signed_request_stale', 'the request was signed too long ago; sign it again')
    : new AtbError('evidence_stale', 'who asks proved it too long ago; ask again');
}

function presentedUntil(presentedAt: number): Date {
  return fromEpochSeconds(presentedAt + MAX_AGE_SECONDS);
}

function mismatch(why: string): AtbError {
  return new AtbError('signed_request_mismatch', `the signed request is for something else: ${why}`);
}
