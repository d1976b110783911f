import type { Count, MonthlyReport } from '../../domain/monthly-report';

/** One table of the report: its title, its columns, and its rows. */
export interface ReportTable {
  readonly title: string;
  /** Under it, where there is something to say of it. */
  readonly note?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

const MOST_ROWS = 50;

/** The report as tables, in the order in which somebody reads it. */
export function tablesOf(report: MonthlyReport): readonly ReportTable[] {
  const counted = (title: string, what: string, counts: readonly Count[], note?: string): ReportTable => ({
    ...{ title, columns: [what, 'count'] },
    ...(counts.length > MOST_ROWS
      ? { note: `The first ${MOST_ROWS} of ${counts.length}.` }
      : note !== undefined && { note }),
    rows: counts.slice(0, MOST_ROWS).map(({ name, count }) => [name, count]),
  });
  return [
    {
      title: 'In short',
      columns: ['what', 'count'],
      rows: [
        ['requests', report.requests],
        ['mandates issued', report.mandates],
        ...report.endsWithoutMandate.map(({ name, count }) => [`requests ${name}`, count] as const),
        ['requests escalated', report.escalations.requests],
        ['rungs climbed', report.escalations.rungs],
        ['glass broken', report.breakGlass.length],
        ['reviews open at the end of the month', report.openReviews.length],
      ],
    },
    {
      title: 'Open reviews',
      columns: ['what', 'id', 'since', 'due'],
      rows: report.openReviews.map(({ what, id, since, due }) => [
        what,
        id,
        minute(since),
        due ? minute(due) : '',
      ]),
    },
    {
      title: 'Break glass',
      columns: ['request', 'when', 'by'],
      rows: report.breakGlass.map(({ requestId, at, by }) => [requestId, minute(at), by.join(', ')]),
    },
    counted('Mandates by tier', 'tier', report.mandatesByTier),
    counted('Mandates by agent', 'agent', report.mandatesByAgent),
    counted(
      'Mandates by approver',
      'approver',
      report.mandatesByApprover,
      'A mandate under dual control counts for each.',
    ),
    counted('Mandates by action', 'action', report.mandatesByAction),
    counted(
      'Denials and rejections by reason',
      'reason',
      report.denialsByReason,
      'One refusal may have several reasons.',
    ),
    {
      title: 'How long approval took',
      note: 'From asking to the last word that was needed.',
      columns: ['tier', 'requests', 'median', 'nine of ten within', 'longest'],
      rows: report.approvalTimes.map(({ tier, count, medianSeconds, p90Seconds, longestSeconds }) => [
        ...[tier, count, duration(medianSeconds), duration(p90Seconds), duration(longestSeconds)],
      ]),
    },
    counted('Calls to the broker', 'what', report.redemptions),
  ];
}

function minute(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
