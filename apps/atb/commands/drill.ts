import { setTimeout as sleep } from 'node:timers/promises';
import { Argument } from 'commander';
import type { Command } from 'commander';
import { EXIT } from '../exit';
import type { ExitCode } from '../exit';
import { incidentOf, openIncident } from '../incident';
import type { ShownIncident } from '../incident';
import { parseMoment } from '../moment';
import type { Surroundings } from '../output';
import { Interrupted, Refusal, Unreachable } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { Session } from '../session';
import type { SigningOptions } from '../signed-word';
import { wholeNumber } from '../whole-number';

const LOOK_EVERY_MS = 1_000;

interface DrillOptions extends SigningOptions {
  readonly wait: number;
  readonly fast?: true;
}

/** `atb drill`: an incident that is none, to see how long people take. */
export function registerDrill(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('drill'))
    .addArgument(new Argument('<severity>').choices(['p1', 'p2', 'p3']))
    .description('rehearse an incident from its opening to its resolution, and say how long people took')
    .option('--wait <seconds>', 'how long to wait at the most', wholeNumber, 3_600)
    .option('--fast', 'climb the ladder by the fast clock that policy has for drills')
    .option('--role <role>', 'the role in which you open it; needed where you have several that fit')
    .option('--reason <text>', 'why; it is signed')
    .option('--yes', 'sign without being asked; it is shown all the same')
    .addHelpText(
      'after',
      `
Opens an incident of the kind "drill", which says in each message that it is one. The ladder calls people as it would;
they acknowledge and resolve it as they would. Exits with 2 where they did not in time. With --fast ("drill_fast") nobody
needs to wait for hours to see it climb to its last rung; people are called all the same.

Example:
  atb drill p1 --as person/grace --reason 'the drill of this quarter'`,
    )
    .action(async (severity: string, options: DrillOptions) => {
      process.exitCode = await inSession(surroundings, options, (session) =>
        drill(session, severity.toUpperCase(), options),
      );
    });
}

async function drill(session: Session, severity: string, options: DrillOptions): Promise<ExitCode> {
  const asked = {
    kind: options.fast ? 'drill_fast' : 'drill',
    cause: `drill begun ${session.now.toISOString()}`,
    severity,
  };
  const opened = await openIncident(session, asked, options);
  if (!opened) return EXIT.refused;
  session.output.note(`${opened.id} is open; waiting until it is resolved`);
  const last = await resolved(session, opened, options.wait);
  const acknowledged = secondsUntil(last, last.acknowledgedAt);
  const over = secondsUntil(last, last.resolvedAt);
  const rungs = last.climbed.map(({ roles, at }) => ({ roles, after_seconds: secondsUntil(last, at) ?? 0 }));
  session.output.answer(
    {
      ...{ incident_id: last.id, severity, state: last.state, rungs },
      ...{ acknowledged_after_seconds: acknowledged, resolved_after_seconds: over },
    },
    [
      `${last.id} (${severity}, a drill) is ${last.state}`,
      ...rungs.map(({ roles, after_seconds: after }) => `  ${roles.join(', ')} told after ${after} s`),
      `  ${acknowledged === null ? 'nobody acknowledged it' : `acknowledged after ${acknowledged} s`}`,
      `  ${over === null ? 'nobody resolved it' : `resolved after ${over} s`}`,
    ].join('\n'),
  );
  return over === null ? EXIT.timedOut : EXIT.done;
}

/** Looks until it is resolved, at most that long; a break of the connection ends nothing. */
async function resolved(session: Session, opened: ShownIncident, seconds: number): Promise<ShownIncident> {
  const deadline = Date.now() + seconds * 1000;
  const interruption = new AbortController();
  const forget = session.surroundings.onInterrupt(() => {
    interruption.abort();
  });
  let shown = opened;
  try {
    while (shown.resolvedAt === null && Date.now() < deadline) {
      await sleep(LOOK_EVERY_MS, undefined, { signal: interruption.signal });
      shown = await incidentOf(session, opened.id).catch((error: unknown) => {
        const isAway = error instanceof Unreachable || (error instanceof Refusal && error.status >= 500);
        if (!isAway) throw error;
        session.output.note(`${error.message}; trying again`);
        return shown;
      });
    }
    return shown;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    throw new Interrupted(`stopped waiting; the drill goes on by itself: atb incident show ${opened.id}`, {
      cause: error,
    });
  } finally {
    forget();
  }
}

function secondsUntil({ openedAtSeconds }: ShownIncident, at: string | null): number | null {
  const then = parseMoment(at);
  return then === undefined ? null : Math.round(then.getTime() / 1000) - openedAtSeconds;
}
