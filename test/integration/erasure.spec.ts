import { randomUUID } from 'node:crypto';
import { NotificationOutbox } from '../../adapters/postgres/notification-outbox';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { PostgresProbes } from '../../adapters/postgres/probes';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import { PostgresStops } from '../../adapters/postgres/stops';
import { migrate } from '../../adapters/postgres/schema';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { TestDatabase } from '../support/database';
import { LEG } from '../support/http';
import { anEvent } from '../support/ledger-contract';
import { PAYMENT, person, WorkerSteps } from '../support/worker-steps';
import type { Asked } from '../support/worker-steps';

const KEYS: CodecKeys = { sealingKeyId: 'k', keys: new Map([['k', Buffer.alloc(32, 7)]]) };
const DPO = 'spiffe://corp.example/person/carol';
const DATA_SUBJECT = 'mallory.miller@example.com';
const WHY = 'Mallory Miller moved house';

let database: TestDatabase;
let ledger: PostgresLedger;
let proposals: PostgresProposals;
let probes: PostgresProbes;
let stops: PostgresStops;
let outbox: NotificationOutbox;
let steps: WorkerSteps;

beforeAll(async () => {
  database = await TestDatabase.start({ fsync: 'off' });
  await migrate(database.url);
  ledger = new PostgresLedger(database.serviceUrl, KEYS);
  proposals = new PostgresProposals(database.serviceUrl, KEYS);
  probes = new PostgresProbes(database.serviceUrl, KEYS);
  stops = new PostgresStops(database.serviceUrl, KEYS);
  outbox = new NotificationOutbox(database.serviceUrl);
  steps = await WorkerSteps.open();
  Object.assign(steps.ports, { ledger });
});
afterAll(async () => {
  await Promise.all([ledger, proposals, probes, stops, outbox].map((store) => store.end()));
  await steps.close();
  await database.stop();
});

async function asked(): Promise<Asked> {
  const { asked: plain, ...rest } = await steps.requestOf({
    ...PAYMENT,
    params: { amount: 1250 },
    leg: { ...LEG, data_subject: DATA_SUBJECT },
  });
  const request = { ...rest, asked: { ...plain, justification: WHY } };
  const admission = await steps.activities.admitRequest(request);
  if (admission.effect === 'deny') throw new Error(admission.reasons.join());
  return { request, assessment: admission.assessment };
}

const statements = async (of: Asked) =>
  steps.counted(
    of,
    await steps.statement(of, 'dave', 'security_lead'),
    await steps.statement(of, 'bob', 'compliance'),
  );

async function tablesHold(): Promise<string> {
  return database.session(async (client) => {
    const { rows: tables } = await client.query<{ name: string }>(
      `select quote_ident(table_name) as name from information_schema.tables
       where table_schema = 'public' and table_type = 'BASE TABLE'`,
    );
    expect(tables.length).toBeGreaterThan(12);
    const texts: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query<{ row: string }>(
        `select row_to_json(t)::text as row from ${name} t`,
      );
      texts.push(...rows.map(({ row }) => `${name} ${row}`));
    }
    return texts.join('\n');
  });
}

/** Every text in it, and what base64 hides in that, as a JWS has its payload, and a chain in its header. */
function readable(text: string, depth = 3): string {
  if (depth === 0) return text;
  const hidden = (text.match(/[A-Za-z0-9+/_-]{24,}/g) ?? []).map((run) =>
    readable(Buffer.from(run, 'base64').toString('latin1'), depth - 1),
  );
  return [text, ...hidden].join('\n');
}

/** In which tables each can be read. */
async function found(...needles: readonly string[]): Promise<Record<string, readonly string[]>> {
  const rows = (await tablesHold())
    .split('\n')
    .map((row) => [row.split(' ')[0] ?? '', readable(row)] as const);
  return Object.fromEntries(
    needles.map((needle) => [
      needle,
      [...new Set(rows.filter(([, row]) => row.includes(needle)).map(([table]) => table))].sort(),
    ]),
  );
}

it('leaves nothing of a data subject or of an approver readable in any table (GDPR Art. 17)', async () => {
  const bob = person('bob');
  const issued = await asked();
  const counted = await statements(issued);
  expect((await steps.collect(issued, counted)).outcome).toBe('issued');
  const waits = await asked();
  await steps.record(waits, await steps.statement(waits, 'bob', 'compliance'));

  // What the worker keeps beside the log because others, who have none of these keys, need it.
  const { requestId } = issued.request;
  const told = (id: string) => ({
    ...{ id, kind: 'approval_wanted', requestId, roles: ['compliance'], deputies: [bob] },
    ...{ text: 'a payment waits', facts: { action: 'sap.payment.execute', justification: WHY } },
  });
  await outbox.put(told('waiting'), ['mail']);
  await outbox.put(told('told'), ['mail']);
  const errands = await outbox.claim([]);
  for (const errand of errands.filter(({ id }) => id === 'told')) await outbox.told(errand);
  const event = (type: Parameters<typeof anEvent>[0]) =>
    anEvent(type, randomUUID(), { actor: bob, personal: { '/actor': bob } });
  await probes.suspend(bob, requestId, event('approver_suspended'));
  const target = { scope: 'agent', value: 'spiffe://corp.example/agent/finance-bot' } as const;
  await stops.stop(target, event('poa_stopped'));
  await stops.proposeLift(target, { by: bob, at: 4_102_444_800 }, event('poa_lift_proposed'));
  const statement = counted[1] as string;
  await proposals.propose(
    {
      ...{ id: 'p', kind: 'suspension_lift', name: 'lift', content: { person: bob }, author: bob },
      ...{ statement, proposedAt: new Date() },
    },
    { ...event('proposal_made'), id: 'p/proposal_made' },
  );
  await proposals.recordSignOff(
    { jti: 'j', proposalId: 'p', statement, by: bob, receivedAt: new Date() },
    event('sign_off_recorded'),
  );
  const claims = canonicalJson({ leg: { approval: { approver_id: bob }, data_subject: DATA_SUBJECT } });
  await database.session((client) =>
    client.query(
      `insert into reversal (jti, reverses, request_id, mandate, expires_at)
       values ('r', 'm', $1, $2, now() + interval '5 minutes')`,
      [requestId, `e30.${Buffer.from(claims).toString('base64url')}.e30`],
    ),
  );

  const before = await found(bob, DATA_SUBJECT, WHY);
  expect(before[bob]).toEqual(
    expect.arrayContaining([
      'notification',
      'proposal',
      'sign_off',
      'stop_lift',
      'suspension',
      'verdict',
      'reversal',
    ]),
  );
  expect(before).toMatchObject({ [DATA_SUBJECT]: ['reversal'], [WHY]: ['notification'] });

  expect(await ledger.erasePerson(DATA_SUBJECT, DPO, new Date())).toBe(true);
  expect(await found(DATA_SUBJECT, WHY)).toEqual({ [DATA_SUBJECT]: [], [WHY]: [] });
  expect(await ledger.erasePerson(bob, DPO, new Date())).toBe(true);
  expect(await found(bob)).toEqual({ [bob]: [] });

  // Nor can it be found by trying: no digest over low-entropy content is left.
  const { request } = issued;
  for (const guess of [request.asked, request.asked.con.params]) {
    expect(Object.values(await found(sha256Base64url(canonicalJson(guess))))).toEqual([[]]);
  }
});

it('lets nothing be issued for a request whose content nobody can know any more', async () => {
  const waits = await asked();
  const counted = await statements(waits);
  await ledger.erasePerson(DATA_SUBJECT, DPO, new Date());
  const denial = { outcome: 'denied', denial: { code: 'personal_data_erased' } };
  expect(await steps.collect(waits, counted)).toMatchObject(denial);
  const events = await ledger.events({ requestId: waits.request.requestId, limit: 10 });
  expect(events.at(-1)).toMatchObject({ type: 'poa_denied', reasons: ['personal_data_erased'] });
  expect(await steps.record(waits, counted[0] as string)).toMatchObject({
    outcome: 'refused',
    code: 'request_unknown',
  });
});

it('gives a mandate out again while it is good, and not after somebody in it was erased', async () => {
  const issued = await asked();
  const counted = await statements(issued);
  const first = await steps.collect(issued, counted);
  expect(await steps.collect(issued, counted)).toEqual(first);
  await ledger.erasePerson(person('dave'), DPO, new Date());
  expect(await steps.collect(issued, counted)).toMatchObject({ outcome: 'refused', code: 'mandate_lapsed' });
});
