import { readFile, rm, writeFile } from 'node:fs/promises';
import { Apart } from '../support/apart';
import type { Killable, Supervised } from '../support/apart';
import { anRfc, ChangePeople, Platform } from '../support/change';
import { eventually } from '../support/eventually';
import type { JsonObject } from '../../domain/json';

let apart: Apart;
let platform: Platform;
let people: ChangePeople;

beforeAll(async () => {
  platform = await Platform.make();
  apart = await Apart.start({ ATB_OPERATIONS_FILE: await platform.operations() });
  people = new ChangePeople(apart);
});

afterAll(() => apart.stop());

beforeEach(() => platform.reset());

type Phase = 'deploy' | 'smoke' | 'restore';
const hold = (phase: Phase) => writeFile(platform.path(`hold-${phase}`), '');
const goOn = (phase: Phase) => rm(platform.path(`hold-${phase}`));

async function isDone(line: string): Promise<void> {
  await eventually(
    async () => ({ done: await platform.done(), said: apart.lastWords() }),
    ({ done }) => done.includes(line),
  );
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
  const commands = processes.includes(apart.operations) ? await commandsOf(apart.operations) : [];
  await Promise.all(processes.map((process) => process.kill()));
  await areDead(commands);
  await goOn(phase);
}

/** The processes that one of ours started, and theirs. */
async function commandsOf({ pid }: { readonly pid?: number | undefined }): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const children = text.split(' ').filter(Boolean).map(Number);
  return [...children, ...(await Promise.all(children.map((child) => commandsOf({ pid: child })))).flat()];
}

async function areDead(commands: readonly number[]): Promise<void> {
  const isAlive = async (pid: number) =>
    /^\d+ \(.*\) [^ZX]/.test(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''));
  await eventually(
    async () => (await Promise.all(commands.map(isAlive))).includes(true),
    (someIsAlive) => !someIsAlive,
  );
}

const isInPhase = (id: string, wanted: string) =>
  eventually(
    () => people.status(id),
    ({ phase }) => phase === wanted,
  );

/** What is done for a change that nothing stops. */
const onceThrough = (version: string) =>
  ['50', '100'].flatMap((percent) => [
    ...[`begin ${version} ${percent}`, `deploy ${version} ${percent}`, `smoke ${percent}`],
  ]);

const both = (): readonly Killable[] => [apart.operations, apart.worker];
async function bothKilled(): Promise<void> {
  const commands = await commandsOf(apart.operations);
  await Promise.all(both().map((process) => process.kill()));
  await areDead(commands);
}

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
  });

  it('while a step is applied that may not be repeated: it is rolled back', async () => {
    const id = await running('deploy', { apply: { operation: 'once', parameters: { version: '1.4.0' } } });
    await isDone('begin 1.4.0 50');
    await killed('deploy', ...both());
    expect(await people.reaches(id, 'rolled_back')).toMatchObject({
      percent: 0,
      reasons: ['change_interrupted'],
    });
    expect(await platform.done()).toEqual(['begin 1.4.0 50', 'restoring 1.3.9 0', 'restore 1.3.9 0']);
  });

  it('while it soaks: it soaks to its end, is checked, and goes on', async () => {
    const canary = [
      { percent: 50, soak_seconds: 12 },
      { percent: 100, soak_seconds: 0 },
    ];
    const id = await running('smoke', { canary });
    await isInPhase(id, 'soak');
    await killed('smoke', ...both());
    const ended = await people.reaches(id, 'completed');
    expect(await platform.done()).toEqual([
      ...['begin 1.4.0 50', 'deploy 1.4.0 50', 'smoke 50'],
      ...['begin 1.4.0 100', 'deploy 1.4.0 100', 'smoke 100'],
    ]);
    const [applied, checked] = ended.steps as readonly { readonly at: string }[];
    expect(Date.parse(checked?.at ?? '') - Date.parse(applied?.at ?? '')).toBeGreaterThanOrEqual(12_000);
  });

  it('while its checks are asked: they are asked anew, and it goes on', async () => {
    const id = await running('smoke');
    await isDone('smoke 50');
    await killed('smoke', ...both());
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect((await platform.done()).filter((line) => line.startsWith('deploy'))).toEqual([
      ...['deploy 1.4.0 50', 'deploy 1.4.0 100'],
    ]);
  });

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
  });

  it('while it is prepared: it is prepared anew, and runs', async () => {
    const change = people.change(`killed-${(count += 1)}`, anRfc(), 'emergency_change');
    const id = await people.signedOff(change);
    // Whoever would prepare it stands still, and dies with what it took.
    apart.operations.freeze();
    const begun = people.say(people.grace, id, change, 'run');
    await isInPhase(id, 'prepare');
    await bothKilled();
    expect(await begun).toMatchObject({ status: 200 });
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect(await platform.done()).toEqual(onceThrough('1.4.0'));
    expect(await told('change_begun', id)).toHaveLength(1);
  });

  it('while it stands in line: it stands there still, and begins when the one ahead has ended', async () => {
    const ahead = await running('deploy');
    await isDone('begin 1.4.0 50');
    const version = '1.5.0';
    const behind = await running('deploy', { apply: { operation: 'deploy', parameters: { version } } });
    await isInPhase(behind, 'in_line');
    await bothKilled();
    await eventually(platform.done.bind(platform), ({ length }) => length === 2);
    expect(await platform.done()).toEqual(['begin 1.4.0 50', 'begin 1.4.0 50']);
    expect(await people.status(behind)).toMatchObject({ phase: 'in_line', behind: ahead, percent: 0 });
    await goOn('deploy');
    expect(await people.reaches(ahead, 'completed')).toMatchObject({ percent: 100 });
    expect(await people.reaches(behind, 'completed')).toMatchObject({ percent: 100, behind: null });
    expect(await platform.done()).toEqual([
      ...['begin 1.4.0 50', ...onceThrough('1.4.0')],
      ...onceThrough(version),
    ]);
  });

  it('while it waits for its review: it waits for it still, and nothing is done again', async () => {
    const change = people.change(`killed-${(count += 1)}`, anRfc(), 'emergency_change');
    const id = await people.signedOff(change);
    await people.say(people.grace, id, change, 'run');
    await people.reaches(id, 'completed');
    await isInPhase(id, 'review');
    await bothKilled();
    const waiting = await people.status(id);
    expect(waiting).toMatchObject({ state: 'completed', phase: 'review', reviewed_by: null });
    expect(Date.parse(waiting.review_until as string)).toBeGreaterThan(Date.now());
    // Whatever came of its answer: it may have been sent twice.
    await people.say(people.grace, id, change, 'review');
    expect(await people.status(id)).toMatchObject({
      ...{ phase: null, review_until: null, reviewed_by: 'spiffe://corp.example/person/grace' },
    });
    expect(await platform.done()).toEqual(onceThrough('1.4.0'));
    expect(await told('change_ended', id)).toHaveLength(1);
    expect(await told('change_word_recorded', id)).toHaveLength(1);
  });

  it('and whose Temporal server is killed while a step is applied: it goes on, and nothing is done twice', async () => {
    const id = await running('deploy');
    await isDone('begin 1.4.0 50');
    await apart.temporal.kill();
    await goOn('deploy');
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect((await platform.done()).filter((line) => line.startsWith('deploy'))).toEqual([
      ...['deploy 1.4.0 50', 'deploy 1.4.0 100'],
    ]);
    expect(await told('change_step_applied', id)).toHaveLength(2);
    expect(await told('change_ended', id)).toHaveLength(1);
  });

  it('and whose worker alone is killed, while the command goes on: nothing is done twice', async () => {
    const id = await running('deploy');
    await isDone('begin 1.4.0 50');
    await killed('deploy', apart.worker);
    await people.reaches(id, 'completed');
    expect((await platform.done()).filter((line) => line === 'begin 1.4.0 50')).toHaveLength(1);
  });
});

/** Those of a type that were told of a change, in order. */
async function told(type: string, id: string) {
  const events = await apart.withLedger((ledger) => ledger.events({ type, limit: 1_000 }));
  return events.filter(({ data }) => data.proposal === id);
}

async function isCarryingOut(process: Supervised): Promise<boolean> {
  return (await commandsOf(process)).length > 0;
}

/** Two processes that carry changes out: which of them does it is for the database to say. */
describe('a change that two processes could carry out', () => {
  let second: Supervised;
  beforeAll(() => {
    second = apart.another('operations');
  });
  afterAll(() => second.stop());

  /** A change of which one process applies a step: the process. */
  async function held(): Promise<{ readonly id: string; readonly holder: Supervised }> {
    const id = await running('deploy');
    await isDone('begin 1.4.0 50');
    const carrying = await Promise.all([apart.operations, second].map(isCarryingOut));
    expect(carrying.filter(Boolean)).toHaveLength(1);
    return { id, holder: carrying[0] ? apart.operations : second };
  }

  async function isBegunAgain(): Promise<void> {
    await eventually(
      async () => ({ done: await platform.done(), said: apart.lastWords() }),
      ({ done }) => done.filter((line) => line === 'begin 1.4.0 50').length === 2,
    );
  }

  /** The command of before would have written its own line. */
  async function isDoneOnce(id: string): Promise<void> {
    await goOn('deploy');
    expect(await people.reaches(id, 'completed')).toMatchObject({ percent: 100 });
    expect((await platform.done()).filter((line) => line === 'deploy 1.4.0 50')).toHaveLength(1);
    const fences = (await told('change_step_begun', id)).map(({ data }) => [data.step, data.fence]);
    expect(fences).toEqual([
      [0, 1],
      [0, 2],
      [1, expect.any(Number)],
    ]);
    expect(await told('change_step_applied', id)).toHaveLength(2);
  }

  it('goes on in the other where the one that holds it is killed, and nothing runs twice at a time', async () => {
    const { id, holder } = await held();
    const commands = await commandsOf(holder);
    await holder.kill();
    await areDead(commands);
    await isBegunAgain();
    await isDoneOnce(id);
  });

  it('goes on in the other where the one that holds it stands still, and what that says later counts for nothing', async () => {
    const { id, holder } = await held();
    const commands = await commandsOf(holder);
    holder.freeze();
    await isBegunAgain();
    holder.thaw();
    await areDead(commands);
    // So that it has said what came of it.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await isDoneOnce(id);
  });
});
