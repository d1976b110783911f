import Mustache from 'mustache';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { visible } from '../../domain/foreign-text';
import type { MonthlyReport } from '../../domain/monthly-report';
import { projectRoot } from '../process/project-root';
import { dailyChart } from './daily-chart';
import { tablesOf } from './monthly-tables';

export const REPORT_FORMATS = ['md', 'html', 'csv'] as const;
export type ReportFormat = (typeof REPORT_FORMATS)[number];

/** Not compiled: it is read where it stands. */
const TEMPLATE_FILE = join(projectRoot(), 'adapters', 'report', 'templates', 'monthly.html');

/** The report as a document. Names may be an agent's words: each format escapes what means something in it. */
export function formatReport(report: MonthlyReport, format: ReportFormat, madeAt: Date): string {
  switch (format) {
    case 'md':
      return markdown(report, madeAt);
    case 'html':
      return html(report, madeAt);
    case 'csv':
      return csv(report);
  }
}

function markdown(report: MonthlyReport, madeAt: Date): string {
  const cell = (value: string | number) => visible(String(value)).replace(/[|<>`*_[\]]/g, String.raw`\$&`);
  const line = (cells: readonly (string | number)[]) => `| ${cells.map(cell).join(' | ')} |`;
  const sections = tablesOf(report).map(({ title, note, columns, rows }) =>
    [
      `## ${title}`,
      '',
      ...(note === undefined ? [] : [note, '']),
      ...(rows.length === 0 ? ['None.'] : [line(columns), line(columns.map(() => '---')), ...rows.map(line)]),
      '',
    ].join('\n'),
  );
  return `# Mandates in ${report.month}\n\nMade of the audit log at ${madeAt.toISOString()}.\n\n${sections.join('\n')}`;
}

function html(report: MonthlyReport, madeAt: Date): string {
  const [short, ...tables] = tablesOf(report).map(({ title, note, columns, rows }) => ({
    ...{ title, note, empty: rows.length === 0 },
    columns,
    rows: rows.map((cells) => ({
      cells: cells.map((value) => ({ value: visible(String(value)), kind: typeof value })),
    })),
  }));
  return Mustache.render(readFileSync(TEMPLATE_FILE, 'utf8'), {
    ...{ month: report.month, madeAt: madeAt.toISOString(), chart: dailyChart(report.days) },
    figures: short?.rows.map(({ cells: [what, count] }) => ({ what: what?.value, count: count?.value })),
    tables,
  });
}

/** RFC 4180: one table, each row with the section that it is of. */
function csv(report: MonthlyReport): string {
  const rows = tablesOf(report).flatMap(({ title, columns, rows: lines }) =>
    lines.flatMap(([name = '', ...values]) =>
      values.map((value, index) => [
        ...[title, visible(String(name)), columns[index + 1] ?? '', visible(String(value))],
      ]),
    ),
  );
  return [['section', 'name', 'column', 'value'], ...rows]
    .map((cells) => `${cells.map(csvCell).join(',')}\r\n`)
    .join('');
}

/** A spreadsheet takes what begins so for a formula: an apostrophe tells it not to. */
function csvCell(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
