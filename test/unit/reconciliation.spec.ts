import { differencesBetween } from '../../domain/reconciliation';
import type { LoggedRequest, LoggedWorkflow } from '../../domain/reconciliation';

const NOW = new Date('2026-03-02T12:00:00Z');
const ago = (seconds: number) => new Date(NOW.getTime() - seconds * 1000);
const MOMENTS = { settledBefore: ago(60), rememberedSince: ago(86_400) };

const workflow = (more: Partial<LoggedWorkflow> = {}): LoggedWorkflow => ({
  ...{ state: 'completed', atbState: 'issued', startedAt: ago(600), closedAt: ago(300) },
  ...more,
});
const logged = (more: Partial<LoggedRequest> = {}): LoggedRequest => ({
  ...{ askedAt: ago(600), end: 'issued', endedAt: ago(300), usedUnissued: [] },
  ...more,
});
const RUNNING = { state: 'running', atbState: 'pending', closedAt: null };

describe('the differences between Temporal and the log', () => {
  it.each<[string, LoggedWorkflow | null, LoggedRequest | null, string | null]>([
    ['the same end', workflow(), logged(), null],
    ['one that waits', workflow(RUNNING), logged({ end: null, endedAt: null }), null],
    ['another end', workflow({ atbState: 'denied' }), logged(), 'other_end'],
    ['no end in the log', workflow(), logged({ end: null, endedAt: null }), 'no_end_in_log'],
    ['nothing in the log', workflow(), null, 'not_in_log'],
    [
      'terminated',
      workflow({ state: 'terminated' }),
      logged({ end: null, endedAt: null }),
      'ended_from_outside',
    ],
    ['terminated after its end', workflow({ state: 'terminated' }), logged(), 'ended_from_outside'],
    [
      'terminated, and recorded as such',
      workflow({ state: 'terminated' }),
      logged({ end: 'terminated' }),
      null,
    ],
    ['failed', workflow({ state: 'failed' }), null, 'ended_from_outside'],
    ['deleted', null, logged(), 'workflow_missing'],
    ['deleted while it waited', null, logged({ end: null, endedAt: null }), 'workflow_missing'],
    ['ended, and still running', workflow(RUNNING), logged(), 'still_running'],
    ['forgotten by retention', null, logged({ askedAt: ago(90_000), endedAt: ago(89_000) }), null],
    ['asked a moment ago', null, logged({ askedAt: ago(5), end: null, endedAt: null }), null],
    ['closed a moment ago', workflow({ closedAt: ago(5) }), logged({ end: null, endedAt: null }), null],
    ['a mandate that nobody issued', workflow(), logged({ usedUnissued: ['m'] }), 'used_unissued'],
    ['ended a moment ago', workflow(RUNNING), logged({ endedAt: ago(5) }), null],
  ])('%s', (_, inTemporal, inLog, kind) => {
    const differences = differencesBetween(
      new Map(inTemporal ? [['r', inTemporal]] : []),
      new Map(inLog ? [['r', inLog]] : []),
      MOMENTS,
    );
    expect(differences.map((difference) => difference.kind)).toEqual(kind === null ? [] : [kind]);
  });

  it('are told for each request, in order', () => {
    const both = new Map(['b', 'a', 'c'].map((id) => [id, logged()]));
    expect(differencesBetween(new Map(), both, MOMENTS).map(({ requestId }) => requestId)).toEqual([
      'a',
      'b',
      'c',
    ]);
  });
});
