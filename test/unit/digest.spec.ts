import { randomUUID } from 'node:crypto';
import type { AuditEvent, AuditEventType } from '../../domain/audit-event';
import { withBreakGlass } from '../support/policy';
import { agent, ORDER, PAYMENT, WorkerSteps } from '../support/worker-steps';

const HOUR = 3_600;

let steps: WorkerSteps;
let from: number;

beforeEach(async () => {
  steps = await WorkerSteps.open((data) => {
    withBreakGlass(data, ['grace', 'carol']);
  });
  from = Math.floor(steps.now.getTime() / 1000);
});

afterEach(() => steps.close());

async function issuedPayment(): Promise<void> {
  const asked = await steps.ask(PAYMENT);
  const bob = await steps.statement(asked, 'bob', 'compliance');
  const dave = await steps.statement(asked, 'dave', 'security_lead');
  expect(await steps.collect(asked, await steps.counted(asked, bob, dave))).toMatchObject({
    outcome: 'issued',
  });
}

async function digests(until: number) {
  steps.told.length = 0;
  await steps.activities.tellInformed({ from, until });
  return steps.told;
}

describe('the digest', () => {
  it('tells each team that is Informed once what was issued, by kind, and pages nobody', async () => {
    await issuedPayment();
    await issuedPayment();
    const order = await steps.ask(ORDER);
    await steps.collect(order, await steps.counted(order, await steps.statement(order, 'bob', 'compliance')));
    expect(steps.told.filter(({ roles }) => roles.includes('Broker-Team'))).toEqual([]);
    const told = await digests(from + HOUR);
    expect(told.map(({ kind, roles, id }) => ({ kind, roles, id }))).toEqual([
      { kind: 'digest', roles: ['Broker-Team'], id: `digest/Broker-Team/${from + HOUR}` },
      { kind: 'digest', roles: ['Platform-Ops'], id: `digest/Platform-Ops/${from + HOUR}` },
    ]);
    expect(told[0]?.text.split('\n').slice(1)).toEqual([
      `- high sap.payment.execute for ${agent('finance-bot')}: 2`,
      `- medium erp.order.create for ${agent('finance-bot')}: 1`,
    ]);
    // The same ids again: an outbox tells nobody twice.
    expect((await digests(from + HOUR)).map(({ id }) => id)).toEqual(told.map(({ id }) => id));
  });

  it('is not sent where there is nothing to tell, nor of what another period had', async () => {
    expect(await digests(from + HOUR)).toEqual([]);
    await issuedPayment();
    steps.told.length = 0;
    await steps.activities.tellInformed({ from: from + HOUR, until: from + 2 * HOUR });
    expect(steps.told).toEqual([]);
  });

  it('tells of incidents and changes whom the matrix names, and of decoys nobody', async () => {
    const now = steps.now;
    const recorded = (type: AuditEventType, data: AuditEvent['data']) =>
      steps.ledger.append({
        ...{ id: randomUUID(), type, time: now, requestId: null, actor: null, subject: null },
        ...{ action: null, tier: null, reasons: [], data },
      });
    for (const incident of ['a', 'b']) {
      await recorded('incident_opened', {
        ...{ incident, kind: 'mandate_replayed', opened_at: 1, cause: incident, severity: 'P1' },
        ...{ source: 'audit', statement_digest: null, policy_revision: 'r' },
      });
    }
    const change = { proposal: 'change.x', kind: 'change', name: 'x' };
    await recorded('change_ended', { ...change, state: 'rolled_back', percent: 0 });
    const decoy = { proposal: 'probe.autumn', kind: 'probe', name: 'autumn' };
    await recorded('proposal_approved', {
      ...decoy,
      digest: 'd'.repeat(43),
      valid_until: null,
      policy_revision: 'r',
    });
    const told = await digests(from + HOUR);
    expect(told.map(({ roles }) => roles)).toEqual([['Legal'], ['Security']]);
    const rolledBack = '- change ended: change x (rolled_back): 1';
    expect(told[0]?.text.split('\n').slice(1)).toEqual([
      rolledBack,
      '- incident opened: mandate_replayed (P1): 2',
    ]);
    expect(told[1]?.text.split('\n').slice(1)).toEqual([rolledBack]);
    expect(JSON.stringify(told)).not.toContain('autumn');
  });

  it('lists no more than policy says', async () => {
    await steps.movePolicy((data) => {
      data.digest.most_listed = 1;
    });
    await issuedPayment();
    const order = await steps.ask(ORDER);
    await steps.collect(order, await steps.counted(order, await steps.statement(order, 'bob', 'compliance')));
    const [told] = await digests(from + HOUR);
    expect(told?.text.split('\n').at(-1)).toBe('- and 1 more kinds');
  });

  it('reminds those Accountable of a review that is open, and says when it is overdue', async () => {
    const asked = await steps.ask(PAYMENT);
    steps.later(HOUR);
    const { request, assessment } = asked;
    await steps.activities.escalate({
      ...{ request, agent: assessment.agent, tier: 'high', rung: 1, roles: ['on_call'], pendingSince: 0 },
    });
    await steps.counted(
      asked,
      await steps.statement(asked, 'grace', 'break_glass'),
      await steps.statement(asked, 'carol', 'break_glass'),
    );
    const open = await digests(from + 2 * HOUR);
    expect(open.map(({ roles }) => roles)).toEqual([['Legal'], ['Security']]);
    expect(open[0]?.text).toContain(`- ${request.requestId}: high sap.payment.execute, due `);
    expect(open[0]?.text).not.toContain('overdue');
    steps.later(4 * 24 * HOUR);
    const [late] = await digests(from + 5 * 24 * HOUR);
    expect(late?.text).toContain(', overdue');
  });

  it('is off where policy has no period', async () => {
    expect(await steps.activities.digestPeriodSeconds()).toBe(86_400);
    await steps.movePolicy((data) => {
      data.digest.period_seconds = null;
    });
    expect(await steps.activities.digestPeriodSeconds()).toBeNull();
  });
});
