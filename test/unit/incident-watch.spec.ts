import incidents from '../../policy/data/incidents.json';
import { AUDIT_EVENTS } from '../../domain/audit-event';
import { incidentId } from '../../domain/incident-digest';
import {
  causeOf,
  concerned,
  IncidentWindows,
  parseWatchPlan,
  reasonsFor,
  watchedEventOf,
} from '../../domain/incident-watch';
import type { WatchedEvent, WatchRule } from '../../domain/incident-watch';

const BOT = 'spiffe://corp.example/agent/finance-bot';
const REPLAY = 'poa_single_use_replay_blocked';
const RULE: WatchRule = {
  ...{ kind: 'mandate_replayed', events: [REPLAY], by: 'agent', threshold: 3, windowSeconds: 60 },
};

const event = (id: string, seconds: number, changes: Partial<WatchedEvent> = {}): WatchedEvent => ({
  ...{ id, type: REPLAY, at: seconds * 1000, agent: BOT, connector: 'erp', request: 'r' },
  ...{ change: null, tier: 'high' },
  ...changes,
});
const seen = (events: readonly WatchedEvent[], rules: readonly WatchRule[] = [RULE]) =>
  new IncidentWindows(rules, {}).see(events);

it('reports so many events of one cause within the window, with those that led to it', () => {
  expect(seen([event('a', 0), event('b', 30)])).toEqual([]);
  expect(seen([event('a', 0), event('b', 30), event('c', 59)])).toEqual([
    { kind: 'mandate_replayed', cause: `agent ${BOT}`, sightings: ['a', 'b', 'c'] },
  ]);
  expect(seen([event('a', 0), event('b', 30), event('c', 60)])).toEqual([]);
  expect(seen([event('a', 0), event('a', 1), event('a', 2)])).toEqual([]);
  const another = { agent: 'spiffe://corp.example/agent/hr-helper' };
  expect(seen([event('a', 0), event('b', 1), event('c', 2, another)])).toEqual([]);
  expect(seen([event('a', 0), event('b', 1), event('c', 2, { type: 'poa_denied' })])).toEqual([]);
});

it('counts on from what was kept, whoever kept it', () => {
  const first = new IncidentWindows([RULE], {});
  expect(first.see([event('a', 0), event('b', 1)])).toEqual([]);
  const kept = JSON.parse(JSON.stringify(first.state)) as never;
  expect(new IncidentWindows([RULE], kept).see([event('c', 2)])).toMatchObject([
    { sightings: ['a', 'b', 'c'] },
  ]);
  // Not when it was kept by nobody: then each is the first.
  expect(new IncidentWindows([RULE], {}).see([event('c', 2)])).toEqual([]);
});

it('makes one report of ten thousand events, and keeps little of them', () => {
  const windows = new IncidentWindows([RULE], {});
  const storm = Array.from({ length: 10_000 }, (_, n) => event(`e${n}`, n / 1000));
  const reports = [];
  for (let from = 0; from < storm.length; from += 500)
    reports.push(...windows.see(storm.slice(from, from + 500)));
  expect(new Set(reports.map(({ kind, cause }) => `${kind} ${cause}`)).size).toBe(1);
  expect(new Set(reports.flatMap(({ sightings }) => sightings)).size).toBe(10_000);
  expect(JSON.stringify(windows.state).length).toBeLessThan(300);
  windows.see(Array.from({ length: 10_000 }, (_, n) => event(`x${n}`, n, { agent: `agent ${n}` })));
  expect(Object.keys(windows.state)).toHaveLength(2_000);
});

it('is held against the log again: too few, of another cause or kind, or too far apart are no reason', () => {
  const cause = `agent ${BOT}`;
  const enough = [event('a', 0), event('b', 30), event('c', 59)];
  const of = { kind: 'mandate_replayed', cause };
  expect(reasonsFor([RULE], of, enough)).toEqual(enough);
  expect(reasonsFor([RULE], of, enough.slice(1))).toEqual([]);
  expect(reasonsFor([RULE], of, [...enough.slice(1), event('d', 99)])).toEqual([]);
  expect(reasonsFor([RULE], { ...of, cause: 'agent other' }, enough)).toEqual([]);
  expect(reasonsFor([RULE], { ...of, kind: 'prompt_injection' }, enough)).toEqual([]);
});

it('concerns what all of its events name, and nothing where they differ', () => {
  const events = [event('a', 0), event('b', 1, { connector: 'crm', tier: null })];
  expect(concerned(['agent', 'connector', 'tier'], events)).toEqual([{ scope: 'agent', value: BOT }]);
  expect(concerned([], events)).toEqual([]);
  expect(concerned(['agent'], [event('a', 0, { agent: null })])).toEqual([]);
});

it('has one cause for all where the rule says so', () => {
  expect(causeOf({ by: 'all' }, event('a', 0))).toBe('all');
  expect(causeOf({ by: 'connector' }, event('a', 0, { connector: null }))).toBe('connector unknown');
});

it('makes an incident of each change whose rollback failed, by the policy that is delivered', () => {
  const { rules } = parseWatchPlan(incidents.watch);
  const failed = (change: string) => {
    const id = `change/${change}/rollback`;
    const leaf = {
      id,
      type: 'change_rollback_failed',
      time: '2026-01-15T10:00:00Z',
      data: { proposal: change },
    };
    return watchedEventOf(JSON.stringify(leaf));
  };
  const [one, other] = [failed('change.one'), failed('change.other')];
  const reports = seen([one, other, one], rules);
  expect(reports).toEqual([
    { kind: 'change_rollback_failed', cause: 'change change.one', sightings: [one.id] },
    { kind: 'change_rollback_failed', cause: 'change change.other', sightings: [other.id] },
  ]);
  const ids = reports.map(({ kind, cause }) => incidentId({ kind, cause }));
  expect(new Set(ids).size).toBe(2);
  // Neither is a reason for the other's.
  for (const report of reports) expect(reasonsFor(rules, report, [one, other])).toHaveLength(1);
});

it('watches for events that there are', () => {
  const { rules } = parseWatchPlan(incidents.watch);
  const events = rules.flatMap((rule) => rule.events);
  expect(events.filter((type) => !Object.hasOwn(AUDIT_EVENTS, type))).toEqual([]);
  expect(new Set(events)).toEqual(
    new Set([
      ...[REPLAY, 'security_event', 'poa_break_glass', 'change_rollback_failed', 'incident_workflow_lost'],
      ...['poa', 'proposal', 'change', 'incident', 'consultation'].map((what) => `${what}_signal_rejected`),
    ]),
  );
});

it.each([[{}], [{ interval_seconds: 0, rules: [] }], [{ interval_seconds: 5, rules: [{ by: 'moon' }] }]])(
  'takes no plan that is none: %j',
  (plan) => {
    expect(() => parseWatchPlan(plan)).toThrow('without a proper plan');
  },
);
