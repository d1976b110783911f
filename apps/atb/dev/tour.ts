import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../../../adapters/process/project-root';

/** One command of the tour: shown to be copied, or run by `--once`. `$NAME` stands for the id of an earlier request. */
export interface TourStep {
  readonly title: string;
  readonly argv: readonly string[];
  /** The exit code that shows that the step did what it must. */
  readonly exits: number;
  /** What its JSON answer must say. */
  readonly says?: Readonly<Record<string, unknown>>;
  /** Keeps the answer's request_id under this name. */
  readonly keepsAs?: string;
}

const ACCOUNTABLE = ['--jurisdiction', 'EU', '--accountable', 'employee:emp-200'];
const INTEREST = [...ACCOUNTABLE, '--basis', 'LI', '--ref', 'LI-2024-001'];
const CONTRACT = [...ACCOUNTABLE, '--basis', 'CONTRACT', '--ref', 'MSA-12345'];
const OBLIGATION = [...ACCOUNTABLE, '--basis', 'LEGAL', '--ref', 'PCI-DSS-3.7'];

const PAYMENT = ['call', 'erp', 'POST', '/payments', '--as', 'agent/finance-bot'];

const approve = (verb: 'approve' | 'release', person: string, request: string, reason: string): TourStep => ({
  title: `${person} ${verb}s`,
  argv: [verb, request, '--as', `person/${person}`, '--reason', reason, '--yes'],
  exits: 0,
});

const collect = (agent: string, request: string): TourStep => ({
  title: 'the agent collects its mandate',
  argv: ['collect', request, '--as', `agent/${agent}`],
  exits: 0,
  says: { state: 'issued' },
});

/** A low, a medium, a high and a critical request, two calls, and one that is refused; then what the audit log tells of them. */
export const TOUR: readonly { readonly heading: string; readonly steps: readonly TourStep[] }[] = [
  {
    heading: 'Low tier: nothing is required, the mandate comes at once',
    steps: [
      {
        title: 'crm-assistant asks to read a contact',
        argv: [
          ...['request', 'crm.contact.read', '--as', 'agent/crm-assistant', '--param', 'contact_id=C-42'],
          ...INTEREST,
        ],
        exits: 0,
        says: { state: 'issued', tier: 'low' },
      },
      {
        title: 'crm-assistant reads it: the whole round, through the broker',
        argv: ['call', 'crm', 'GET', '/contacts/C-42', '--as', 'agent/crm-assistant', ...INTEREST],
        exits: 0,
        says: { state: 'redeemed', status: 200 },
      },
    ],
  },
  {
    heading: 'Medium tier: one approver, who is not the requester',
    steps: [
      {
        title: 'finance-bot asks to create an order',
        argv: [
          ...['request', 'erp.order.create', '--as', 'agent/finance-bot', '--param', 'order_id=SO-7'],
          ...[...CONTRACT, '--description', 'Fulfill customer order #789'],
          ...['--justification', 'the customer ordered by mail'],
        ],
        exits: 0,
        says: { state: 'pending', tier: 'medium' },
        keepsAs: 'MEDIUM',
      },
      approve('approve', 'bob', '$MEDIUM', 'ordered, I saw the mail'),
      collect('finance-bot', '$MEDIUM'),
    ],
  },
  {
    heading: 'High tier: dual control, two distinct approvers',
    steps: [
      {
        title: 'finance-bot asks to pay',
        argv: [
          ...['request', 'sap.payment.execute', '--as', 'agent/finance-bot'],
          ...['--param', 'amount:=1250', '--param', 'vendor_id=V-1'],
          ...CONTRACT,
          ...['--justification', 'invoice 4711 is due'],
        ],
        exits: 0,
        says: { state: 'pending', tier: 'high' },
        keepsAs: 'HIGH',
      },
      {
        title: 'alice owns finance-bot: her approval is refused',
        argv: ['approve', '$HIGH', '--as', 'person/alice', '--role', 'manager', '--reason', 'mine', '--yes'],
        exits: 1,
      },
      approve('approve', 'bob', '$HIGH', 'the invoice is right'),
      approve('approve', 'carol', '$HIGH', 'the account is known'),
      collect('finance-bot', '$HIGH'),
      {
        title: 'finance-bot pays, through the broker',
        argv: [...PAYMENT, '--data', '{"amount":1250,"vendor_id":"V-1"}', '--request', '$HIGH'],
        exits: 0,
        says: { state: 'redeemed', status: 201 },
      },
      {
        title: 'a mandate works once',
        argv: [...PAYMENT, '--data', '{"amount":1250,"vendor_id":"V-1"}', '--request', '$HIGH'],
        exits: 1,
        says: { code: 'poa_single_use_replay_blocked' },
      },
    ],
  },
  {
    heading: 'Critical tier: dual control, an open ticket, and a manual release by a third',
    steps: [
      {
        title: 'explorer asks to rotate the master key',
        argv: [
          ...['request', 'security.master_key.rotate', '--as', 'agent/explorer', '--param', 'key_id=mk-1'],
          ...['--ticket', 'CHG-1001', ...OBLIGATION, '--justification', 'quarterly rotation'],
        ],
        exits: 0,
        says: { state: 'pending', tier: 'critical' },
        keepsAs: 'CRITICAL',
      },
      approve('approve', 'bob', '$CRITICAL', 'planned'),
      approve('approve', 'dave', '$CRITICAL', 'planned'),
      approve('release', 'erin', '$CRITICAL', 'the window is open'),
      collect('explorer', '$CRITICAL'),
    ],
  },
  {
    heading: 'What is not in the catalogue is refused, and everything is in the audit log',
    steps: [
      {
        title: 'an unknown action is refused',
        argv: ['request', 'crm.contact.teleport', '--as', 'agent/crm-assistant'],
        exits: 1,
        says: { code: 'unknown_action' },
      },
      { title: 'the audit log tells it all', argv: ['audit', 'ls', '--limit', '50'], exits: 0 },
    ],
  },
];

/** The tour as lines to copy into a shell in the project's folder. */
export function tourAsText(stateDirectory: string): string {
  const lines: string[] = [`export ATB_STATE_DIR=${quoted(stateDirectory)}`];
  for (const { heading, steps } of TOUR) {
    lines.push('', `# ${heading}`);
    for (const step of steps) {
      const command = ['bin/atb', ...step.argv].map(quoted).join(' ');
      lines.push(step.keepsAs === undefined ? command : `${step.keepsAs}=$(${command} --quiet)`);
    }
  }
  return lines.join('\n');
}

/** Runs every step with the real command line and prints each outcome; true when every step did what it must. */
export async function runTour(stateDirectory: string, write: (line: string) => void): Promise<boolean> {
  const kept = new Map<string, string>();
  let allGood = true;
  for (const { heading, steps } of TOUR) {
    write(`\n${heading}`);
    for (const step of steps) {
      const argv = step.argv.map((word) => kept.get(word) ?? word);
      const outcome = await runCommand([...argv, '--json'], stateDirectory);
      const answer = parsed(outcome.stdout);
      const wrong = differences(step, outcome.exitCode, answer);
      if (step.keepsAs !== undefined && typeof answer.request_id === 'string') {
        kept.set(`$${step.keepsAs}`, answer.request_id);
      }
      allGood &&= wrong.length === 0;
      const said = [answer.code, answer.state].find((value) => typeof value === 'string') ?? '';
      write(
        `  ${wrong.length === 0 ? '✓' : '✗'} ${step.title}: exit ${outcome.exitCode}${said && `, ${said}`}`,
      );
      for (const line of wrong) write(`      ${line}`);
      if (wrong.length > 0) write(`      ${outcome.stdout.trim()} ${outcome.stderr.trim()}`.trimEnd());
    }
  }
  return allGood;
}

function differences(step: TourStep, exitCode: number, answer: Record<string, unknown>): string[] {
  const wrong = exitCode === step.exits ? [] : [`expected exit ${step.exits}`];
  for (const [key, value] of Object.entries(step.says ?? {})) {
    if (answer[key] !== value) wrong.push(`expected ${key} ${String(value)}, got ${String(answer[key])}`);
  }
  return wrong;
}

interface CommandOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runCommand(argv: readonly string[], stateDirectory: string): Promise<CommandOutcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(projectRoot(), 'bin', 'atb'), ...argv],
      { env: { ...process.env, ATB_STATE_DIR: stateDirectory }, timeout: 60_000 },
      (error, stdout, stderr) => {
        resolve({ exitCode: error ? (typeof error.code === 'number' ? error.code : 70) : 0, stdout, stderr });
      },
    );
  });
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function quoted(word: string): string {
  return /^[\w@%+=:,./$-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
