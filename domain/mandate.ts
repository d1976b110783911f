import type { Json, JsonObject } from './json';
import type { RecordedVerdict } from './request-status';
import type { AskedMandate } from './mandate-request';
import type { Requirement, Tier } from './policy';
import { reversalContent } from './reversal';
import type { PairedReversal, ReversalTerms } from './reversal';

/** The claims of a PoA: RFC 7519 §4.1 names where there are any, the rest as in the operating model §3. */
export interface MandateClaims {
  readonly iss: string;
  readonly aud: string;
  /** The agent's SPIFFE ID. */
  readonly sub: string;
  readonly act: string;
  readonly con: { readonly params: JsonObject; readonly limits: JsonObject };
  readonly leg: JsonObject;
  readonly tier: Tier;
  /** The revision of the policy that allowed it. */
  readonly pol: string;
  /** The request that it answers. */
  readonly req: string;
  readonly jti: string;
  /** NumericDates, RFC 7519 §2. */
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly cnf: Confirmation;
  /** What the broker may do if the system fails after it has committed; absent where nobody asked for it. */
  readonly rev?: PairedReversal;
  /** What the audit log's digests of a use are salted with: base64url, 192 random bits. Mandates of before have none. */
  readonly salt?: string;
}

/**
 * The key that must present a mandate (RFC 7800): that of a certificate (RFC 8705 §3.1), or, for agents that no
 * certificate of theirs reaches us from, one that proves itself with each call (RFC 9449 §6.1).
 */
export type Confirmation =
  | { readonly 'x5t#S256': string; readonly jkt?: never }
  | { readonly jkt: string; readonly 'x5t#S256'?: never };

/**
 * The claims of a reversal mandate, `typ` "poa-reversal+jwt". Its subject is the broker, and nothing confirms a key: no
 * caller can show one. It says what it reverses, and for whom that was done.
 */
export type ReversalClaims = Omit<MandateClaims, 'cnf' | 'rev' | 'salt'> & {
  readonly rev: { readonly jti: string; readonly act: string; readonly sub: string };
};

/** All that a mandate is made of. */
export interface MandateParts {
  readonly issuer: string;
  readonly audience: string;
  readonly agent: string;
  readonly requestId: string;
  readonly asked: AskedMandate;
  readonly limits: JsonObject;
  readonly requirement: Pick<Requirement, 'dualControl' | 'ticket'>;
  /** Those that count, in the order in which the mandate names their people. */
  readonly verdicts: readonly RecordedVerdict[];
  readonly attestedByTicket: readonly string[];
  readonly tier: Tier;
  readonly policyRevision: string;
  readonly jti: string;
  /** NumericDates. */
  readonly iat: number;
  readonly exp: number;
  readonly confirmation: Confirmation;
  /** Null where there is no paired reversal. */
  readonly reversal: { readonly terms: ReversalTerms; readonly jti: string; readonly exp: number } | null;
  readonly salt: string | undefined;
}

/** The claims: the same parts give the same claims, when the mandate is signed and when its evidence is verified. */
export function mandateClaimsOf(parts: MandateParts): MandateClaims {
  const { asked, iat, exp, reversal } = parts;
  return {
    iss: parts.issuer,
    aud: parts.audience,
    sub: parts.agent,
    act: asked.act,
    con: { params: asked.con.params, limits: parts.limits },
    leg: groundedLeg(asked, parts.requirement, parts.verdicts, parts.attestedByTicket),
    tier: parts.tier,
    pol: parts.policyRevision,
    req: parts.requestId,
    jti: parts.jti,
    iat,
    nbf: iat,
    exp,
    cnf: parts.confirmation,
    ...(reversal && {
      rev: {
        ...reversalContent(reversal.terms, asked.con.params),
        ...{ jti: reversal.jti, exp: reversal.exp },
      },
    }),
    ...(parts.salt !== undefined && { salt: parts.salt }),
  };
}

/** The other half of a mandate, by its claims alone: the pair is recorded as one. Null where it has none. */
export function reversalClaimsOf(mandate: MandateClaims): ReversalClaims | null {
  const { iss, aud, leg, tier, pol, req, iat, nbf, rev } = mandate;
  if (rev === undefined) return null;
  return {
    ...{ iss, aud, sub: aud, act: rev.act, con: rev.con, leg, tier, pol, req },
    ...{ jti: rev.jti, iat, nbf, exp: rev.exp },
    rev: { jti: mandate.jti, act: mandate.act, sub: mandate.sub },
  };
}

/** Who approved, and who released, as the legal ground of a mandate names them. */
export function approversOf(leg: JsonObject): readonly string[] {
  const dual = leg.dual_control as { readonly approvers: readonly { readonly id: string }[] } | undefined;
  const single = leg.approval as { readonly approver_id: string } | undefined;
  const release = leg.manual_release as { readonly releaser_id: string } | undefined;
  return [
    ...(dual?.approvers.map(({ id }) => id) ?? []),
    ...(single ? [single.approver_id] : []),
    ...(release ? [release.releaser_id] : []),
  ];
}

/** Claims of `leg` that only the broker fills in: nobody may ask with them (attack 7). */
export const LEG_CLAIMS_OF_APPROVAL = [
  'approval',
  'dual_control',
  'manual_release',
  'ticket',
  'attested',
] as const;

/** The legal ground as the mandate states it: as asked, with the approvals that were verified (operating model §3). */
export function groundedLeg(
  asked: Pick<AskedMandate, 'leg' | 'ticket'>,
  requirement: Pick<Requirement, 'dualControl' | 'ticket'>,
  verdicts: readonly RecordedVerdict[],
  attestedByTicket: readonly string[],
): JsonObject {
  const approvals = verdicts.filter((verdict) => verdict.verdict === 'approve');
  const release = verdicts.find((verdict) => verdict.verdict === 'release');
  const [first] = approvals;
  const attested: Json[] = [
    ...approvals.flatMap((approval) =>
      approval.attests.map((fact) => ({ fact, by: approval.by, at: rfc3339(approval.receivedAt) })),
    ),
    ...attestedByTicket.map((fact) => ({ fact, ticket: asked.ticket })),
  ];
  return {
    ...asked.leg,
    ...(requirement.dualControl
      ? {
          dual_control: {
            required: true,
            approvers: approvals.map(({ by, role }) => ({ id: by, type: role })),
          },
        }
      : first && { approval: { approver_id: first.by, approved_at: rfc3339(first.receivedAt) } }),
    ...(release && {
      manual_release: {
        releaser_id: release.by,
        type: release.role,
        released_at: rfc3339(release.receivedAt),
      },
    }),
    ...(requirement.ticket && asked.ticket !== null && { ticket: asked.ticket }),
    ...(attested.length > 0 && { attested }),
  };
}

function rfc3339(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().replace('.000Z', 'Z');
}
