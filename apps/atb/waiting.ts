import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentAuthClient } from './agentauth-client';
import { moment } from './moment';
import { awaited } from './presentation';
import { Interrupted, Refusal, Unreachable } from './refusal';
import { requestPath } from './session';
import type { Session } from './session';
import { isOver, parseStanding } from './standing';
import type { Standing } from './standing';

/** Below every proxy's usual idle limit. */
const LONG_POLL_SECONDS = 30;
const PAUSE_AFTER_FAILURE_SECONDS = 2;

/**
 * Waits until people have decided, at most that long; answers where the request stands then. Who is awaited goes to
 * stderr. A break of the connection ends nothing: the request goes on by itself, and so does the wait. Throws
 * `Interrupted` at Ctrl-C, saying how to go on.
 */
export async function awaitDecision(
  session: Session,
  client: AgentAuthClient,
  first: Standing,
  seconds: number,
): Promise<Standing> {
  const deadline = Date.now() + seconds * 1000;
  const interruption = new AbortController();
  const forget = session.surroundings.onInterrupt(() => {
    interruption.abort();
  });
  let standing = first;
  let told = '';
  try {
    while (!isOver(standing)) {
      const text = progress(standing, session.now);
      if (text !== told) session.output.note(text);
      told = text;
      const left = (deadline - Date.now()) / 1000;
      if (left <= 0) return standing;
      standing = (await poll(session, client, standing, left, interruption.signal)) ?? standing;
    }
    return standing;
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    throw new Interrupted(
      `stopped waiting; the request goes on by itself. Go on with: atb collect ${first.requestId} --wait`,
      { cause: error },
    );
  } finally {
    forget();
  }
}

async function poll(
  session: Session,
  client: AgentAuthClient,
  standing: Standing,
  left: number,
  signal: AbortSignal,
) {
  const wait = Math.max(1, Math.min(LONG_POLL_SECONDS, Math.floor(left)));
  const begun = Date.now();
  try {
    const { body } = await client.get(`${requestPath(standing.requestId)}?wait=${wait}`, {
      signal,
      timeoutSeconds: wait + 15,
    });
    const next = parseStanding(body);
    // An answer that came early and says nothing new: no faster than the server wants to be asked.
    const early = !isOver(next) && Date.now() - begun < wait * 500;
    if (early) await sleep(Math.min(left, next.pollIntervalSeconds) * 1000, undefined, { signal });
    return next;
  } catch (error) {
    const pause = pauseAfter(error);
    if (pause === undefined || signal.aborted) throw error;
    session.output.note(`${(error as Error).message}; trying again`);
    await sleep(Math.min(left, pause) * 1000, undefined, { signal });
    return undefined;
  }
}

/** How long to pause after a failure that may pass; undefined for one that will not. */
function pauseAfter(error: unknown): number | undefined {
  if (error instanceof Unreachable) return PAUSE_AFTER_FAILURE_SECONDS;
  if (!(error instanceof Refusal) || (error.status < 500 && error.status !== 429)) return undefined;
  return error.retryAfterSeconds ?? PAUSE_AFTER_FAILURE_SECONDS;
}

function progress(standing: Standing, now: Date): string {
  const { expiresAt } = standing;
  return `waiting for ${awaited(standing)}${expiresAt === undefined ? '' : `; until ${moment(expiresAt, now).replace(/ \(.*/, '')}`}`;
}
