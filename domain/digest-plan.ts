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
}

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
  const { period_seconds: period, most_listed: mostListed, tiers } = isJsonObject(value) ? value : {};
  if (!(period === null || isPositive(period)) || !isPositive(mostListed) || !isJsonObject(tiers)) {
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
  };
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function teams(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((team) => typeof team === 'string')) return value;
  throw new AtbError('policy_unavailable', 'policy answered with something else than teams');
}
