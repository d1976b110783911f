import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { isAtbError } from '../../../domain/error';
import { DEFAULT_PORT_BASE, portsFrom } from './ports';
import { installTemporalSdk } from '../../temporal-sdk';
import { openTracing } from '../../tracing';
import type { Tracing } from '../../tracing';
import { progressTo } from './progress';
import { startStack } from './stack';
import type { Stack } from './stack';
import { runTour, tourAsText } from './tour';

interface DevOptions {
  readonly stateDir: string;
  readonly portBase: number;
  readonly once: boolean;
  readonly temporal?: string;
}

/** Exit codes beyond the table: the tour failed, or a signal ended it while it was starting. */
const TOUR_FAILED = 1;
const UNAVAILABLE = 69;

/** `atb dev`: everything on one machine. */
export function registerDev(program: Command): void {
  program
    .command('dev')
    .description(
      'start everything on this machine: Temporal, PostgreSQL, worker, AgentAuth, broker, identities',
    )
    .option('--state-dir <dir>', 'where everything is kept', process.env.ATB_STATE_DIR ?? '.atb')
    .option('--port-base <n>', 'the first of ten ports in a row', wholeNumber, DEFAULT_PORT_BASE)
    .option('--once', 'run the whole tour, say what each step did, and stop', false)
    .option('--temporal <address>', 'use this Temporal server (namespace atb) rather than starting one')
    .addHelpText('after', '\nExamples:\n  atb dev\n  atb dev --state-dir /tmp/atb --port-base 9000 --once')
    .action(async (options: DevOptions) => {
      process.exitCode = await dev(options);
    });
}

async function dev(options: DevOptions): Promise<number> {
  const write = (line: string) => {
    process.stdout.write(`${line}\n`);
  };
  installTemporalSdk({ level: 'WARN' });
  const stop = stopSignal();
  let stack: Stack | undefined;
  let tracing: Tracing | undefined;
  try {
    tracing = await openTracing('atb-dev');
    stack = await startStack({
      stateDirectory: resolve(options.stateDir),
      ports: portsFrom(options.portBase),
      progress: progressTo(write),
      temporalAddress: options.temporal,
      onFatal: stop.now,
    });
    if (options.once) return (await runTour(stack.stateDirectory, write)) ? 0 : TOUR_FAILED;
    welcome(stack, write);
    await stop.asked;
    return stop.failed() ? UNAVAILABLE : 0;
  } catch (error) {
    if (!isAtbError(error)) throw error;
    process.stderr.write(`atb dev: ${error.message}\n`);
    return UNAVAILABLE;
  } finally {
    if (stack) {
      write('\nStopping …');
      await stack.stop();
      write('Stopped. Everything is kept; start again to go on.');
    }
    await tracing?.close();
  }
}

function welcome(stack: Stack, write: (line: string) => void): void {
  write(`
Ready.

  AgentAuth    ${stack.agentauthUrl}        (OpenAPI: ${stack.agentauthUrl}/openapi.json)
  Admin        ${stack.agentauthAdminUrl}        (/healthz /readyz /metrics)
  Broker       ${stack.brokerUrl}/c/<connector>/<path>        (connectors: those in ${stack.stateDirectory}/connectors)
  Temporal UI  ${stack.temporalUiUrl ?? '(that of the Temporal server you named)'}
  Codec        ${stack.codecEndpoint}
  Identities   ${stack.devJson}

A tour, to copy into another terminal in this folder:

${tourAsText(stack.stateDirectory)}

Ctrl-C stops everything; what was issued and what is pending is kept.`);
}

function stopSignal() {
  let resolveAsked: () => void = () => undefined;
  let fatal = false;
  const asked = new Promise<void>((resolve) => {
    resolveAsked = resolve;
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      resolveAsked();
    });
  }
  return {
    asked,
    failed: () => fatal,
    now: () => {
      fatal = true;
      resolveAsked();
    },
  };
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('a whole number, please');
  return Number(text);
}
