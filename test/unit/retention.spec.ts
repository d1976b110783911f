import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AccessLogArchive } from '../../adapters/access-log/access-log-archive';
import { segmentName } from '../../adapters/access-log/segments';
import { AUDIT_EVENTS } from '../../domain/audit-event';
import { WorkerSteps } from '../support/worker-steps';

const NOW = new Date('2026-11-26T03:17:00Z');
const daysAgo = (days: number) => new Date(NOW.getTime() - days * 86_400_000);

let folder = '';
let steps: WorkerSteps;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-retention-'));
  steps = await WorkerSteps.open();
  steps.now = NOW;
  Object.assign(steps.ports, { agingStores: [new AccessLogArchive(folder, 90)] });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A file of an access log that was begun, and last written to, so many days ago. */
async function segment(
  process: string,
  begunDaysAgo: number,
  changedDaysAgo = begunDaysAgo,
): Promise<string> {
  await mkdir(join(folder, process), { recursive: true });
  const name = segmentName(daysAgo(begunDaysAgo));
  await writeFile(join(folder, process, name), '{}\n');
  await utimes(join(folder, process, name), daysAgo(changedDaysAgo), daysAgo(changedDaysAgo));
  return `${process}/${name}`;
}

async function run(name = 'retention/1'): Promise<void> {
  const { planRetention, applyRetention } = steps.activities;
  await applyRetention({ run: name, removals: await planRetention() });
}

const left = async () =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .sort();
const events = () => steps.ledger.events({ type: 'retention_applied', limit: 10 });

describe('the retention of access logs (operating model §6: 90 days)', () => {
  it('removes a file when its last line is older than 90 days, and no younger one', async () => {
    const removed = [
      await segment('agentauth', 95),
      await segment('agentauth', 92),
      await segment('broker', 91),
    ];
    const kept = [
      // Begun before, but with lines until the next one began.
      await segment('agentauth', 90.5),
      await segment('agentauth', 89.5),
      // The last of its process: its last change counts.
      await segment('other', 120, 10),
    ];
    await run();
    expect(await left()).toEqual([...kept].sort());
    const [event] = await events();
    expect(event?.data).toEqual({
      stores: [
        {
          kind: 'access_log',
          place: folder,
          days: 90,
          before: daysAgo(90).getTime() / 1_000,
          removed,
          bytes: 9,
        },
      ],
    });
  });

  it('says so where there was nothing to remove', async () => {
    await run();
    expect(await events()).toHaveLength(1);
  });

  it('records before it removes, and removes the same after a crash between, in one event', async () => {
    const old = await segment('broker', 100);
    const { planRetention, applyRetention } = steps.activities;
    const removals = await planRetention();
    const archive = new AccessLogArchive(folder, 90);
    const crash = new Error('killed');
    archive.remove = () => Promise.reject(crash);
    Object.assign(steps.ports, { agingStores: [archive] });
    await expect(applyRetention({ run: 'retention/1/0', removals })).rejects.toBe(crash);
    expect(await left()).toEqual([old]);
    expect(await events()).toHaveLength(1);
    Object.assign(steps.ports, { agingStores: [new AccessLogArchive(folder, 90)] });
    await applyRetention({ run: 'retention/1/0', removals });
    await applyRetention({ run: 'retention/1/0', removals });
    expect(await left()).toEqual([]);
    expect(await events()).toHaveLength(1);
  });

  it('removes nothing where the event cannot be written', async () => {
    const old = await segment('broker', 100);
    const down = new Error('the store is down');
    steps.ledger.append = () => Promise.reject(down);
    await expect(run()).rejects.toBe(down);
    expect(await left()).toEqual([old]);
  });

  it('cannot reach the audit log, whatever it is pointed at or told: its events are there for seven years', async () => {
    // The sealed log itself, old as it may be, given as the folder of access logs.
    const sealed = ['checkpoint', 'tile/0/000', 'tile/entries/000'];
    for (const path of sealed) {
      await mkdir(join(folder, path, '..'), { recursive: true });
      await writeFile(join(folder, path), 'sealed');
      await utimes(join(folder, path), daysAgo(4_000), daysAgo(4_000));
    }
    await run();
    expect(await left()).toEqual(sealed);

    // A forged plan: other names, other folders, places that are not configured.
    const names = [
      'tile/0/000',
      'tile/0',
      '../checkpoint',
      'tile/../checkpoint',
      'checkpoint',
      '/etc/passwd',
    ];
    const before = NOW.getTime() / 1_000;
    for (const [at, name] of names.entries()) {
      for (const place of [folder, join(folder, 'tile'), '/']) {
        const removal = { kind: 'access_log', place, days: 0, before, aged: [{ name, bytes: 1 }] } as const;
        await steps.activities.applyRetention({ run: `forged/${at}`, removals: [removal] });
      }
      await expect(new AccessLogArchive(folder, 0).remove([name])).rejects.toThrow('no ');
    }
    expect(await left()).toEqual(sealed);
    expect(await readFile(join(folder, 'checkpoint'), 'utf8')).toBe('sealed');
  });

  it('follows no link out of its folder', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'atb-outside-'));
    const name = segmentName(daysAgo(200));
    await writeFile(join(outside, name), 'x');
    await symlink(outside, join(folder, 'broker'));
    await mkdir(join(folder, 'agentauth'));
    await symlink(join(outside, name), join(folder, 'agentauth', name));
    await run();
    expect(await readdir(outside)).toEqual([name]);
    await rm(outside, { recursive: true });
  });

  it('has an event with no place for anything but access logs', () => {
    const { stores } = AUDIT_EVENTS.retention_applied.data.properties;
    expect(stores).toMatchObject({
      items: { additionalProperties: false, properties: { kind: { enum: ['access_log'] } } },
    });
  });
});
