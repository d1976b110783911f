import { AtbError } from './error';
import { isJsonObject } from './json';
import { TIERS } from './policy';
import type { Tier } from './policy';

/** Which teams hear of which mandates, and how often (RACI, operating model §1). */
export interface DigestPlan {
  /** Null where nobody wants a digest. */
  readonly periodSeconds: number | null;
  /** So many lines at the most. */
  readonly mostListed: number;
  readonly tiers: Readonly<
    Partial<Record<Tier, { readonly informed: readonly string[]; readonly accountable: readonly string[] }>>
  >;
  /** The teams that hear what became of what people sign off, by its kind. */
  readonly proposals: Readonly<Record<string, readonly string[]>>;
  /** The teams that hear of incidents. */
  readonly incidents: readonly string[];
}

/** What happened so often to incidents, proposals or changes. */
export interface WorkCount {
  /** Of the audit event that tells it. */
  readonly type: WorkEventType;
  readonly kind: string;
  /** A proposal's; null of incidents. */
  readonly name: string | null;
  /** How grave, or how it ended; null where the type says it all. */
  readonly state: string | null;
  readonly count: number;
}

export const WORK_EVENT_TYPES = [
  'incident_opened',
  'incident_closed',
  'proposal_approved',
  'proposal_ended',
  'proposal_lapsed',
  'change_ended',
] as const;
export type WorkEventType = (typeof WORK_EVENT_TYPES)[number];

/** How many mandates of a kind were issued. */
export interface IssuedCount {
  readonly tier: Tier;
  readonly action: string;
  readonly agent: string;
  readonly count: number;
}

/** From, and up to but without, in epoch seconds. */
export interface DigestPeriod {
  readonly from: number;
  readonly until: number;
}

/** Reads an answer of `atb/responsibility/digest`. Throws `policy_unavailable`. */
export function parseDigestPlan(value: unknown): DigestPlan {
  const plan = isJsonObject(value) ? value : {};
  const { period_seconds: period, most_listed: mostListed, tiers, proposals, incidents } = plan;
  if (
    !(period === null || isPositive(period)) ||
    !isPositive(mostListed) ||
    !isJsonObject(tiers) ||
    !isJsonObject(proposals)
  ) {
    throw new AtbError('policy_unavailable', 'policy answered without a proper plan of digests');
  }
  return {
    periodSeconds: period,
    mostListed,
    tiers: Object.fromEntries(
      TIERS.map((tier) => {
        const { informed, accountable } = isJsonObject(tiers[tier]) ? tiers[tier] : {};
        return [tier, { informed: teams(informed), accountable: teams(accountable) }];
      }),
    ),
    proposals: Object.fromEntries(Object.entries(proposals).map(([kind, told]) => [kind, teams(told)])),
    incidents: teams(incidents),
  };
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function teams(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((team) => typeof team === 'string')) return value;
  throw new AtbError('policy_unavailable', 'policy answered with something else than teams');
}
