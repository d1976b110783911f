import { AtbError } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import type { StopTarget } from './stop';

/** What events have in common that are of one cause. */
export const WATCH_KEYS = ['agent', 'connector', 'request', 'change', 'all'] as const;
export type WatchKey = (typeof WATCH_KEYS)[number];

/** Which events of the audit log open an incident: so many of one cause within so long (data: incidents.watch). */
export interface WatchRule {
  readonly kind: string;
  readonly events: readonly string[];
  readonly by: WatchKey;
  readonly threshold: number;
  readonly windowSeconds: number;
}

export interface WatchPlan {
  readonly intervalSeconds: number;
  readonly rules: readonly WatchRule[];
}

/** What of an event the rules look at. */
export interface WatchedEvent {
  readonly id: string;
  readonly type: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly agent: string | null;
  readonly connector: string | null;
  readonly request: string | null;
  /** The proposal of a change. */
  readonly change: string | null;
  readonly tier: string | null;
}

/** Enough events of one cause; `sightings` are the ids of those that were not told before, or not for sure. */
export interface WatchedReport {
  readonly kind: string;
  readonly cause: string;
  readonly sightings: readonly string[];
}

/** More causes at a time than anybody could look at: the oldest are forgotten, so that a storm stays small. */
const MOST_CAUSES = 2_000;

/** The events of one cause that the window still has, oldest first: id, and epoch milliseconds. */
type Sightings = readonly (readonly [string, number])[];

/** Counts events by cause in sliding windows, one event after the other; small, and kept beside the place in the log. */
export class IncidentWindows {
  private readonly causes = new Map<string, Sightings>();

  /** `state` is what an earlier one kept. */
  constructor(
    private readonly rules: readonly WatchRule[],
    state: Json,
  ) {
    for (const [cause, seen] of Object.entries(isJsonObject(state) ? state : {})) {
      if (Array.isArray(seen)) this.causes.set(cause, seen);
    }
  }

  /** What these events, in their order, give reason to report. */
  see(events: readonly WatchedEvent[]): readonly WatchedReport[] {
    const reports = new Map<string, WatchedReport & { readonly sightings: string[] }>();
    for (const event of events) {
      for (const rule of this.rules) {
        if (!rule.events.includes(event.type)) continue;
        const cause = causeOf(rule, event);
        const key = `${rule.kind} ${cause}`;
        const window = this.windowWith(key, rule, event);
        if (window.length < rule.threshold) continue;
        const report = reports.get(key) ?? { kind: rule.kind, cause, sightings: [] };
        reports.set(key, report);
        for (const [id] of window) if (!report.sightings.includes(id)) report.sightings.push(id);
      }
    }
    return [...reports.values()];
  }

  /** What is to be kept. */
  get state(): JsonObject {
    return Object.fromEntries(this.causes);
  }

  private windowWith(key: string, rule: WatchRule, { id, at }: WatchedEvent): Sightings {
    const since = at - rule.windowSeconds * 1000;
    const before = (this.causes.get(key) ?? []).filter(([other, then]) => then > since && other !== id);
    const window = [...before, [id, at] as const].slice(-rule.threshold);
    // Last again: those that nothing happened to for the longest time come first.
    this.causes.delete(key);
    this.causes.set(key, window);
    for (const oldest of this.causes.keys()) {
      if (this.causes.size <= MOST_CAUSES) break;
      this.causes.delete(oldest);
    }
    return window;
  }
}

/** The cause of the incident that an event belongs to. */
export function causeOf({ by }: Pick<WatchRule, 'by'>, event: WatchedEvent): string {
  return by === 'all' ? 'all' : `${by} ${event[by] ?? 'unknown'}`;
}

/** Those of the events that are reason for an incident of this kind and cause; none where they are not enough. */
export function reasonsFor(
  rules: readonly WatchRule[],
  { kind, cause }: Pick<WatchedReport, 'kind' | 'cause'>,
  events: readonly WatchedEvent[],
): readonly WatchedEvent[] {
  for (const rule of rules.filter((one) => one.kind === kind)) {
    const mine = events
      .filter((event) => rule.events.includes(event.type) && causeOf(rule, event) === cause)
      .sort((a, b) => a.at - b.at);
    const isEnough = mine.some(({ at }, first) => {
      const last = mine[first + rule.threshold - 1];
      return last !== undefined && last.at - at < rule.windowSeconds * 1000;
    });
    if (isEnough) return mine;
  }
  return [];
}

/** What of these scopes the events agree on: what may be stopped because of them. */
export function concerned(scopes: readonly string[], events: readonly WatchedEvent[]): readonly StopTarget[] {
  return (['agent', 'connector', 'tier'] as const).flatMap((scope) => {
    const values = new Set(events.map((event) => event[scope]));
    const [value] = values;
    return scopes.includes(scope) && values.size === 1 && value !== undefined && value !== null
      ? [{ scope, value }]
      : [];
  });
}

/** Reads what the rules look at from a leaf of the log. */
export function watchedEventOf(leaf: string): WatchedEvent {
  // What the database holds is in the vocabulary.
  const {
    id,
    type,
    time,
    subject,
    request_id: request,
    tier,
    data,
  } = JSON.parse(leaf) as JsonObject & {
    readonly [name in 'id' | 'type' | 'time']: string;
  };
  const { connector, proposal } = isJsonObject(data) ? data : {};
  return {
    ...{ id, type, at: Date.parse(time) },
    ...{ agent: textOrNull(subject), connector: textOrNull(connector), request: textOrNull(request) },
    ...{ change: textOrNull(proposal), tier: textOrNull(tier) },
  };
}

function textOrNull(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

/** Reads an answer of `atb/incident/watch`. Throws `policy_unavailable` where it is not of the form. */
export function parseWatchPlan(value: unknown): WatchPlan {
  const { interval_seconds: intervalSeconds, rules } = isJsonObject(value) ? value : {};
  if (!isPositive(intervalSeconds) || !Array.isArray(rules)) throw noPlan();
  return {
    intervalSeconds,
    rules: (rules as readonly unknown[]).map((rule) => {
      const {
        kind,
        events,
        by: key,
        threshold,
        window_seconds: windowSeconds,
      } = isJsonObject(rule) ? rule : {};
      const by = WATCH_KEYS.find((known) => known === key);
      if (
        typeof kind !== 'string' ||
        by === undefined ||
        !isPositive(threshold) ||
        !isPositive(windowSeconds) ||
        !Array.isArray(events) ||
        !events.every((event) => typeof event === 'string')
      ) {
        throw noPlan();
      }
      return { kind, events, by, threshold, windowSeconds };
    }),
  };
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function noPlan(): AtbError {
  return new AtbError('policy_unavailable', 'policy answered without a proper plan of what opens incidents');
}
