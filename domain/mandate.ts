import type { Json, JsonObject } from './json';
import type { RecordedVerdict } from './request-status';
import type { AskedMandate } from './mandate-request';
import type { Requirement, Tier } from './policy';

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
}

/**
 * The key that must present a mandate (RFC 7800): that of a certificate (RFC 8705 §3.1), or, for agents that no
 * certificate of theirs reaches us from, one that proves itself with each call (RFC 9449 §6.1).
 */
export type Confirmation =
  | { readonly 'x5t#S256': string; readonly jkt?: never }
  | { readonly jkt: string; readonly 'x5t#S256'?: never };

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
