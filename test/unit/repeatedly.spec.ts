import { setTimeout as sleep } from 'node:timers/promises';
import { repeatedly } from '../../apps/worker/repeatedly';
import { eventually } from '../support/eventually';

describe('what is done now and then', () => {
  it('is never done twice at once, however long it takes, and its end is waited for', async () => {
    let underWay = 0;
    let most = 0;
    let done = 0;
    const repeated = repeatedly(
      { everyMs: 5 },
      async () => {
        most = Math.max(most, ++underWay);
        await sleep(25);
        underWay -= 1;
        done += 1;
      },
      () => undefined,
    );
    await eventually(
      () => done,
      (times) => times >= 2,
      1,
    );
    await eventually(
      () => underWay,
      (count) => count === 1,
      1,
    );
    const before = done;
    await repeated.close();
    expect([most, underWay, done]).toEqual([1, 0, before + 1]);
    await sleep(30);
    expect(done).toBe(before + 1);
  });

  it('is done again where it failed, which is told', async () => {
    const failures: unknown[] = [];
    const repeated = repeatedly(
      { everyMs: 5, atOnce: true },
      () => Promise.reject(new Error('not now')),
      (error) => failures.push(error),
    );
    await eventually(
      () => failures.length,
      (count) => count >= 3,
      1,
    );
    await repeated.close();
    expect(failures[0]).toEqual(new Error('not now'));
  });
});
