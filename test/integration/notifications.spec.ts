import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { NotificationDelivery } from '../../adapters/notify/delivery';
import { readNotificationSystem } from '../../adapters/notify/notification-system';
import { OWN_TEMPLATES, Templates } from '../../adapters/notify/templates';
import { startEmbeddedPostgres } from '../../adapters/postgres/embedded';
import type { EmbeddedPostgres } from '../../adapters/postgres/embedded';
import { NotificationOutbox } from '../../adapters/postgres/notification-outbox';
import { migrate } from '../../adapters/postgres/schema';
import type { Notification } from '../../domain/ports';
import { EXIT } from '../../apps/atb/exit';
import { atbIn } from '../support/atb';
import { HttpsServer } from '../support/https-server';
import { eventually } from '../support/eventually';
import { freePort } from '../support/database';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';
// A line break for a header, Slack's mention of everybody and its link, HTML, a terminal's colours, another direction.
const HOSTILE =
  'x\r\nBcc: all@corp.example\r\n\r\n<!channel> <https://evil.example|the form> <img src=x onerror=alert(1)> *b* \u001b[31m \u202egpj.exe https://evil.example/ {{link}}';

let directory: string;
let postgres: EmbeddedPostgres;
let server: HttpsServer;
let outbox: NotificationOutbox;
let reports: string[];
let count = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-notifications-'));
  postgres = await startEmbeddedPostgres({
    stateDirectory: directory,
    port: await freePort(),
    settings: { fsync: 'off', synchronous_commit: 'off' },
  });
  await migrate(postgres.url);
  outbox = new NotificationOutbox(postgres.serviceUrl);
  server = await HttpsServer.start();
  await server.file('secret', `${SECRET}\n`);
  await server.file('chat-url', `${server.url}/services/T0/B0/XXXX`);
});

afterAll(async () => {
  await outbox.end();
  await server.stop();
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
});

beforeEach(() => {
  server.received.length = 0;
  server.handler = (_, response) => response.writeHead(204).end();
  reports = [];
});

function aNotification(changes: Partial<Notification> = {}): Notification {
  return {
    id: `request-${++count}/poa_escalated/0/0`,
    kind: 'approval_wanted',
    requestId: `request-${count}`,
    roles: ['compliance'],
    text: 'high sap.payment.execute waits for compliance',
    facts: {
      action: 'sap.payment.execute',
      agent: FINANCE_BOT,
      tier: 'high',
      ticket: null,
      justification: 'invoice 4711',
    },
    ...changes,
  };
}

async function delivery(written: Record<string, unknown>): Promise<NotificationDelivery> {
  const file = await server.file(
    'notifications.json',
    JSON.stringify({
      decide_at: 'https://atb.corp.example/requests/{request_id}',
      retry_pauses_seconds: [0, 0],
      ...written,
    }),
  );
  const report = (line: string) => void reports.push(line);
  const policy = await WasmPolicy.load('policy/dist');
  return new NotificationDelivery(outbox, await readNotificationSystem(file), report, () =>
    policy.contacts(),
  );
}

const hook = { type: 'webhook', url: '', secret_file: 'secret', ca_file: 'ca.pem' };
const webhooks = (written: Record<string, unknown> = {}) =>
  delivery({
    channels: { hook: { ...hook, url: `${server.url}/hook` } },
    routes: [{ roles: ['*'], channel: 'hook' }],
    ...written,
  });

const standing = async (id: string) =>
  (await outbox.list({ limit: 1000 })).filter((errand) => errand.id === id);

describe('a signed webhook (Standard Webhooks)', () => {
  it('carries id, time and a signature over both and the body', async () => {
    const told = await webhooks();
    const notification = aNotification();
    const begun = Math.floor(Date.now() / 1000);
    await told.notify(notification);
    await told.tellDue();
    const { headers, body, url } = server.received[0]!;
    expect(url).toBe('/hook');
    expect(headers['webhook-id']).toBe(notification.id);
    const at = Number(headers['webhook-timestamp']);
    expect([at >= begun, at <= Date.now() / 1000]).toEqual([true, true]);
    // By hand, from the specification: the secret behind `whsec_` is base64.
    const mac = createHmac('sha256', Buffer.from(SECRET.slice('whsec_'.length), 'base64'))
      .update(`${notification.id}.${String(headers['webhook-timestamp'])}.${body}`)
      .digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${mac}`);
    expect(JSON.parse(body)).toEqual({
      type: 'approval_wanted',
      timestamp: expect.any(String),
      data: {
        request_id: notification.requestId,
        roles: ['compliance'],
        deputies: [],
        text: notification.text,
        facts: notification.facts,
        decide_at: `https://atb.corp.example/requests/${notification.requestId}`,
      },
    });
    expect(await standing(notification.id)).toMatchObject([{ state: 'told', attempts: 1 }]);
  });

  it('goes out once however often the step is repeated', async () => {
    const told = await webhooks();
    const notification = aNotification();
    for (let times = 0; times < 3; times++) {
      await told.notify(notification);
      await told.tellDue();
    }
    expect(server.received).toHaveLength(1);
  });

  it('is tried again under the same id with growing pauses, then is a dead letter', async () => {
    server.handler = (_, response) => response.writeHead(500).end();
    const told = await webhooks({ retry_pauses_seconds: [0, 3600] });
    const notification = aNotification();
    await told.notify(notification);
    await told.tellDue();
    await told.tellDue();
    expect(server.received.map(({ headers }) => headers['webhook-id'])).toEqual([
      notification.id,
      notification.id,
    ]);
    const [waiting] = await standing(notification.id);
    expect(waiting).toMatchObject({ state: 'waiting', attempts: 2, lastError: 'the receiver answered 500' });
    expect(waiting!.nextAttemptAt.getTime() - Date.now()).toBeGreaterThan(3_500_000);

    const patient = await webhooks({ retry_pauses_seconds: [] });
    const other = aNotification();
    await patient.notify(other);
    await patient.tellDue();
    expect(await standing(other.id)).toMatchObject([{ state: 'dead', attempts: 1 }]);
    expect(reports.at(-1)).toContain('a dead letter now');

    server.handler = (_, response) => response.writeHead(200).end();
    expect(await outbox.retry(other.id)).toBe(1);
    await patient.tellDue();
    expect(await standing(other.id)).toMatchObject([{ state: 'told' }]);
  });

  it.each([
    ['a redirect', 302],
    ['a 404', 404],
    ['a 503', 503],
  ])('is not told by %s', async (_, status) => {
    server.handler = (_received, response) =>
      response.writeHead(status, { location: `${server.url}/elsewhere` }).end();
    const told = await webhooks({ retry_pauses_seconds: [3600] });
    const notification = aNotification();
    await told.notify(notification);
    await told.tellDue();
    expect(server.received).toHaveLength(1);
    expect(await standing(notification.id)).toMatchObject([{ state: 'waiting' }]);
  });

  it('is not tried again where the receiver says that it is gone', async () => {
    server.handler = (_, response) => response.writeHead(410).end();
    const told = await webhooks();
    const notification = aNotification();
    await told.notify(notification);
    await told.tellDue();
    expect(await standing(notification.id)).toMatchObject([{ state: 'dead' }]);
  });

  it('is told by a process that starts after the one that took it over', async () => {
    const first = await webhooks();
    const notification = aNotification();
    await first.notify(notification);
    const second = await webhooks();
    second.start();
    await eventually(
      () => server.received,
      ({ length }) => length > 0,
    );
    await second.stop();
    expect(server.received).toHaveLength(1);
  });

  it('is told once, whatever an agent wrote: also what the database cannot make a text of', async () => {
    const told = await webhooks();
    const notification = aNotification({ facts: { justification: 'invoice\u0000 4711', ticket: '\\u0000' } });
    await told.notify(notification);
    await told.tellDue();
    expect(await standing(notification.id)).toMatchObject([{ state: 'told' }]);
  });

  it('waits for no receiver that is slow, however many wait for that one', async () => {
    const held: ServerResponse[] = [];
    server.handler = ({ url }, response) => {
      if (url === '/slow') held.push(response);
      else response.writeHead(204).end();
    };
    const told = await webhooks({
      channels: {
        hook: { ...hook, url: `${server.url}/hook` },
        slow: { ...hook, url: `${server.url}/slow` },
      },
      routes: [
        { roles: ['*'], channel: 'hook' },
        { roles: ['ciso'], channel: 'slow' },
      ],
    });
    // One batch after the other, each as long as a receiver may take: longer than this test waits.
    for (let waiting = 0; waiting < 100; waiting++) await told.notify(aNotification({ roles: ['ciso'] }));
    const page = aNotification();
    await told.notify(page);
    told.start();
    try {
      await eventually(
        () => standing(page.id),
        ([errand]) => errand?.state === 'told',
      );
    } finally {
      server.handler = (_, response) => response.writeHead(204).end();
      for (const response of held) response.writeHead(204).end();
      await told.stop();
      while ((await told.tellDue()) > 0);
    }
  }, 120_000);

  it('is told once where two processes look at the same time', async () => {
    const [one, other] = [await webhooks(), await webhooks()];
    const notifications = Array.from({ length: 30 }, () => aNotification());
    for (const notification of notifications) await one.notify(notification);
    while ((await Promise.all([one.tellDue(), other.tellDue()])).some((told) => told > 0));
    const ids = server.received.map(({ headers }) => headers['webhook-id']);
    expect(ids.sort()).toEqual(notifications.map(({ id }) => id).sort());
  });
});

describe('atb notifications', () => {
  const atb = async (...argv: string[]) => {
    const file = join(directory, 'database-url');
    await writeFile(file, postgres.serviceUrl);
    return atbIn(directory, ['notifications', ...argv, '--database-url-file', file]);
  };
  const stateOf = async (id: string) => (await standing(id)).map(({ state }) => state).join();
  const comesTo = async (id: string, state: string) => {
    await eventually(
      () => stateOf(id),
      (now) => now === state,
    );
  };

  it('lists the dead letters of a receiver that failed, and gives one another life: it is delivered', async () => {
    server.handler = (_, response) => response.writeHead(500).end();
    const worker = await webhooks({ retry_pauses_seconds: [0] });
    worker.start();
    const [dead, other] = [aNotification(), aNotification()];
    await worker.notify(dead);
    await worker.notify(other);
    await comesTo(dead.id, 'dead');
    await comesTo(other.id, 'dead');

    const listed = await atb('ls', '--state', 'dead');
    expect(listed).toMatchObject({ exit: EXIT.done });
    const line = listed.out.split('\n').find((one) => one.includes(dead.id));
    expect(line).toMatch(/^dead +hook +\S+ +2 +the receiver answered 500$/);

    server.handler = (_, response) => response.writeHead(204).end();
    server.received.length = 0;
    expect((await atb('retry', dead.id)).out).toBe('1 to be told again\n');
    await comesTo(dead.id, 'told');
    expect(server.received.map(({ headers }) => headers['webhook-id'])).toEqual([dead.id]);
    expect(await stateOf(other.id)).toBe('dead');

    // What was told is no dead letter: it goes out once.
    expect((await atb('retry', dead.id)).out).toBe('there is no such dead letter\n');
    const { out } = await atb('retry', '--all', '--json');
    expect((JSON.parse(out) as { retried: number }).retried).toBeGreaterThanOrEqual(1);
    await comesTo(other.id, 'told');
    expect((await atb('ls', '--state', 'dead')).out).toBe('none\n');
    await worker.stop();
    expect(server.received.filter(({ headers }) => headers['webhook-id'] === dead.id)).toHaveLength(1);
  });

  it('says what is missing, and retries nothing then', async () => {
    for (const argv of [['retry'], ['retry', 'x', '--all'], ['ls', '--state', 'lost']]) {
      expect(await atb(...argv)).toMatchObject({ exit: EXIT.usage });
    }
  });
});

describe('the routes', () => {
  it('lead each role to its own channels, and the others to those for everybody', async () => {
    const told = await delivery({
      channels: {
        legal: { ...hook, url: `${server.url}/legal` },
        every: { ...hook, url: `${server.url}/every` },
      },
      routes: [
        { roles: ['legal'], channel: 'legal' },
        { roles: ['*'], channel: 'every' },
      ],
    });
    const urls = async (roles: string[]) => {
      server.received.length = 0;
      await told.notify(aNotification({ roles }));
      await told.tellDue();
      return server.received.map(({ url }) => url).sort();
    };
    expect(await urls(['legal'])).toEqual(['/legal']);
    expect(await urls(['manager', 'security'])).toEqual(['/every']);
    expect(await urls(['legal', 'manager'])).toEqual(['/every', '/legal']);
    expect(await urls([])).toEqual(['/every']);
  });

  it("lead to the deputy of somebody away as well, by name, and otherwise to everybody's", async () => {
    const heidi = 'spiffe://corp.example/person/heidi';
    const told = await delivery({
      channels: {
        legal: { ...hook, url: `${server.url}/legal` },
        heidi: { ...hook, url: `${server.url}/heidi` },
        every: { ...hook, url: `${server.url}/every` },
      },
      routes: [
        { roles: ['legal'], channel: 'legal' },
        { persons: [heidi], channel: 'heidi' },
        { roles: ['*'], channel: 'every' },
      ],
    });
    const urls = async (deputies: string[]) => {
      server.received.length = 0;
      await told.notify(aNotification({ roles: ['legal'], deputies }));
      await told.tellDue();
      return server.received.map(({ url }) => url).sort();
    };
    expect(await urls([heidi])).toEqual(['/heidi', '/legal']);
    expect(JSON.parse(server.received[0]?.body ?? '')).toMatchObject({ data: { deputies: [heidi] } });
    expect(await urls(['spiffe://corp.example/person/ivan'])).toEqual(['/every', '/legal']);
  });

  it.each([
    ['to nobody', { routes: [{ channel: 'hook' }, { roles: ['*'], channel: 'hook' }] }],
    ['without a route for everybody', { routes: [{ roles: ['legal'], channel: 'hook' }] }],
    ['with a route to no channel', { routes: [{ roles: ['*'], channel: 'hok' }] }],
    ['with a route to `constructor`', { routes: [{ roles: ['*'], channel: 'constructor' }] }],
    ['over plain HTTP', { channels: { hook: { ...hook, url: 'http://corp.example/' } } }],
    [
      'with an address that breaks a header',
      { routes: [{ roles: ['*'], channel: 'hook', to: ['a@b\nBcc: c@d'] }] },
    ],
    ['with a setting that does not exist', { retries: 3 }],
    ['with mail to nobody', mailChannel('localhost', 25)],
    [
      'with the contact of everybody',
      {
        channels: mailChannel('localhost', 25).channels,
        routes: [{ roles: ['*'], channel: 'mail', to_contact: true }],
      },
    ],
  ])('are refused %s', async (_, wrong) => {
    await expect(webhooks(wrong)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });
});

describe('a Slack-compatible webhook', () => {
  it('shows an agent’s text in plain, and links only to where one decides', async () => {
    const told = await delivery({
      channels: { chat: { type: 'slack', url_file: 'chat-url', ca_file: 'ca.pem' } },
      routes: [{ roles: ['*'], channel: 'chat' }],
    });
    const notification = aNotification({
      facts: {
        action: 'sap.payment.execute',
        agent: FINANCE_BOT,
        tier: 'high',
        ticket: HOSTILE,
        justification: HOSTILE,
      },
    });
    await told.notify(notification);
    await told.tellDue();
    expect(server.received[0]?.url).toBe('/services/T0/B0/XXXX');
    const message = JSON.parse(server.received[0]?.body ?? '{}') as {
      text: string;
      blocks: { type: string; text: { type: string; text: string } }[];
    };
    const formatted = message.blocks.filter(({ text }) => text.type !== 'plain_text');
    expect(formatted.map(({ text }) => text.text)).toEqual([
      `<https://atb.corp.example/requests/${notification.requestId}|Look and decide here>`,
    ]);
    expect(message.text).not.toMatch(/[<>]|evil/);
    const shown = message.blocks.map(({ text }) => text.text).join('\n');
    expect(shown).toContain('\\u{D}\\u{A}Bcc: all@corp.example');
    expect(shown).toContain('\\u{202E}');
    expect(shown).not.toMatch(/[\r\u001b\u202e]|https:\/\/evil/);
    expect(shown).toContain('An answer to this message decides nothing.');
  });
});

describe('mail over SMTP', () => {
  let smtp: SMTPServer;
  let mails: { readonly to: string[]; readonly from: string; readonly source: string }[];
  let port: number;
  let refusedAddress: string | undefined;

  beforeEach(async () => {
    mails = [];
    refusedAddress = undefined;
    const [cert, key] = await Promise.all([readFile(server.certFile), readFile(server.keyFile)]);
    smtp = new SMTPServer({
      secure: true,
      cert,
      key,
      logger: false,
      onAuth: ({ username, password }, _session, callback) => {
        if (username === 'atb' && password === 'post') callback(null, { user: username });
        else callback(new Error('no'));
      },
      onRcptTo: ({ address }, _session, callback) => {
        callback(address === refusedAddress ? new Error('no such mailbox') : null);
      },
      onData: (stream, session, callback) => {
        let source = '';
        stream.setEncoding('utf8').on('data', (text: string) => (source += text));
        stream.on('end', () => {
          const { mailFrom, rcptTo } = session.envelope;
          mails.push({
            to: rcptTo.map(({ address }) => address),
            from: mailFrom ? mailFrom.address : '',
            source,
          });
          callback();
        });
      },
    });
    smtp.on('error', () => undefined);
    await new Promise<void>((resolve) => {
      smtp.listen(0, '127.0.0.1', resolve);
    });
    port = (smtp.server.address() as AddressInfo).port;
    await server.file('mail-password', 'post\n');
  });

  afterEach(
    () =>
      new Promise<void>((resolve) => {
        smtp.close(resolve);
      }),
  );

  const mailing = (changes: Record<string, unknown> = {}) =>
    delivery({
      channels: { mail: { ...mailChannel('localhost', port).channels.mail, ...changes } },
      routes: [
        { roles: ['compliance'], channel: 'mail', to: ['bob@corp.example'] },
        { roles: ['legal'], channel: 'mail', to: ['frank@corp.example', 'bob@corp.example'] },
        { roles: ['*'], channel: 'mail', to: ['security@corp.example'] },
      ],
      retry_pauses_seconds: [3600],
    });

  it('that a server takes for some alone is a dead letter: whom it refused was not told', async () => {
    refusedAddress = 'frank@corp.example';
    const told = await mailing();
    const notification = aNotification({ roles: ['legal'] });
    await told.notify(notification);
    await told.tellDue();
    expect(mails).toMatchObject([{ to: ['bob@corp.example'] }]);
    const lastError = 'the mail server refused 1 of 2 addresses';
    expect(await standing(notification.id)).toMatchObject([{ state: 'dead', lastError }]);
    refusedAddress = undefined;
    await outbox.retry(notification.id);
    await told.tellDue();
    expect(await standing(notification.id)).toMatchObject([{ state: 'told' }]);
  });

  it('reaches a team at the address that policy has of it, and no other team (operating model §8)', async () => {
    const told = await delivery({
      channels: mailChannel('localhost', port).channels,
      routes: [
        { roles: ['Broker-Team', 'AgentAuth-Team', 'Security', 'Ghosts'], channel: 'mail', to_contact: true },
        { roles: ['*'], channel: 'mail', to: ['security@corp.example'] },
      ],
    });
    await told.notify(aNotification({ kind: 'consultation', roles: ['Broker-Team'] }));
    await told.tellDue();
    await told.notify(aNotification({ kind: 'work', roles: ['AgentAuth-Team', 'Broker-Team'] }));
    await told.tellDue();
    expect(mails.map(({ to }) => to)).toEqual([
      ['broker@corp.com'],
      ['broker@corp.com', 'agentauth@corp.com'],
    ]);
    mails.length = 0;
    // A team that policy does not know is not told, and that is said.
    await told.notify(aNotification({ kind: 'work', roles: ['Ghosts'] }));
    await told.tellDue();
    expect(mails).toEqual([]);
    expect(reports.join()).toContain('nobody has an address; a dead letter now');
  });

  it('reaches the addresses of the roles, once each, as one message whose id stays the same', async () => {
    const told = await mailing();
    const notification = aNotification({ roles: ['compliance', 'legal'] });
    await told.notify(notification);
    await told.tellDue();
    expect(reports).toEqual([]);
    expect(mails).toMatchObject([
      { from: 'atb@corp.example', to: ['bob@corp.example', 'frank@corp.example'] },
    ]);
    expect(mails[0]?.source).toMatch(/^Subject: \[high\] sap\.payment\.execute waits for your word\r$/m);
    expect(mails[0]?.source).toMatch(/^Message-ID: <[A-Za-z0-9_-]{43}@atb>\r$/m);
    expect(mails[0]?.source).toContain(`atb approve ${notification.requestId}`);
  });

  it('lets no text of an agent add a header, a recipient, markup or a link (attack 37)', async () => {
    const told = await mailing();
    await told.notify(
      aNotification({
        facts: { action: HOSTILE, agent: HOSTILE, tier: HOSTILE, ticket: HOSTILE, justification: HOSTILE },
      }),
    );
    await told.tellDue();
    expect(mails).toMatchObject([{ to: ['bob@corp.example'] }]);
    const { headers, text, html } = readMail(mails[0]!.source);
    expect(headers).not.toMatch(/^bcc:/im);
    expect(text).toContain('\\u{D}\\u{A}Bcc: all@corp.example');
    expect(text).not.toMatch(/[\u001b\u202e]|https:\/\/evil/);
    expect(html).not.toMatch(/<img|<!channel|[\u001b\u202e]|https:\/\/evil/);
    expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;');
    expect(html.match(/href="[^"]*"/g)).toEqual([
      expect.stringMatching(/^href="https:\/\/atb\.corp\.example\/requests\/request-\d+"$/),
    ]);
  });

  it.each([
    [
      'a wrong password',
      async () => {
        await server.file('mail-password', 'wrong');
        return mailing();
      },
    ],
    ['an authority that did not sign its certificate', () => mailing({ ca_file: undefined })],
    ['nobody listening', () => mailing({ port: 1 })],
  ])('waits with %s', async (_, open) => {
    const told = await open();
    const notification = aNotification();
    await told.notify(notification);
    await told.tellDue();
    expect(await standing(notification.id)).toMatchObject([{ state: 'waiting', attempts: 1 }]);
    expect(mails).toEqual([]);
  });
});

describe('mail over SMTP without STARTTLS', () => {
  it('is not sent in clear', async () => {
    let lines = 0;
    const smtp = new SMTPServer({
      secure: false,
      disabledCommands: ['STARTTLS'],
      authOptional: true,
      logger: false,
      onMailFrom: (_address, _session, callback) => {
        lines++;
        callback();
      },
    });
    smtp.on('error', () => undefined);
    await new Promise<void>((resolve) => {
      smtp.listen(0, '127.0.0.1', resolve);
    });
    const { port } = smtp.server.address() as AddressInfo;
    const { mail } = mailChannel('localhost', port).channels;
    const told = await delivery({
      channels: { mail: { ...mail, tls: 'starttls' } },
      routes: [{ roles: ['*'], channel: 'mail', to: ['security@corp.example'] }],
      retry_pauses_seconds: [3600],
    });
    const notification = aNotification();
    await told.notify(notification);
    await told.tellDue();
    expect(await standing(notification.id)).toMatchObject([{ state: 'waiting' }]);
    expect(lines).toBe(0);
    await new Promise<void>((resolve) => {
      smtp.close(resolve);
    });
  });
});

describe("an agent's own webhook", () => {
  const decided = (agent: string) =>
    aNotification({
      kind: 'decided',
      roles: [],
      facts: { agent, state: 'approved', action: 'sap.payment.execute' },
    });

  it('hears where its own requests stand, and nothing more', async () => {
    const told = await webhooks({
      agents: {
        [FINANCE_BOT]: { url: `${server.url}/agents/finance`, secret_file: 'secret', ca_file: 'ca.pem' },
      },
    });
    const notification = decided(FINANCE_BOT);
    await told.notify(notification);
    await told.notify(decided('spiffe://corp.example/agent/hr-helper'));
    await told.tellDue();
    expect(server.received.map(({ url }) => url)).toEqual(['/agents/finance']);
    expect(JSON.parse(server.received[0]?.body ?? '{}')).toEqual({
      type: 'decided',
      timestamp: expect.any(String),
      data: {
        request_id: notification.requestId,
        state: 'approved',
        act: 'sap.payment.execute',
      },
    });
  });
});

describe('templates', () => {
  it('of a kind without its own tell our words and how to look', () => {
    const templates = new Templates(OWN_TEMPLATES, undefined);
    const { subject, body } = templates.text(
      aNotification({ kind: 'policy_moved', text: 'policy moved\nask again' }),
    );
    expect(subject).toBe('Agent Trust Broker: policy_moved');
    expect(body).toContain('policy moved\nask again');
    expect(body).toContain(`atb show request-${count}`);
  });

  it('cut what an agent wrote', () => {
    const facts = { ...aNotification().facts, justification: 'x'.repeat(100_000) };
    const { body } = new Templates(OWN_TEMPLATES, undefined).text(aNotification({ facts }));
    expect(body.length).toBeLessThan(2_000);
    expect(body).toContain('and 99500 more characters');
  });

  it.each(['{{{justification}}}', '{{&justification}}', '{{#a}}{{{b}}}{{/a}}', '{{> other}}'])(
    'that would not escape are refused: %s',
    async (source) => {
      const folder = await mkdtemp(join(directory, 'templates-'));
      await writeFile(join(folder, 'default.txt'), source);
      expect(() => new Templates(folder, undefined)).toThrow('escaped');
    },
  );

  it('of a customer replace ours', async () => {
    const folder = await mkdtemp(join(directory, 'templates-'));
    await writeFile(join(folder, 'approval_wanted.txt'), 'Bitte {{action}}\n\nWarum: {{justification}}');
    const { subject, body } = new Templates(folder, undefined).text(aNotification());
    expect([subject, body]).toEqual(['Bitte sap.payment.execute', 'Warum: invoice 4711']);
  });
});

function mailChannel(host: string, port: number) {
  return {
    channels: {
      mail: {
        type: 'mail',
        host,
        port,
        tls: 'implicit',
        from: 'atb@corp.example',
        username: 'atb',
        password_file: 'mail-password',
        ca_file: 'ca.pem',
      },
    },
    routes: [{ roles: ['*'], channel: 'mail' }],
  };
}

/** The parts of a multipart/alternative message, decoded. */
function readMail(source: string): { headers: string; text: string; html: string } {
  const headers = source.slice(0, source.indexOf('\r\n\r\n'));
  const boundary = /boundary="([^"]+)"/.exec(headers)?.[1] ?? '';
  const part = (type: string) => {
    const found =
      source.split(`--${boundary}`).find((candidate) => candidate.includes(`Content-Type: ${type}`)) ?? '';
    const body = found.slice(found.indexOf('\r\n\r\n') + 4);
    if (/quoted-printable/i.test(found)) {
      const bytes = body
        .replace(/=\r\n/g, '')
        .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
      return Buffer.from(bytes, 'latin1').toString('utf8');
    }
    return /base64/i.test(found) ? Buffer.from(body, 'base64').toString('utf8') : body;
  };
  return { headers, text: part('text/plain'), html: part('text/html') };
}
