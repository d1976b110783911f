import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileTickets } from '../../adapters/ticket/file-tickets';

/** What a file that says nothing of approvals and windows tells of them. */
const BARE = { approved: null, window: null, attests: [] };

describe('tickets in a file', () => {
  let directory: string;
  let file: string;
  let tickets: FileTickets;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'atb-tickets-'));
    file = join(directory, 'tickets.json');
    tickets = new FileTickets(file);
  });

  afterEach(() => rm(directory, { recursive: true }));

  it('are told with their state as it is at each look-up', async () => {
    await writeFile(file, '{"CHG-1001": {"state": "open", "summary": "Pay the invoice"}}');
    expect(await tickets.lookUp('CHG-1001')).toEqual({ id: 'CHG-1001', state: 'open', ...BARE });
    await writeFile(file, '{"CHG-1001": {"state": "closed"}}');
    expect(await tickets.lookUp('CHG-1001')).toEqual({ id: 'CHG-1001', state: 'closed', ...BARE });
  });

  it('are told with their approval, their window and what they prove', async () => {
    const ticket = {
      state: 'open',
      approved: false,
      window: { start: 10, end: 20 },
      attests: ['cab_approved'],
    };
    await writeFile(file, JSON.stringify({ 'CHG-1001': ticket }));
    expect(await tickets.lookUp('CHG-1001')).toEqual({ id: 'CHG-1001', ...ticket });
  });

  it.each([
    { approved: 'yes' },
    { window: { start: '10', end: 20 } },
    { window: { start: 10 } },
    { attests: 'all' },
  ])('cannot be told where it says %j', async (wrong) => {
    await writeFile(file, JSON.stringify({ 'CHG-1001': { state: 'open', ...wrong } }));
    await expect(tickets.lookUp('CHG-1001')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
  });

  it.each(['CHG-2', 'constructor', '__proto__', 'toString', ''])(
    'know none that is called %p',
    async (id) => {
      await writeFile(file, '{"CHG-1001": {"state": "open"}}');
      expect(await tickets.lookUp(id)).toBeNull();
    },
  );

  it('tell a ticket with an awkward name like any other', async () => {
    await writeFile(file, '{"__proto__": {"state": "open"}}');
    expect(await tickets.lookUp('__proto__')).toEqual({ id: '__proto__', state: 'open', ...BARE });
    expect(await tickets.lookUp('state')).toBeNull();
  });

  it.each(['', '{"CHG-1001": {"sta', '[]', 'null', '"CHG-1001"'])(
    'cannot be told from a file that holds %p',
    async (text) => {
      await writeFile(file, text);
      await expect(tickets.lookUp('CHG-1001')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    },
  );

  it.each(['{"CHG-1001": {"state": 1}}', '{"CHG-1001": {}}', '{"CHG-1001": "open"}', '{"CHG-1001": null}'])(
    'cannot be told where the ticket is there without a state, as in %s',
    async (text) => {
      await writeFile(file, text);
      await expect(tickets.lookUp('CHG-1001')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    },
  );

  it('cannot be told without the file', async () => {
    await expect(tickets.lookUp('CHG-1001')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
  });
});
