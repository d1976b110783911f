import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { projectRoot } from '../../adapters/process/project-root';
import { registerApprovals } from './commands/approvals';
import { registerAudit } from './commands/audit';
import { registerCall } from './commands/call';
import { registerChange } from './commands/change';
import { registerCollect } from './commands/collect';
import { registerConnector } from './commands/connector';
import { registerConsultations } from './commands/consultations';
import { registerDoctor } from './commands/doctor';
import { registerDrill } from './commands/drill';
import { registerEvidence } from './commands/evidence';
import { registerIncidents } from './commands/incidents';
import { registerIntrospect } from './commands/introspect';
import { registerLift } from './commands/lift';
import { registerLogin } from './commands/login';
import { registerLs } from './commands/ls';
import { registerNotifications } from './commands/notifications';
import { registerPlan } from './commands/plan';
import { registerPolicy } from './commands/policy';
import { registerProbes } from './commands/probes';
import { registerProposals } from './commands/proposals';
import { registerReport } from './commands/report';
import { registerRequest } from './commands/request';
import { registerReviews } from './commands/reviews';
import { registerStops } from './commands/stops';
import { registerRevoke } from './commands/revoke';
import { registerShow } from './commands/show';
import { registerSvid } from './commands/svid';
import { registerTemplate } from './commands/template';
import { registerVerdicts } from './commands/verdicts';
import { registerVerify } from './commands/verify';
import { registerWithdraw } from './commands/withdraw';
import { EXIT } from './exit';
import { failureOf } from './failure';
import type { Surroundings } from './output';

const REGISTRATIONS = [
  registerLogin,
  registerCall,
  registerPlan,
  registerRequest,
  registerShow,
  registerLs,
  registerCollect,
  registerApprovals,
  registerVerdicts,
  registerReviews,
  registerWithdraw,
  registerRevoke,
  registerLift,
  registerStops,
  registerIntrospect,
  registerVerify,
  registerEvidence,
  registerReport,
  registerAudit,
  registerPolicy,
  registerProposals,
  registerConnector,
  registerChange,
  registerConsultations,
  registerIncidents,
  registerDrill,
  registerProbes,
  registerTemplate,
  registerSvid,
  registerNotifications,
  registerDoctor,
];

/** The command line, but for `dev`, which brings the servers' code with it. */
export function createProgram(surroundings: Surroundings): Command {
  const program = new Command('atb')
    .description('Agent Trust Broker: signed, approved, single-use mandates for AI agents')
    .version(version(), '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: surroundings.out, writeErr: surroundings.err })
    .showHelpAfterError('(see --help)')
    .addHelpText(
      'after',
      `
Exit codes: 0 done, 1 refused or rejected, 2 timed out waiting, 64 usage, 69 unavailable, 130 interrupted.

Examples:
  atb dev
  atb request crm.contact.read --as agent/crm-assistant --param contact_id=C-42 --leg-file leg.json
  atb approvals --as person/bob`,
    );
  for (const register of REGISTRATIONS) register(program, surroundings);
  return program;
}

/** Runs one command line (without node and script); sets and answers the exit code. */
export async function run(
  program: Command,
  argv: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  process.exitCode = EXIT.done;
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    process.exitCode = ended(error, argv.includes('--json'), surroundings);
  }
  return process.exitCode;
}

function ended(error: unknown, json: boolean, { out, err }: Surroundings): number {
  if (error instanceof CommanderError) {
    // Help and the version were asked for; everything else was said by commander already.
    if (error.exitCode === 0) return EXIT.done;
    if (json) out(`${JSON.stringify({ code: 'usage', detail: error.message })}\n`);
    return EXIT.usage;
  }
  const failure = failureOf(error);
  if (!failure) throw error;
  if (json) out(`${JSON.stringify(failure.problem, null, 2)}\n`);
  for (const [index, line] of failure.lines.entries()) err(index === 0 ? `atb: ${line}\n` : `  ${line}\n`);
  return failure.exitCode;
}

function version(): string {
  const { version: text } = JSON.parse(readFileSync(join(projectRoot(), 'package.json'), 'utf8')) as {
    version: string;
  };
  return text;
}
