import { Registry } from 'prom-client';
import { AUDIT_EVENT_TYPES } from '../../domain/audit-event';
import { countedLeaves, EventMetrics } from '../../apps/log/event-metrics';
import { WorkerMetrics } from '../../apps/worker/metrics';
import type { Activities, VerdictInput } from '../../activities/types';
import type { AuditLeaf } from '../../domain/ports';

describe('audit events as metrics', () => {
  const leaf = (index: number, type: string, more: object = {}): AuditLeaf => ({
    index,
    leaf: Buffer.from(JSON.stringify({ type, tier: null, reasons: [], data: {}, ...more })),
  });
  const leavesOf = (all: readonly AuditLeaf[]) => ({
    size: () => Promise.resolve(all.length),
    async *read(from: number, to: number) {
      await Promise.resolve();
      yield* all.slice(from, to);
    },
  });
  const read = async (
    leaves: { read(from: number, to: number): AsyncIterable<AuditLeaf> },
    from: number,
    to: number,
  ) => {
    for await (const { index } of leaves.read(from, to)) expect(index).toBeGreaterThanOrEqual(from);
  };

  it('count each event once, however often it is read, and none that an earlier process counted', async () => {
    const registry = new Registry();
    const all = [
      leaf(0, 'poa_denied', { tier: 'high', reasons: ['agent_not_allowed', 'limit_wider'] }),
      leaf(1, 'poa_denied', { tier: 'high', reasons: ['agent_not_allowed'] }),
      leaf(2, 'poa_escalated', { tier: 'critical', data: { rung: 2 } }),
      leaf(3, 'poa_issued', { tier: 'low' }),
    ];
    const leaves = countedLeaves(leavesOf(all), 1, new EventMetrics(registry));
    await read(leaves, 0, 2);
    await read(leaves, 0, 4);
    await read(leaves, 0, 4);
    const text = await registry.metrics();
    expect(text).toContain('atb_audit_events_total{type="poa_denied",tier="high"} 1');
    expect(text).toContain('atb_audit_events_total{type="poa_issued",tier="low"} 1');
    expect(text).toContain('atb_refusals_total{type="poa_denied",reason="agent_not_allowed"} 1');
    expect(text).not.toContain('limit_wider');
    expect(text).toContain('atb_poa_escalations_total{tier="critical",rung="2"} 1');
  });

  it('have bounded labels, whatever events say (attack 37)', async () => {
    const registry = new Registry();
    const metrics = new EventMetrics(registry);
    for (let at = 0; at < 5_000; at += 1) {
      metrics.count(leaf(at, 'poa_denied', { tier: 'low', reasons: [`made_up_${at}`] }).leaf);
      metrics.count(leaf(at, 'poa_escalated', { tier: 'low', data: { rung: at } }).leaf);
      metrics.count(leaf(at, `type_of_tomorrow_${at}`).leaf);
    }
    const series = (await registry.metrics())
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(series.length).toBeLessThan(AUDIT_EVENT_TYPES.length * 5 + 251 + 10);
    expect(series.join('\n')).toMatch(/reason="other"\} 47\d\d$/m);
    expect(series.join('\n')).not.toContain('tomorrow');
  });
});

it('the time to approval runs from the request to the verdict after which nothing is outstanding', async () => {
  const metrics = new WorkerMetrics();
  const verdicts = [
    { outcome: 'counted', effect: 'require', assessment: { tier: 'high' } },
    { outcome: 'refused' },
    { outcome: 'counted', effect: 'issue', assessment: { tier: 'high' } },
  ];
  const activities = metrics.measured({
    recordVerdict: () => Promise.resolve(verdicts.shift()),
  } as unknown as Activities);
  const askedAt = Math.floor(Date.now() / 1_000) - 1_000;
  const input = { request: { evidence: { presentedAt: askedAt } } } as unknown as VerdictInput;
  for (let at = 0; at < 3; at += 1) await activities.recordVerdict(input);
  const text = await metrics.registry.metrics();
  expect(text).toContain('atb_poa_time_to_approval_seconds_count{tier="high"} 1');
  expect(text).toContain('atb_poa_time_to_approval_seconds_bucket{le="900",tier="high"} 0');
  expect(text).toContain('atb_poa_time_to_approval_seconds_bucket{le="1800",tier="high"} 1');
});
