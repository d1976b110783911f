/** What the log tells of one request. */
export interface LoggedRequest {
  readonly askedAt: Date;
  /** How it ended, in the words of request states; null where the log tells no end. */
  readonly end: string | null;
  readonly endedAt: Date | null;
  /** What was used and never issued: ids (`jti`) of mandates, each once. */
  readonly usedUnissued: readonly string[];
}

/** What Temporal tells of its workflow's last run. */
export interface LoggedWorkflow {
  readonly state: string;
  readonly atbState: string | null;
  readonly startedAt: Date;
  readonly closedAt: Date | null;
}

export type DifferenceKind =
  | 'not_in_log'
  | 'no_end_in_log'
  | 'ended_from_outside'
  | 'other_end'
  | 'workflow_missing'
  | 'still_running'
  | 'used_unissued';

export interface Difference {
  readonly requestId: string;
  readonly kind: DifferenceKind;
  /** In a sentence. */
  readonly detail: string;
}

export interface Moments {
  /** What is newer may be under way, and is not looked at. */
  readonly settledBefore: Date;
  /** What ended before it Temporal may have forgotten; null where it forgets nothing. */
  readonly rememberedSince: Date | null;
}

/**
 * Holds Temporal's workflows and the log against each other, by request: each that finished has its events, with the
 * same end, and each event of a request has its workflow; and the log against itself: each mandate that was used was
 * issued. Differences in the order of the requests' ids.
 */
export function differencesBetween(
  workflows: ReadonlyMap<string, LoggedWorkflow>,
  log: ReadonlyMap<string, LoggedRequest>,
  moments: Moments,
): readonly Difference[] {
  const ids = [...new Set([...workflows.keys(), ...log.keys()])].sort();
  return ids.flatMap((requestId) => {
    const logged = log.get(requestId);
    const found = differenceOf(workflows.get(requestId), logged, moments);
    const unissued = (logged?.usedUnissued ?? []).map((jti) => ({
      ...{ requestId, kind: 'used_unissued' as const },
      detail: `the broker took the mandate ${jti}, which the log says nobody issued: somebody else has the signing key`,
    }));
    return [...(found ? [{ requestId, kind: found[0], detail: found[1] }] : []), ...unissued];
  });
}

function differenceOf(
  workflow: LoggedWorkflow | undefined,
  logged: LoggedRequest | undefined,
  { settledBefore, rememberedSince }: Moments,
): readonly [DifferenceKind, string] | null {
  if (!workflow) {
    if (!logged || logged.askedAt >= settledBefore) return null;
    const last = logged.endedAt ?? logged.askedAt;
    if (logged.end !== null && rememberedSince && last < rememberedSince) return null;
    const told = logged.end === null ? 'tells no end' : `says ${logged.end}`;
    return [
      'workflow_missing',
      `the log ${told}, and Temporal has no workflow: it was deleted, or never was`,
    ];
  }
  const { state, atbState, closedAt } = workflow;
  if (closedAt === null) {
    const ended = logged?.endedAt;
    if (!ended || ended >= settledBefore) return null;
    return ['still_running', `the log says ${logged.end}, and the workflow still runs`];
  }
  if (closedAt >= settledBefore) return null;
  if (state !== 'completed' && logged?.end !== 'terminated') {
    const told = !logged ? 'does not know it' : logged.end === null ? 'tells no end' : `says ${logged.end}`;
    return ['ended_from_outside', `its workflow is ${state}, and the log ${told}`];
  }
  if (!logged) return ['not_in_log', `its workflow is ${state}, and the log does not know it`];
  if (logged.end === null) return ['no_end_in_log', `its workflow is ${state}, and the log tells no end`];
  if (state === 'completed' && atbState !== null && atbState !== logged.end) {
    return ['other_end', `its workflow says ${atbState}, and the log says ${logged.end}`];
  }
  return null;
}
