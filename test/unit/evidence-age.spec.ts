import { ORDER, WorkerSteps } from '../support/worker-steps';

const DAY_SECONDS = 86_400;

let steps: WorkerSteps;
beforeEach(async () => {
  steps = await WorkerSteps.open();
});
afterEach(() => steps.close());

it('takes evidence that waited a day for a store that was away, and no older one', async () => {
  const waited = await steps.requestOf(ORDER);
  steps.later(DAY_SECONDS - 1);
  expect(await steps.activities.admitRequest(waited)).toMatchObject({ effect: 'require' });

  const late = await steps.requestOf(ORDER);
  steps.later(DAY_SECONDS + 1);
  expect(await steps.activities.admitRequest(late)).toMatchObject({ effect: 'deny', code: 'evidence_stale' });
});

it('looks at a recorded request again however old it is, as after a reset', async () => {
  const request = await steps.requestOf(ORDER);
  const first = await steps.activities.admitRequest(request);
  steps.later(3 * DAY_SECONDS);
  expect(await steps.activities.admitRequest(request)).toMatchObject({ effect: first.effect });
});
