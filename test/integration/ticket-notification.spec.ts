import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Outbox } from '../../adapters/notify/outbox';
import type { Notification } from '../../domain/ports';

const TICKET_WAITS: Notification = {
  id: 'request-1/poa_escalated/0/0',
  kind: 'approval_wanted',
  requestId: 'request-1',
  roles: ['compliance', 'legal'],
  text: 'critical sap.payment.execute waits for compliance, legal\nunder CHG-1001',
  facts: { action: 'sap.payment.execute', tier: 'critical', ticket: null },
};

describe('the outbox', () => {
  let directory: string;
  let file: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'atb-outbox-'));
    file = join(directory, 'outbox.jsonl');
  });

  afterEach(() => rm(directory, { recursive: true }));

  const lines = async () => (await readFile(file, 'utf8')).split('\n').slice(0, -1);

  it('holds a notification on one line, for its owner alone', async () => {
    await new Outbox(file).notify(TICKET_WAITS);
    const [line, ...more] = await lines();
    expect(JSON.parse(line!)).toEqual({ time: expect.any(String), ...TICKET_WAITS });
    expect(more).toEqual([]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('leaves out what it has told, and keeps what was there before', async () => {
    await new Outbox(file).notify(TICKET_WAITS);
    const outbox = new Outbox(file);
    for (const id of ['second', 'second', 'third']) await outbox.notify({ ...TICKET_WAITS, id });
    const ids = (await lines()).map((line) => (JSON.parse(line) as Notification).id);
    expect(ids).toEqual([TICKET_WAITS.id, 'second', 'third']);
  });

  it('tells later what it could not write at first', async () => {
    await mkdir(file);
    const outbox = new Outbox(file);
    await expect(outbox.notify(TICKET_WAITS)).rejects.toThrow('EISDIR');
    await rm(file, { recursive: true });
    await outbox.notify(TICKET_WAITS);
    expect(await lines()).toHaveLength(1);
  });
});
