import { formatReport } from '../../adapters/report/monthly-formats';
import type { AuditEvent } from '../../domain/audit-event';
import { monthOf, MonthlyTally } from '../../domain/monthly-report';
import { anEvent } from '../support/ledger-contract';

const FINANCE = 'spiffe://corp.example/agent/finance-bot';
const HR = 'spiffe://corp.example/agent/hr-helper';
const [BOB, DAVE] = ['bob', 'dave'].map((name) => `spiffe://corp.example/person/${name}`) as [string, string];
const at = (day: number, minute = 0) => new Date(Date.UTC(2026, 10, day, 12, minute));

type Type = Parameters<typeof anEvent>[0];
const event = (type: Type, requestId: string, time: Date, more: Partial<AuditEvent> = {}) =>
  anEvent(type, requestId, { time, subject: FINANCE, action: 'sap.payment.execute', tier: 'high', ...more });

/** A request that two people approved, so many minutes after it was asked. */
function approved(
  id: string,
  day: number,
  minutes: number,
  approvers: readonly (string | null)[],
): AuditEvent[] {
  return [
    event('poa_requested', id, at(day)),
    event('poa_escalated', id, at(day), { data: { rung: 0 } }),
    event('poa_escalated', id, at(day, 1), { data: { rung: 1 } }),
    event('poa_verdict_recorded', id, at(day, minutes), { data: { verdict: 'approve' } }),
    event('poa_issued_dual_control', id, at(day, 59), { data: { approvers } }),
    event('poa_redeemed', id, at(day, 59)),
  ];
}

const EVENTS = [
  event('poa_requested', 'october', new Date(Date.UTC(2026, 9, 31, 23, 59))),
  event('poa_issued', 'october', new Date(Date.UTC(2026, 9, 31, 23, 59)), { data: { approvers: [] } }),
  event('poa_break_glass', 'long-ago', new Date(Date.UTC(2026, 9, 1)), {
    data: { people: [BOB], review_until: 1_793_000_000 },
  }),
  ...approved('one', 2, 10, [BOB, DAVE]),
  ...approved('two', 2, 30, [BOB, null]),
  ...approved('three', 30, 2, [BOB, DAVE]),
  event('poa_requested', 'four', at(3), { subject: HR, action: 'crm.contact.read', tier: 'low' }),
  event('poa_issued', 'four', at(3), {
    subject: HR,
    action: 'crm.contact.read',
    tier: 'low',
    data: { approvers: [] },
  }),
  event('poa_requested', 'five', at(4)),
  event('poa_denied', 'five', at(4), { reasons: ['limit_wider', 'ticket_missing'] }),
  event('poa_rejected', 'six', at(4), { reasons: ['rejected'] }),
  event('poa_expired', 'seven', at(5)),
  event('poa_single_use_replay_blocked', 'one', at(6)),
  event('poa_break_glass', 'eight', at(7), { data: { people: [DAVE, BOB], review_until: 1_796_000_000 } }),
  event('poa_break_glass', 'nine', at(8), { data: { people: [DAVE], review_until: 1_796_000_000 } }),
  event('poa_break_glass_reviewed', 'nine', at(9)),
  event('proposal_made', 'p', at(9), { requestId: null, data: { proposal: 'p-1', kind: 'connector' } }),
  event('proposal_made', 'p2', at(9), { requestId: null, data: { proposal: 'p-2', kind: 'change' } }),
  event('proposal_ended', 'p2', at(10), { requestId: null, data: { proposal: 'p-2', kind: 'change' } }),
  event('poa_issued', 'december', new Date(Date.UTC(2026, 11, 1)), { data: { approvers: [] } }),
];

function november() {
  const tally = new MonthlyTally('2026-11');
  for (const one of EVENTS) tally.add(one);
  return tally.report();
}

describe('the report of a month', () => {
  it('counts what happened in it, and nothing before or after', () => {
    expect(november()).toMatchObject({
      month: '2026-11',
      requests: 5,
      mandates: 4,
      mandatesByTier: [
        { name: 'low', count: 1 },
        { name: 'medium', count: 0 },
        { name: 'high', count: 3 },
        { name: 'critical', count: 0 },
      ],
      mandatesByAgent: [
        { name: FINANCE, count: 3 },
        { name: HR, count: 1 },
      ],
      mandatesByApprover: [
        { name: BOB, count: 3 },
        { name: DAVE, count: 2 },
        { name: 'erased or unknown', count: 1 },
      ],
      denialsByReason: [
        { name: 'limit_wider', count: 1 },
        { name: 'rejected', count: 1 },
        { name: 'ticket_missing', count: 1 },
      ],
      endsWithoutMandate: [
        { name: 'denied', count: 1 },
        { name: 'expired', count: 1 },
        { name: 'rejected', count: 1 },
      ],
      escalations: { requests: 3, rungs: 3 },
      redemptions: [
        { name: 'let through with a mandate', count: 3 },
        { name: 'replays blocked', count: 1 },
      ],
    });
  });

  it('tells how long people took, from asking to the last word', () => {
    expect(november().approvalTimes).toEqual([
      { tier: 'high', count: 3, medianSeconds: 600, p90Seconds: 1800, longestSeconds: 1800 },
    ]);
  });

  it('tells each broken glass of the month, and every review that is still open at its end', () => {
    const { breakGlass, openReviews } = november();
    expect(breakGlass.map(({ requestId, by }) => [requestId, by])).toEqual([
      ['eight', [DAVE, BOB]],
      ['nine', [DAVE]],
    ]);
    expect(openReviews.map(({ what, id }) => [what, id])).toEqual([
      ['break glass', 'long-ago'],
      ['break glass', 'eight'],
      ['proposal: connector', 'p-1'],
    ]);
  });

  it('has each day of the month', () => {
    const { days } = november();
    expect(days).toHaveLength(30);
    expect(days[1]).toEqual({ day: 2, issued: 2, refused: 0 });
    expect(days[3]).toEqual({ day: 4, issued: 0, refused: 2 });
    expect(monthOf('2028-02').until).toEqual(new Date('2028-03-01T00:00:00Z'));
    for (const wrong of ['2026-13', '2026-1', 'november']) expect(() => monthOf(wrong)).toThrow(RangeError);
  });

  it.each(['md', 'html', 'csv'] as const)('is told as %s, whatever an agent calls itself', (format) => {
    const tally = new MonthlyTally('2026-11');
    const evil = '<script>alert(1)</script>|=1+1","\u202e';
    tally.add(event('poa_issued', 'x', at(1), { subject: evil, action: '=cmd()', data: { approvers: [] } }));
    const text = formatReport(tally.report(), format, at(30));
    // In a spreadsheet it is a text like any other.
    if (format !== 'csv') expect(text).not.toContain('<script>alert');
    expect(text).not.toContain('\u202e');
    if (format === 'csv') expect(text).toContain("Mandates by action,'=cmd(),count,1\r\n");
    else expect(text).toContain('2026-11');
  });

  it('as HTML has its chart in it, needs nothing from elsewhere, and runs nothing', () => {
    const html = formatReport(november(), 'html', at(30));
    expect(html.match(/<rect class="issued"/g)).toHaveLength(3);
    expect(html).toContain('<title>2: 2 issued, 0 refused</title>');
    expect(html).not.toMatch(/<script|https?:|url\(|@import| on\w+=/);
  });

  it('of a month in which nothing happened says so', () => {
    const text = formatReport(new MonthlyTally('2026-02').report(), 'md', at(1));
    expect(text).toContain('| mandates issued | 0 |');
    expect(text).toContain('None.');
    expect(formatReport(new MonthlyTally('2026-02').report(), 'html', at(1))).toContain('<svg');
  });
});
