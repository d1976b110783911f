import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import type { ToApprove } from '../domain/mandate-request';
import type { VerdictFact } from '../domain/policy';
import type { VerdictEntry } from '../domain/ports';
import type { RecordedVerdict } from '../domain/request-status';
import type { SignedVerdict } from '../domain/verdict';
import { epochSeconds } from './assessment';
import type { ActivityPorts } from './ports';
import { orRefusal } from './failure';

/** A statement, its signature and certificate verified, and the moment of its receipt. */
export interface VerifiedVerdict {
  readonly statement: string;
  readonly signed: SignedVerdict;
  /** The SPIFFE ID in the certificate whose key signed. */
  readonly by: string;
  /** Base64url SHA-256 of that certificate. */
  readonly certificate: string;
  readonly receivedAt: Date;
}

/** Opens a statement and validates its certificate as of its receipt. Throws with the reason. */
export async function verifyVerdict(
  ports: ActivityPorts,
  statement: string,
  receivedAt: Date,
): Promise<VerifiedVerdict> {
  const signed = await ports.verdicts.open(statement);
  const { spiffeId, x5tS256 } = ports.svids.validate(signed.chain, receivedAt);
  return { statement, signed, by: spiffeId, certificate: x5tS256, receivedAt };
}

/**
 * Statements as the database knows them: each must have been recorded for this request, and is judged as of the
 * receipt that was recorded then, whatever the history says. What was never recorded does not count.
 */
export async function recordedVerdicts(
  ports: ActivityPorts,
  requestId: string,
  statements: readonly string[],
  entries: readonly VerdictEntry[],
): Promise<readonly VerifiedVerdict[]> {
  const verified: VerifiedVerdict[] = [];
  for (const statement of statements) {
    const digest = sha256Base64url(statement);
    const entry = entries.find((known) => known.statementDigest === digest && known.requestId === requestId);
    if (!entry) continue;
    const verdict = await orRefusal(() => verifyVerdict(ports, statement, entry.receivedAt));
    // It verified once and does not any more: an authority that is trusted no longer. It counts no longer either.
    if (!(verdict instanceof AtbError)) verified.push(verdict);
  }
  return verified;
}

/** Throws where the verdict is for another request, or for other content than this. */
export function requireApproves({ signed }: VerifiedVerdict, content: ToApprove): void {
  if (signed.claims.req !== content.req) {
    throw new AtbError('verdict_not_for_request', 'the verdict names another request');
  }
  if (!approves(signed, content)) {
    throw new AtbError(
      'verdict_digest_mismatch',
      'the verdict was signed over other content than what is to be approved; read the request again and sign that',
    );
  }
}

/** Whether the verdict is for exactly this. */
export function approves({ claims }: SignedVerdict, content: ToApprove): boolean {
  return claims.req === content.req && claims.dig === sha256Base64url(canonicalJson(content));
}

/** A verified verdict as policy is told of it. */
export function factOf({ signed: { claims }, by, certificate, receivedAt }: VerifiedVerdict): VerdictFact {
  return {
    jti: claims.jti,
    by,
    certificate,
    verdict: claims.verdict,
    role: claims.role,
    attests: claims.attests,
    reasoned: claims.reason.trim() !== '',
    issuedAt: claims.iat,
    receivedAt: epochSeconds(receivedAt),
  };
}

export function recordOf(verified: VerifiedVerdict): RecordedVerdict {
  const { claims } = verified.signed;
  return {
    jti: claims.jti,
    by: verified.by,
    role: claims.role,
    verdict: claims.verdict,
    reason: claims.reason,
    attests: claims.attests,
    receivedAt: epochSeconds(verified.receivedAt),
  };
}
