import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { workflowTraces } from '../../adapters/temporal/traces';
import { workflowOptions } from '../../apps/worker/temporal-worker';
import { installTemporalSdk } from '../../apps/temporal-sdk';
import { recordedHistory } from '../support/history';
import { Worker } from '@temporalio/worker';

const FOLDER = join(__dirname, 'histories');
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.pb'));

/** A released workflow never breaks: each path that was ever recorded replays against today's code. */
describe('recorded histories', () => {
  const errors = new Map<string, unknown>();

  beforeAll(async () => {
    installTemporalSdk({ level: 'ERROR' });
    const histories = NAMES.map((name) => ({
      workflowId: `poa-request/${name}`,
      history: recordedHistory(readFileSync(join(FOLDER, name))),
    }));
    const results = Worker.runReplayHistories(
      {
        ...workflowOptions(),
        sinks: workflowTraces,
        dataConverter: { failureConverterPath: require.resolve('../../adapters/temporal/failure-converter') },
      },
      histories,
    );
    for await (const { workflowId, error } of results) errors.set(workflowId, error ?? null);
  });

  it.each(NAMES)('%s replays', (name) => {
    expect(errors.get(`poa-request/${name}`)).toBeNull();
  });

  it('cover the paths that requests, incidents, consultations, proposals and changes can take', () => {
    expect(NAMES.map((name) => name.replace('.pb', ''))).toEqual(
      expect.arrayContaining([
        ...['low-issued', 'denied', 'medium-issued', 'high-issued-by-signal', 'high-collected-at-once'],
        ...['critical-released', 'verdict-refused-then-rejected', 'withdrawn', 'escalated-and-expired'],
        ...['approved-and-expired', 'bare-signal-then-cancelled', 'store-down-for-a-while'],
        ...['reminded-and-expired', 'policy-moved', 'noise-then-rejected'],
        ...['incident-climbed-and-reviewed', 'incident-by-audit-contained', 'digest', 'retention'],
        ...['incident-seen-again-and-reviewed'],
        ...['incident-noise-then-reviewed', 'consultation-noise-then-answered', 'consultation-unanswered'],
        ...['proposal-approved', 'proposal-climbed-and-rejected', 'proposal-retired'],
        ...['change-completed-and-reviewed', 'change-rolled-back-and-reviewed'],
      ]),
    );
  });
});
