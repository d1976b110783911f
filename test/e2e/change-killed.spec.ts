import { rm, writeFile } from 'node:fs/promises';
import { Apart } from '../support/apart';
import type { Killable } from '../support/apart';
import { anRfc, ChangePeople, Platform } from '../support/change';
import type { JsonObject } from '../../domain/json';

let apart: Apart;
let platform: Platform;
let people: ChangePeople;

beforeAll(async () => {
  platform = await Platform.make();
  apart = await Apart.start({ ATB_OPERATIONS_FILE: await platform.operations() });
  people = new ChangePeople(apart);
}, 180_000);

afterAll(() => apart.stop());

beforeEach(() => platform.reset());

type Phase = 'deploy' | 'smoke' | 'restore';
const hold = (phase: Phase) => writeFile(platform.path(`hold-${phase}`), '');
const goOn = (phase: Phase) => rm(platform.path(`hold-${phase}`));

async function isDone(line: string): Promise<void> {
  for (let tries = 0; !(await platform.done()).includes(line); tries++) {
    if (tries === 300) throw new Error(`${line} was not done: ${apart.lastWords()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

let count = 0;

/** Runs a change that waits in one of its phases. */
async function running(phase: Phase, content: JsonObject = {}): Promise<string> {
  const change = people.change(`killed-${(count += 1)}`, anRfc(content), 'emergency_change');
  const id = await people.signedOff(change);
  await hold(phase);
  const begun = await people.say(people.grace, id, change, 'run');
  if (begun.status !== 200) throw new Error(JSON.stringify(begun.body));
  return id;
}

/** Kills it where it is, and lets what it would have waited for go on: what a dead process started must be dead too. */
async function killed(phase: Phase, ...processes: readonly Killable[]): Promise<void> {
  await Promise.all(processes.map((process) => process.kill()));
  await new Promise((resolve) => setTimeout(resolve, 500));
  await goOn(phase);
}

const both = (): readonly Killable[] => [apart.operations, apart.worker];

/** Kill -9 in each phase of a change: it resumes or rolls back, never half (issue: Operations). */
describe('a change whose processes are killed', () => {
  it('while a step is applied: the step is applied anew, once, and the change completes', async () => {
    const id = await running('deploy');
    await isDone('begin 1.4.0 50');
    await killed('deploy', ...both());
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect(await platform.done()).toEqual([
      ...['begin 1.4.0 50', 'begin 1.4.0 50', 'deploy 1.4.0 50', 'smoke 50'],
      ...['begin 1.4.0 100', 'deploy 1.4.0 100', 'smoke 100'],
    ]);
  }, 120_000);

  it('while a step is applied that may not be repeated: it is rolled back', async () => {
    const id = await running('deploy', { apply: { operation: 'once', parameters: { version: '1.4.0' } } });
    await isDone('begin 1.4.0 50');
    await killed('deploy', ...both());
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_interrupted'],
    });
    expect(await platform.done()).toEqual(['begin 1.4.0 50', 'restoring 1.3.9 0', 'restore 1.3.9 0']);
  }, 120_000);

  it('while its checks are asked: they are asked anew, and it goes on', async () => {
    const id = await running('smoke');
    await isDone('smoke 50');
    await killed('smoke', ...both());
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect((await platform.done()).filter((line) => line.startsWith('deploy'))).toEqual([
      ...['deploy 1.4.0 50', 'deploy 1.4.0 100'],
    ]);
  }, 120_000);

  it('while it is rolled back: it is rolled back anew, to its end', async () => {
    await writeFile(platform.path('deploy-fails'), '');
    const id = await running('restore');
    await isDone('restoring 1.3.9 0');
    await killed('restore', ...both());
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_step_failed'],
    });
    expect((await platform.done()).slice(-3)).toEqual([
      ...['restoring 1.3.9 0', 'restoring 1.3.9 0', 'restore 1.3.9 0'],
    ]);
  }, 120_000);

  it('and whose worker alone is killed, while the command goes on: nothing is done twice', async () => {
    const id = await running('deploy');
    await isDone('begin 1.4.0 50');
    await killed('deploy', apart.worker);
    await people.reaches(id, 'completed');
    expect((await platform.done()).filter((line) => line === 'begin 1.4.0 50')).toHaveLength(1);
  }, 120_000);
});
