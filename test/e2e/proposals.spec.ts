import { Client as DatabaseClient } from 'pg';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import type { Proposed } from '../../domain/proposal';
import { proposalDigest } from '../../domain/proposal-digest';
import { eventually } from '../support/eventually';
import { Signer } from '../support/signer';
import { TestStack } from '../support/stack';

const connector = (name: string, more: Record<string, string> = {}): Proposed => ({
  kind: 'connector',
  name,
  content: { id: name, egress: { allow: [{ host: 'erp.corp.example', port: 443 }] }, ...more },
});

let stack: TestStack;
let grace: Signer;
let dave: Signer;
let frank: Signer;

beforeAll(async () => {
  stack = await TestStack.start();
  grace = new Signer(stack, 'person/grace', 'platform_ops');
  dave = new Signer(stack, 'person/dave', 'security_lead');
  frank = new Signer(stack, 'person/frank', 'legal');
});

afterAll(() => stack.stop());

const proposed = async (what: Proposed, by = grace) => String((await by.propose(what)).body.proposal_id);

async function eventsOf(id: string): Promise<string[]> {
  const events = await (await stack.ledger()).events({ limit: 1_000 });
  return events.filter(({ data }) => data.proposal === id).map(({ type }) => type);
}

async function active(): Promise<readonly { name: string; digest: string }[]> {
  const proposals = new PostgresProposals(await databaseUrl());
  const connectors = await proposals.activeConnectors();
  await proposals.end();
  return connectors;
}

const databaseUrl = async () => (await readFile(join(stack.directory, 'database-url'), 'utf8')).trim();

describe('onboarding a connector (operating model §2.4)', () => {
  it('goes from a request by way of Security and Legal into service, each step in the audit log', async () => {
    const billing = connector('billing');
    const made = await grace.propose(billing);
    expect(made).toMatchObject({
      status: 201,
      body: { state: 'pending', author: 'spiffe://corp.example/person/grace' },
    });
    const id = String(made.body.proposal_id);
    expect(made.body.waiting_on).toEqual(['compliance', 'legal', 'security', 'security_lead']);

    expect((await dave.signOff(id, billing, 'egress_allowlist')).body).toMatchObject({ state: 'pending' });
    const reviewed = await frank.signOff(id, billing, 'data_classification');
    expect(reviewed.body).toMatchObject({ state: 'pending', waiting_on: ['platform_ops'] });
    expect(await active()).not.toContainEqual(expect.objectContaining({ name: 'billing' }));

    const activated = await grace.signOff(id, billing, 'activation');
    expect(activated.body).toMatchObject({ state: 'approved' });
    expect(Date.parse(String(activated.body.ends_at))).toBeGreaterThan(Date.now() + 364 * 86_400_000);
    expect(await active()).toContainEqual(
      expect.objectContaining({ name: 'billing', digest: proposalDigest(billing) }),
    );
    expect(await eventsOf(id)).toEqual([
      'proposal_made',
      'sign_off_recorded',
      'sign_off_recorded',
      'sign_off_recorded',
      'proposal_approved',
    ]);
  });

  it('is shown to everybody in the directory, and to no agent', async () => {
    const id = await proposed(connector('shown'));
    expect((await stack.as('person/alice').get(`/proposals/${id}`)).body).toMatchObject({
      proposal_id: id,
      outstanding: [{ name: 'egress_allowlist' }, { name: 'data_classification' }, { name: 'activation' }],
    });
    await eventually(
      () => stack.as('person/alice').get('/proposals'),
      ({ body }) => (body.proposals as { proposal_id: string }[]).some((one) => one.proposal_id === id),
    );
    expect((await stack.as('agent/explorer').get(`/proposals/${id}`)).status).toBe(403);
    expect((await stack.nobody().get('/proposals')).status).toBe(401);
  });

  it('takes the connector out of service by one signed word', async () => {
    const leads = connector('leads');
    const id = await proposed(leads);
    await dave.signOff(id, leads, 'egress_allowlist');
    await frank.signOff(id, leads, 'data_classification');
    await grace.signOff(id, leads, 'activation');
    expect(await active()).toContainEqual(expect.objectContaining({ name: 'leads' }));

    // Somebody's signal makes it look, and find that nothing is in its place.
    const handle = (await stack.insider()).workflow.getHandle(`proposal/${id}`);
    const looks = async () =>
      ((await handle.fetchHistory()).events ?? []).filter(
        (event) => event.activityTaskCompletedEventAttributes,
      ).length;
    const before = await looks();
    await handle.signal('proposalSuperseded');
    await eventually(looks, (now) => now > before);
    const shown = async () => (await stack.as('person/alice').get(`/proposals/${id}`)).body;
    expect(await shown()).toMatchObject({ state: 'approved' });

    const retirement: Proposed = { kind: 'connector_retirement', name: 'leads', content: {} };
    const retiring = await proposed(retirement);
    expect((await grace.signOff(retiring, retirement, 'retirement')).body.state).toBe('approved');
    expect(await active()).not.toContainEqual(expect.objectContaining({ name: 'leads' }));
    expect(await eventually(shown, ({ state }) => state !== 'approved')).toMatchObject({
      ...{ state: 'retired', ends_at: null },
    });
  });

  it('takes nothing out of service that is not in it: a mistyped name is refused, and recorded as nothing', async () => {
    const mistyped: Proposed = { kind: 'connector_retirement', name: 'leeds', content: {} };
    expect(await grace.propose(mistyped)).toMatchObject({
      status: 403,
      body: { code: 'connector_not_signed_off', detail: 'no connector leeds is in service' },
    });
    const events = await (await stack.ledger()).events({ limit: 1_000 });
    expect(events.filter(({ data }) => data.name === 'leeds')).toEqual([]);
  });

  it('ends with the first no, with its reason', async () => {
    const risky = connector('risky');
    const id = await proposed(risky);
    const rejected = await dave.signOff(id, risky, 'egress_allowlist', {
      verdict: 'reject',
      reason: 'this host is not ours',
    });
    expect(rejected.body).toMatchObject({ state: 'rejected', words: [{ reason: 'this host is not ours' }] });
    expect(await frank.signOff(id, risky, 'data_classification')).toMatchObject({
      status: 409,
      body: { code: 'proposal_finished' },
    });
    expect(await eventsOf(id)).toEqual(['proposal_made', 'sign_off_recorded', 'proposal_ended']);
  });

  it('is the same proposal when the same statement comes again', async () => {
    const twice = connector('twice');
    const statement = await grace.sign('connector.twice', twice, 'propose');
    const send = () => stack.as('person/grace').post('/proposals', { ...twice, statement });
    const [first, second] = [await send(), await send()];
    expect(second.body.proposal_id).toBe(first.body.proposal_id);
    expect(await eventsOf(String(first.body.proposal_id))).toEqual(['proposal_made']);
  });
});

describe('a word that does not count', () => {
  let mine: Proposed;
  let id: string;
  let count = 0;

  beforeEach(async () => {
    mine = connector(`attacked-${++count}`);
    id = await proposed(mine);
  });

  afterEach(async () => {
    const { body } = await stack.as('person/alice').get(`/proposals/${id}`);
    expect(body).toMatchObject({ state: 'pending', words: [] });
  });

  const refusedAs = (status: number, code: string) => ({ status, body: { code } });

  it('is one of the author, of their deputy, or in a role that is not held', async () => {
    const byDave = connector('by-dave');
    const daves = await proposed(byDave, dave);
    expect(await dave.signOff(daves, byDave, 'egress_allowlist')).toMatchObject(
      refusedAs(403, 'verdict_not_independent'),
    );
    const byHeidi = connector('by-heidi');
    const heidis = await proposed(byHeidi, new Signer(stack, 'person/heidi', 'team_lead'));
    expect(await frank.signOff(heidis, byHeidi, 'data_classification')).toMatchObject(
      refusedAs(403, 'verdict_not_independent'),
    );
    const alice = new Signer(stack, 'person/alice', 'security');
    expect(await alice.signOff(id, mine, 'egress_allowlist')).toMatchObject(
      refusedAs(403, 'verdict_role_not_held'),
    );
  });

  it('is one over a configuration that was changed by one byte', async () => {
    const changed = connector(mine.name, { owner: 'X' });
    expect(await dave.signOff(id, changed, 'egress_allowlist')).toMatchObject(
      refusedAs(422, 'verdict_digest_mismatch'),
    );
  });

  it('is one for another proposal, of another step, too early, stale, or without a reason', async () => {
    const other = connector('other');
    const others = await proposed(other);
    const statement = await dave.sign(others, other, 'egress_allowlist');
    expect(await dave.submit(id, statement)).toMatchObject(refusedAs(422, 'verdict_not_for_request'));
    expect(await dave.signOff(id, mine, 'anything')).toMatchObject(refusedAs(422, 'sign_off_step_unknown'));
    expect(await grace.signOff(id, mine, 'activation')).toMatchObject(refusedAs(409, 'sign_off_not_due'));
    const old = { iat: Math.floor(Date.now() / 1000) - 3_600 };
    expect(await dave.signOff(id, mine, 'egress_allowlist', old)).toMatchObject(
      refusedAs(422, 'verdict_stale'),
    );
    expect(await dave.signOff(id, mine, 'egress_allowlist', { reason: ' ' })).toMatchObject(
      refusedAs(422, 'verdict_reason_missing'),
    );
  });

  it('is one whose signature is not of its certificate, or whose bytes were changed', async () => {
    const statement = await dave.sign(id, mine, 'egress_allowlist');
    const forged = `${statement.slice(0, -8)}AAAAAAAA`;
    expect((await dave.submit(id, forged)).status).toBe(422);
    expect(await dave.submit(id, 'a.b.c')).toMatchObject(refusedAs(400, 'verdict_malformed'));
    expect(await dave.submit(id, 'nothing')).toMatchObject(refusedAs(400, 'verdict_malformed'));
  });

  it('is one that was counted before on another proposal', async () => {
    const other = connector('other-jti');
    const others = await proposed(other);
    const jti = 'the-same-jti-for-two-proposals';
    expect((await dave.signOff(others, other, 'egress_allowlist', { jti })).status).toBe(200);
    expect(await dave.signOff(id, mine, 'egress_allowlist', { jti })).toMatchObject(
      refusedAs(409, 'verdict_already_used'),
    );
  });
});

describe('somebody with the database or the Temporal namespace', () => {
  it('puts no connector in force by writing it into the table', async () => {
    const database = new DatabaseClient({ connectionString: await databaseUrl() });
    await database.connect();
    const sneaked = connector('sneaked');
    const id = await proposed(sneaked);
    await database.query('insert into active_connector (name, digest, proposal_id) values ($1, $2, $3)', [
      'sneaked',
      proposalDigest(sneaked),
      id,
    ]);
    await database.end();
    expect(await active()).not.toContainEqual(expect.objectContaining({ name: 'sneaked' }));
  });

  it('gets nothing by a signal, and cancelling ends the waiting with a record', async () => {
    const mine = connector('signalled');
    const id = await proposed(mine);
    const handle = (await stack.insider()).workflow.getHandle(`proposal/${id}`);
    await handle.signal('signOff', { statement: 'approve' });
    for (let noise = 0; noise < 40; noise++) await handle.signal(`noise-${noise}`);
    expect((await stack.as('person/alice').get(`/proposals/${id}`)).body.state).toBe('pending');
    await handle.cancel();
    await handle.result().catch(() => undefined);
    const types = await eventsOf(id);
    expect([...new Set(types)]).toEqual(['proposal_made', 'proposal_signal_rejected', 'proposal_ended']);
    // Twenty each, then at each doubling.
    expect(types.filter((type) => type === 'proposal_signal_rejected')).toHaveLength(21);
    expect(await dave.signOff(id, mine, 'egress_allowlist')).toMatchObject({
      status: 409,
      body: { code: 'proposal_finished' },
    });
  });
});

describe('a share of the requests', () => {
  it('is neither given to nor taken from a policy that nobody approved, such as one that was mistyped', async () => {
    for (const percent of [10, 0]) {
      const mistyped: Proposed = { kind: 'policy_rollout', name: '0123456789abcdef', content: { percent } };
      expect(await grace.propose(mistyped)).toMatchObject({
        status: 403,
        body: { code: 'policy_not_approved' },
      });
    }
  });
});

describe('bad input', () => {
  it('is refused with what is wrong', async () => {
    const alice = stack.as('person/alice');
    const post = (body: unknown) => alice.post('/proposals', body);
    const statement = 'a.b.c';
    for (const body of [
      {},
      { kind: 'connector', name: 'x', content: {} },
      { kind: 'nothing', name: 'x', content: {}, statement },
      { kind: 'connector', name: '../x', content: {}, statement },
      { kind: 'connector', name: 'x', content: [], statement },
      { kind: 'connector', name: 'x', content: {}, statement, more: 1 },
    ]) {
      expect((await post(body)).status).toBe(400);
    }
    expect((await post({ kind: 'connector', name: 'x', content: {}, statement })).status).toBe(400);
    expect((await alice.get('/proposals/nothing')).status).toBe(404);
    expect((await alice.get(`/proposals/connector.x.${'a'.repeat(22)}`)).status).toBe(404);
  });
});
