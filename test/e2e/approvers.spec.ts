import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { answerJson, HttpsServer } from '../support/https-server';
import { Approver } from '../support/approver';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';
const POLLS = 40;

let outside: HttpsServer;
let stack: TestStack;
let bob: Approver;

beforeAll(async () => {
  outside = await HttpsServer.start();
  // A channel that answers as if it could decide.
  outside.handler = (_, response) => {
    answerJson(response, { verdict: 'approve', actions: [{ value: 'approve' }], ok: true });
  };
  await outside.file('secret', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
  await outside.file('chat-url', `${outside.url}/services/T0/B0/XXXX`);
  const notifications = await outside.file(
    'notifications.json',
    JSON.stringify({
      decide_at: 'https://approvals.corp.example/{request_id}',
      channels: { chat: { type: 'slack', url_file: 'chat-url', ca_file: 'ca.pem' } },
      routes: [{ roles: ['*'], channel: 'chat' }],
      agents: { [FINANCE_BOT]: { url: `${outside.url}/agent`, secret_file: 'secret', ca_file: 'ca.pem' } },
    }),
  );
  stack = await TestStack.start({
    ATB_NOTIFICATIONS_FILE: '',
    ATB_NOTIFICATION_SYSTEM_FILE: notifications,
    ATB_POLLS_PER_INTERVAL: String(POLLS),
    ATB_POLICY_DIR: await changedPolicy((data) => {
      data.requests.poll = { interval_seconds: 30, slow_down_seconds: 7 };
    }),
  });
  bob = new Approver(stack, 'person/bob', 'compliance');
});

afterAll(async () => {
  await stack.stop();
  await outside.stop();
});

const finance = () => stack.as('agent/finance-bot');
const pending = async (act = 'erp.order.create', more: Record<string, unknown> = {}) =>
  String((await finance().post('/issue', { act, ...more })).body.request_id);

const received = (url: string, requestId: string) =>
  eventually(
    () => outside.received.filter((call) => call.url === url && call.body.includes(requestId)),
    ({ length }) => length > 0,
  );

describe('a pending request (attack 13)', () => {
  it('is shown to its agent and to those who may decide, with what came of the agent’s last requests', async () => {
    const earlier = await pending();
    await finance().post(`/requests/${earlier}/withdraw`);
    const id = await pending();
    const shown = await untilSeen(
      async () => (await stack.as('person/bob').get(`/requests/${id}`)).body,
      earlier,
    );
    expect(shown.agent_recent).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          request_id: earlier,
          act: 'erp.order.create',
          tier: 'medium',
          state: 'withdrawn',
        }),
      ]),
    );
    expect(JSON.stringify(shown.agent_recent)).not.toContain(id);
    const own = await finance().get(`/requests/${id}`);
    expect(own).toMatchObject({ status: 200, body: { state: 'pending' } });
    expect(own.body).not.toHaveProperty('agent_recent');
  });

  it.each(['agent/hr-helper', 'agent/crm-assistant', 'agent/explorer', 'person/grace'])(
    'does not exist for %s: not to read, to collect, to withdraw or in a list',
    async (stranger) => {
      const id = await pending();
      const as = stack.as(stranger);
      for (const answer of [
        await as.get(`/requests/${id}`),
        await as.post(`/requests/${id}/collect`),
        await as.post(`/requests/${id}/withdraw`),
      ]) {
        expect(answer).toMatchObject({ status: 404, body: { code: 'request_unknown' } });
        expect(JSON.stringify(answer.body)).not.toMatch(/erp\.order|compliance|bob/);
      }
      expect((await as.get('/approvals')).body).toEqual({ approvals: [] });
    },
  );

  it('is in the list of those who may decide, what expires first before the rest', async () => {
    const medium = await pending();
    const high = await pending('sap.payment.execute');
    const listed = async () => {
      const { body } = await stack.as('person/bob').get('/approvals');
      return (body.approvals as { request_id: string }[]).map(({ request_id }) => request_id);
    };
    const ids = await eventually(
      async () => (await listed()).filter((id) => id === medium || id === high),
      ({ length }) => length === 2,
    );
    // Hours for a medium one, an hour a rung for a high one (operating model §5).
    expect(ids).toEqual([high, medium]);
  });
});

describe('an agent that asks too often after one request', () => {
  it('is told to slow down, by its own budget and whatever its headers say (attack 11)', async () => {
    const asked = await finance().post('/issue', { act: 'erp.order.create' });
    // The interval is policy's (OpenID CIBA Core §7.3).
    expect(asked).toMatchObject({ headers: { 'retry-after': '30' }, body: { poll_interval_seconds: 30 } });
    const id = String(asked.body.request_id);
    const ask = (n: number) =>
      finance().send('GET', `/requests/${id}`, undefined, {
        'x-forwarded-for': `10.0.0.${n}`,
        forwarded: `for=10.0.0.${n}`,
      });
    const answers = await Promise.all(Array.from({ length: POLLS + 5 }, (_, n) => ask(n)));
    const slowed = answers.filter(({ status }) => status === 429);
    expect(slowed).toHaveLength(5);
    expect(slowed[0]).toMatchObject({ body: { code: 'slow_down' }, headers: { 'retry-after': '37' } });
    // Another request of the same agent, and this one for somebody else, have budgets of their own.
    expect((await finance().get(`/requests/${await pending()}`)).status).toBe(200);
    expect((await stack.as('person/bob').get(`/requests/${id}`)).status).toBe(200);
  });
});

describe('what comes back from a channel', () => {
  it('decides nothing: not its answer, not a call to the link, not a click without a key', async () => {
    const id = await pending('sap.payment.execute', { justification: 'invoice 4711' });
    const [told] = await received('/services/T0/B0/XXXX', id);
    // A link and words: nothing that could be used in place of a key.
    expect(told!.body).toContain(`https://approvals.corp.example/${id}`);
    expect(told!.body).not.toMatch(/token|secret|signature|eyJ/i);

    const click = JSON.stringify({
      type: 'block_actions',
      user: { name: 'bob' },
      actions: [{ value: 'approve' }],
    });
    for (const path of ['/slack/actions', '/mail/inbound', `/approve/${id}`, `/requests/${id}/approve`]) {
      expect(
        (await stack.nobody().send('POST', path, click, { 'content-type': 'application/json' })).status,
      ).toBeGreaterThanOrEqual(400);
      expect(
        (await stack.as('person/bob').send('POST', path, click, { 'content-type': 'application/json' }))
          .status,
      ).toBe(404);
    }
    // Without a certificate nobody comes in, and with one only a signed statement counts.
    expect(await stack.nobody().post(`/requests/${id}/verdicts`, { verdict: 'approve' })).toMatchObject({
      status: 401,
    });
    for (const body of [{ verdict: 'approve' }, { verdict: 'yes' }, { text: 'approve', user_name: 'bob' }]) {
      const { status } = await stack.as('person/bob').post(`/requests/${id}/verdicts`, body);
      expect(status).toBe(400);
    }
    expect((await finance().get(`/requests/${id}`)).body).toMatchObject({ state: 'pending', verdicts: [] });
  });
});

describe("an agent's own webhook", () => {
  it('hears that the request was approved, once, and holds no mandate', async () => {
    const id = await pending();
    await bob.give(id);
    const [told] = await received('/agent', id);
    expect(JSON.parse(told!.body)).toMatchObject({
      type: 'decided',
      data: { request_id: id, state: 'approved', act: 'erp.order.create' },
    });
    expect(told!.headers['webhook-signature']).toMatch(/^v1,/);
    const collected = await finance().post(`/requests/${id}/collect`);
    expect(collected.status).toBe(200);
    const calls = await received('/agent', id);
    expect(calls).toHaveLength(1);
    expect(calls[0]!.body).not.toContain(String(collected.body.mandate));
  });

  it('hears that it was rejected, and is never one that a request names', async () => {
    const id = await pending();
    await bob.give(id, { verdict: 'reject' });
    const [told] = await received('/agent', id);
    expect(JSON.parse(told!.body)).toMatchObject({ data: { state: 'rejected' } });
    const asked = await finance().post('/issue', {
      act: 'erp.order.create',
      callback: `${outside.url}/evil`,
    });
    expect(asked).toMatchObject({ status: 400, body: { code: 'unknown_field' } });
    expect(outside.received.filter(({ url }) => url === '/evil')).toEqual([]);
  });
});

describe('an approver at a real terminal', () => {
  it('sees the request, says why, and signs', async () => {
    const id = await pending('erp.order.create', { justification: 'ordered\u001b[2J by mail' });
    const { output, exitCode } = await atTerminal(
      ['approve', id, '--as', 'person/bob', '--state-dir', stack.directory],
      [['sign this with your key?', 'y\n']],
    );
    expect(output).toContain('agent/finance-bot');
    expect(output).not.toContain('\u001b[2J');
    expect(exitCode).toBe(0);
    expect((await finance().get(`/requests/${id}`)).body).toMatchObject({ state: 'approved' });
  });
});

/** Runs the command line on a pseudo-terminal, and types each reply once its question is there. */
function atTerminal(argv: readonly string[], replies: readonly (readonly [string, string])[]) {
  const command = [process.execPath, join(process.cwd(), 'bin', 'atb'), ...argv]
    .map((word) => `'${word}'`)
    .join(' ');
  const terminal = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: 'pipe',
  });
  const left = [...replies];
  let output = '';
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    const [next] = left;
    if (next && output.includes(next[0])) {
      left.shift();
      terminal.stdin.write(next[1]);
    }
  });
  return new Promise<{ output: string; exitCode: number | null }>((resolve, reject) => {
    terminal.on('error', reject);
    terminal.on('close', (exitCode) => {
      resolve({ output, exitCode });
    });
  });
}

/** Visibility follows within a moment: asks until the answer speaks of this. */
const untilSeen = <T>(ask: () => Promise<T>, what: string) =>
  eventually(ask, (answer) => JSON.stringify(answer).includes(what));
