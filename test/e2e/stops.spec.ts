import { atbIn } from '../support/atb';
import { HttpCaller } from '../support/http';
import { TestStack } from '../support/stack';

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start();
});
afterAll(() => stack.stop());

const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';
const GROUND = [
  ...['--jurisdiction', 'EU', '--accountable', 'employee:emp-200'],
  ...['--basis', 'CONTRACT', '--ref', 'MSA-12345'],
];

async function atb(person: string, ...argv: string[]) {
  const { exit, out } = await atbIn(stack.directory, [...argv, '--as', person, '--json']);
  return { exitCode: exit, answer: JSON.parse(out || '{}') as Record<string, unknown> };
}

const because = ['--reason', 'a test of it'];
const order = (verb: 'revoke' | 'lift', person: string, ...target: string[]) =>
  atb(`person/${person}`, verb, ...target, ...because);
const read = (agent: string, ...words: string[]) => atb(`agent/${agent}`, 'call', ...words, ...GROUND);
const issue = (agent: string) =>
  stack.as(`agent/${agent}`).post('/issue', { act: 'erp.order.list', con: { params: {} } });

describe('an agent that is stopped', () => {
  it('is issued nothing and can redeem nothing, until that is lifted', async () => {
    const issued = (await issue('finance-bot')).body;
    expect(issued.state).toBe('issued');
    expect(await order('revoke', 'carol', '--agent', 'agent/finance-bot')).toMatchObject({
      exitCode: 0,
      answer: { state: 'stopped', scope: 'agent', value: FINANCE_BOT },
    });
    expect((await issue('finance-bot')).body).toMatchObject({ code: 'stopped' });
    expect((await issue('explorer')).body.state).toBe('issued');
    expect((await read('finance-bot', 'erp', 'GET', '/orders')).answer).toMatchObject({ code: 'stopped' });
    expect((await order('lift', 'dave', '--agent', FINANCE_BOT)).answer).toMatchObject({ state: 'lifted' });
    expect((await issue('finance-bot')).body.state).toBe('issued');
  });

  it('is stopped by its owner too, who may not lift it', async () => {
    expect((await order('revoke', 'alice', '--agent', FINANCE_BOT)).answer).toMatchObject({
      state: 'stopped',
    });
    expect(await order('lift', 'alice', '--agent', FINANCE_BOT)).toMatchObject({
      exitCode: 1,
      answer: { code: 'not_allowed_to_stop' },
    });
    expect((await order('lift', 'carol', '--agent', FINANCE_BOT)).answer).toMatchObject({ state: 'lifted' });
  });

  it('is stopped by nobody else', async () => {
    for (const who of ['person/heidi', 'agent/crm-assistant', 'agent/finance-bot']) {
      expect(await atb(who, 'revoke', '--agent', FINANCE_BOT, ...because)).toMatchObject({
        exitCode: 1,
        answer: { code: 'not_allowed_to_stop' },
      });
    }
    expect((await issue('finance-bot')).body.state).toBe('issued');
  });
});

it('a connector that is stopped is called by nobody', async () => {
  await order('revoke', 'carol', '--connector', 'crm');
  expect((await read('crm-assistant', 'crm', 'GET', '/contacts')).answer).toMatchObject({ code: 'stopped' });
  expect((await read('finance-bot', 'erp', 'GET', '/orders')).answer).toMatchObject({ status: 200 });
  expect((await order('lift', 'carol', '--connector', 'crm')).answer).toMatchObject({ state: 'lifted' });
  expect((await read('crm-assistant', 'crm', 'GET', '/contacts')).answer).toMatchObject({ status: 200 });
});

async function redeemed({ mandate }: Record<string, unknown>) {
  const { brokerUrl } = stack.stack;
  const caller = HttpCaller.fromFiles(brokerUrl, stack.trustBundle, stack.identity('agent/finance-bot'));
  try {
    return await caller.send('GET', '/c/erp/orders', undefined, { authorization: `PoA ${String(mandate)}` });
  } finally {
    caller.close();
  }
}

it('a tier that is stopped is neither issued nor redeemed, and the others are', async () => {
  const issued = await atb('agent/finance-bot', 'request', 'erp.order.list', ...GROUND);
  expect(issued.answer.state).toBe('issued');
  expect((await order('revoke', 'carol', '--tier', 'low')).answer).toMatchObject({ state: 'stopped' });
  expect((await issue('finance-bot')).body).toMatchObject({ code: 'stopped' });
  const { body } = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create' });
  expect(body).toMatchObject({ state: 'pending', tier: 'medium' });
  expect(await redeemed(issued.answer)).toMatchObject({ status: 403, body: { code: 'stopped' } });

  expect(await order('revoke', 'grace', '--tier', 'low')).toMatchObject({
    exitCode: 1,
    answer: { code: 'not_allowed_to_stop' },
  });
  expect((await order('lift', 'dave', '--tier', 'low')).answer).toMatchObject({ state: 'lifted' });
  expect((await issue('finance-bot')).body.state).toBe('issued');
  expect((await redeemed(issued.answer)).status).toBe(200);
});

it('a request that is stopped stays so', async () => {
  const { body } = await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.create' });
  const id = String(body.request_id);
  expect((await order('revoke', 'carol', '--request', id)).answer).toMatchObject({ state: 'stopped' });
  expect(await order('lift', 'carol', '--request', id)).toMatchObject({
    exitCode: 1,
    answer: { code: 'stop_is_final' },
  });
});

describe('the kill switch', () => {
  it('stops everything, and takes two people to lift', async () => {
    expect((await order('revoke', 'carol', '--all')).answer).toMatchObject({ state: 'stopped', value: '*' });
    expect((await issue('finance-bot')).body).toMatchObject({ code: 'stopped' });
    expect((await issue('crm-assistant')).body).toMatchObject({ code: 'stopped' });

    expect(await order('lift', 'heidi', '--all')).toMatchObject({ exitCode: 1 });
    expect(await order('lift', 'carol', '--all')).toMatchObject({
      exitCode: 2,
      answer: { state: 'waiting' },
    });
    // The same person once more is the same person.
    expect(await order('lift', 'carol', '--all')).toMatchObject({
      exitCode: 2,
      answer: { state: 'waiting' },
    });
    expect((await issue('finance-bot')).body).toMatchObject({ code: 'stopped' });

    expect(await order('lift', 'dave', '--all')).toMatchObject({ exitCode: 0, answer: { state: 'lifted' } });
    expect((await issue('finance-bot')).body.state).toBe('issued');
  });

  it('of two who say it at once, one is the second', async () => {
    await order('revoke', 'erin', '--all');
    const said = await Promise.all([order('lift', 'carol', '--all'), order('lift', 'dave', '--all')]);
    expect(said.map(({ answer }) => answer.state)).toContain('lifted');
    expect((await issue('finance-bot')).body.state).toBe('issued');
  });

  it('is thrown and lifted over a signature only', async () => {
    const carol = stack.as('person/carol');
    const body = { scope: 'everything', value: '*', reason: 'unsigned' };
    expect((await carol.post('/stops', body)).body.code).toBe('signed_request_required');
    expect((await carol.post('/stops/lift', body)).body.code).toBe('signed_request_required');
    expect((await issue('finance-bot')).body.state).toBe('issued');
  });
});

it('people are told what is stopped, and agents are not', async () => {
  const ls = (who: string) => atb(who, 'stops', 'ls');
  const before = (await ls('person/heidi')).answer.stops as object[];
  // A word of the same second would count for the stop that comes now.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await order('revoke', 'carol', '--connector', 'crm');
  await order('revoke', 'carol', '--all');
  await order('lift', 'dave', '--all');
  const { stops } = (await ls('person/grace')).answer as { stops: Record<string, unknown>[] };
  const [stopped_at, at] = [expect.stringMatching(/^\d{4}-.*Z$/), expect.stringMatching(/^\d{4}-.*Z$/)];
  expect(stops).toEqual([
    {
      ...{ scope: 'everything', value: '*', stopped_at },
      lifts: [{ by: 'spiffe://corp.example/person/dave', at }],
    },
    { scope: 'connector', value: 'crm', stopped_at, lifts: [] },
    ...before,
  ]);
  expect(await ls('agent/explorer')).toMatchObject({
    exitCode: 1,
    answer: { code: 'not_allowed_to_stop' },
  });
  await order('lift', 'carol', '--all');
  await order('lift', 'carol', '--connector', 'crm');
  expect((await ls('person/heidi')).answer.stops).toEqual(before);
});

it('each of it is told in the audit log, with who and why', async () => {
  const ledger = await stack.ledger();
  const events = await ledger.events({ limit: 1_000 });
  const told = events.filter(({ type }) => /^poa_(stop|lift)/.test(type));
  expect(new Set(told.map(({ type }) => type))).toEqual(
    new Set(['poa_stopped', 'poa_lift_proposed', 'poa_stop_lifted', 'poa_stop_refused']),
  );
  expect(told.find(({ type }) => type === 'poa_stopped')).toMatchObject({
    actor: 'spiffe://corp.example/person/carol',
    subject: FINANCE_BOT,
    data: { scope: 'agent', value: FINANCE_BOT, reason: 'a test of it' },
  });
});
