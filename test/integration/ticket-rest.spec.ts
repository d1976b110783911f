import { RestTickets, epochSecondsOf, ticketUrl } from '../../adapters/ticket/rest-tickets';
import { readTicketSystem } from '../../adapters/ticket/ticket-system';
import { bestTime, timed } from '../support/best-time';
import { answerJson, HttpsServer } from '../support/https-server';
import type { Handler } from '../support/https-server';
import { jira, serviceNow } from '../support/ticket-products';
import type { JiraIssue, ServiceNowChange } from '../support/ticket-products';

const BASIC = `Basic ${Buffer.from('atb:s3cret').toString('base64')}`;
const BREAKER = { afterFailures: 3, pauseMs: 10_000 };

let server: HttpsServer;

beforeEach(async () => {
  server = await HttpsServer.start();
  await server.file('password', 's3cret\n');
  await server.file('token', 'tok-1\n');
});

afterEach(async () => {
  jest.restoreAllMocks();
  await server.stop();
});

async function system(written: Record<string, unknown>): Promise<RestTickets> {
  const file = await server.file('tickets.json', JSON.stringify({ ca_file: 'ca.pem', ...written }));
  return new RestTickets(await readTicketSystem(file), BREAKER);
}

const basic = { type: 'basic', username: 'atb', password_file: 'password' };
const aServiceNow = () => system({ preset: 'servicenow', base_url: server.url, authentication: basic });

describe('ServiceNow', () => {
  let change: ServiceNowChange;

  beforeEach(() => {
    change = {
      number: 'CHG0030001',
      state: '-1',
      approval: 'approved',
      start_date: '2026-01-15 10:00:00',
      end_date: '2026-01-15 12:30:00',
    };
    server.handler = serviceNow([change, { ...change, number: 'CHG0030002' }], BASIC);
  });

  it('tells a change with its state, its approval and its window in UTC', async () => {
    expect(await (await aServiceNow()).lookUp('CHG0030001')).toEqual({
      id: 'CHG0030001',
      state: 'open',
      approved: true,
      window: { start: Date.UTC(2026, 0, 15, 10) / 1000, end: Date.UTC(2026, 0, 15, 12, 30) / 1000 },
      attests: [],
    });
  });

  it.each([
    ['3', 'closed'],
    ['0', 'closed'],
    ['4', 'cancelled'],
    ['-5', 'other: -5'],
    ['open', 'other: open'],
  ])('tells state %p as %p', async (state, told) => {
    change.state = state;
    expect(await (await aServiceNow()).lookUp('CHG0030001')).toMatchObject({ state: told });
  });

  it.each(['requested', 'rejected', 'not requested', ''])('tells approval %p as none', async (approval) => {
    change.approval = approval;
    expect(await (await aServiceNow()).lookUp('CHG0030001')).toMatchObject({ approved: false });
  });

  it('gives a change without planned times a window that is never open', async () => {
    change.start_date = '';
    expect(await (await aServiceNow()).lookUp('CHG0030001')).toMatchObject({ window: { start: 0, end: 0 } });
  });

  it('knows no change that is not there', async () => {
    expect(await (await aServiceNow()).lookUp('CHG0099999')).toBeNull();
  });

  it.each([
    'CHG0099999^ORnumber=CHG0030001',
    'CHG0030001&sysparm_query=state=-1',
    'CHG0030001/../../x',
    '../CHG0030001',
    'CHG0030001\n',
    'chg0030001',
    'CHG0030001 ',
    '',
  ])('is not asked about %p, which is no id of its own', async (ticket) => {
    expect(await (await aServiceNow()).lookUp(ticket)).toBeNull();
    expect(server.received).toEqual([]);
  });

  it('is out of reach, not without the ticket, where the credential is refused', async () => {
    await server.file('password', 'wrong');
    await expect((await aServiceNow()).lookUp('CHG0030001')).rejects.toMatchObject({
      code: 'ticket_system_unavailable',
    });
  });

  it('is asked with the secret as its file holds it now', async () => {
    const tickets = await aServiceNow();
    await server.file('password', 'wrong');
    await expect(tickets.lookUp('CHG0030001')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    await server.file('password', 's3cret');
    expect(await tickets.lookUp('CHG0030001')).toMatchObject({ state: 'open' });
  });
});

describe('Jira', () => {
  const issue = (status: string): JiraIssue => ({
    key: 'CHG-7',
    fields: {
      status: { name: status, statusCategory: { key: 'indeterminate' } },
      customfield_10050: '2026-01-15T10:00:00.000+0100',
      customfield_10051: '2026-01-15T12:00:00.000+0100',
      customfield_10060: { value: 'Approved' },
      customfield_10061: true,
    },
  });
  const aJira = () =>
    system({
      preset: 'jira',
      base_url: server.url,
      authentication: { type: 'bearer', token_file: 'token' },
      approval: { pointer: '/fields/customfield_10060/value', accepted: ['Approved'] },
      window: { start: '/fields/customfield_10050', end: '/fields/customfield_10051' },
      attests: { identity_verified: { pointer: '/fields/customfield_10061', accepted: ['true'] } },
    });

  it('tells an issue with what its custom fields say', async () => {
    server.handler = jira([issue('Implementing')], 'Bearer tok-1');
    expect(await (await aJira()).lookUp('CHG-7')).toEqual({
      id: 'CHG-7',
      state: 'open',
      approved: true,
      window: { start: Date.UTC(2026, 0, 15, 9) / 1000, end: Date.UTC(2026, 0, 15, 11) / 1000 },
      attests: ['identity_verified'],
    });
  });

  it.each([
    ['Done', 'closed'],
    ['Cancelled', 'cancelled'],
    ['To Do', 'other: To Do'],
  ])('tells status %p as %p', async (status, told) => {
    server.handler = jira([issue(status)], 'Bearer tok-1');
    expect(await (await aJira()).lookUp('CHG-7')).toMatchObject({ state: told });
  });

  it('knows no issue that is not there', async () => {
    server.handler = jira([], 'Bearer tok-1');
    expect(await (await aJira()).lookUp('CHG-7')).toBeNull();
  });

  it('does not take an issue that was moved for the one that was named', async () => {
    server.handler = jira([issue('Implementing')], 'Bearer tok-1', { 'OLD-1': 'CHG-7' });
    await expect((await aJira()).lookUp('OLD-1')).rejects.toMatchObject({
      code: 'ticket_system_unavailable',
    });
  });
});

describe('a ticket system of another kind', () => {
  const own = (written: Record<string, unknown> = {}) =>
    system({
      url: `${server.url}/tickets/{ticket}`,
      ticket_pattern: '.+',
      authentication: { type: 'header', name: 'X-Api-Key', value_file: 'token' },
      id: '/id',
      state: { pointer: '/state', open: ['open'] },
      ...written,
    });
  const ticketOf = (url: string) => decodeURIComponent(url.replace('/tickets/', ''));
  const good: Handler = ({ url }, response) => {
    answerJson(response, { id: ticketOf(url), state: 'open' });
  };

  it('gets the id percent-encoded in its place, and the credential in its header', async () => {
    server.handler = good;
    const ticket = "A/1?x=#&é'%2e";
    expect(await (await own()).lookUp(ticket)).toMatchObject({ id: ticket, state: 'open' });
    expect(server.received).toMatchObject([
      { url: '/tickets/A%2F1%3Fx%3D%23%26%C3%A9%27%252e', headers: { 'x-api-key': 'tok-1' } },
    ]);
  });

  it.each(['..', '.'])('is not asked for %p, which would lead elsewhere', async (ticket) => {
    expect(await (await own()).lookUp(ticket)).toBeNull();
    expect(server.received).toEqual([]);
  });

  const failing: readonly (readonly [string, Handler])[] = [
    [
      'redirects to another host',
      (_, response) => response.writeHead(302, { location: 'https://evil.example/' }).end(),
    ],
    ['redirects to itself', (_, response) => response.writeHead(307, { location: '/tickets/CHG-1' }).end()],
    ['answers with what is no JSON', (_, response) => response.end('<html>Sign in</html>')],
    [
      'answers with JSON and more behind it',
      (_, response) => response.end('{"id":"CHG-1","state":"open"} {}'),
    ],
    [
      'answers with a key twice',
      (_, response) => response.end('{"id":"CHG-1","state":"closed","state":"open"}'),
    ],
    [
      'answers about another ticket',
      (_, response) => {
        answerJson(response, { id: 'CHG-2', state: 'open' });
      },
    ],
    [
      'answers without a state',
      (_, response) => {
        answerJson(response, { id: 'CHG-1' });
      },
    ],
    [
      'answers with a state that is a list',
      (_, response) => {
        answerJson(response, { id: 'CHG-1', state: ['open'] });
      },
    ],
    ['answers with null', (_, response) => response.end('null')],
    ['answers with nothing', (_, response) => response.end()],
    [
      'answers 403',
      (_, response) => {
        answerJson(response, {}, 403);
      },
    ],
    ['answers 204', (_, response) => response.writeHead(204).end()],
  ];

  it.each(failing)('is out of reach where it %s, and is asked once', async (_, handler) => {
    server.handler = handler;
    await expect((await own()).lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    expect(server.received).toHaveLength(1);
  });

  it('is cut off where its answer has no end', async () => {
    server.handler = (_, response) => {
      response.writeHead(200);
      const more = setInterval(() => response.write('x'.repeat(65_536)), 1);
      response.on('close', () => {
        clearInterval(more);
      });
    };
    const tickets = await own({ attempts: 1, max_response_bytes: 100_000 });
    await expect(tickets.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
  });

  it('is asked again after a 500, and believed when it answers', async () => {
    server.handler = (received, response) => {
      if (server.received.length < 3) answerJson(response, { error: 'try later' }, 500);
      else good(received, response);
    };
    expect(await (await own()).lookUp('CHG-1')).toMatchObject({ state: 'open' });
    expect(server.received).toHaveLength(3);
  });

  it('is waited for no longer than configured, also where it drips', async () => {
    server.handler = (_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => {
        clearInterval(drip);
      });
    };
    const time = await bestTime(1_500, async () => {
      const tickets = await own({ timeout_ms: 600 });
      return timed(() =>
        expect(tickets.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' }),
      );
    });
    expect(time).toBeLessThan(1_500);
  });

  it('is left alone after failures in a row, then tried again', async () => {
    server.handler = (_, response) => {
      answerJson(response, {}, 503);
    };
    const tickets = await own({ attempts: 1 });
    // By a clock that stands still: a slow machine makes no pause.
    const begun = Date.now();
    const clock = jest.spyOn(Date, 'now').mockReturnValue(begun);
    for (let failure = 0; failure < BREAKER.afterFailures; failure++) {
      await expect(tickets.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    }
    await expect(tickets.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    expect(server.received).toHaveLength(BREAKER.afterFailures);

    server.handler = good;
    clock.mockReturnValue(begun + BREAKER.pauseMs - 1);
    await expect(tickets.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    expect(server.received).toHaveLength(BREAKER.afterFailures);
    clock.mockReturnValue(begun + BREAKER.pauseMs);
    expect(await tickets.lookUp('CHG-1')).toMatchObject({ state: 'open' });
  });

  it('is not trusted without the configured authority, nor when nothing listens', async () => {
    server.handler = good;
    const file = await server.file(
      'no-ca.json',
      JSON.stringify({
        url: `${server.url}/tickets/{ticket}`,
        ticket_pattern: 'CHG-[0-9]+',
        authentication: { type: 'bearer', token_file: 'token' },
        id: '/id',
        state: { pointer: '/state', open: ['open'] },
      }),
    );
    const tickets = new RestTickets(await readTicketSystem(file), BREAKER);
    await expect(tickets.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
    expect(server.received).toEqual([]);
    const gone = await own({ url: 'https://localhost:1/tickets/{ticket}' });
    await expect(gone.lookUp('CHG-1')).rejects.toMatchObject({ code: 'ticket_system_unavailable' });
  });
});

describe('the file of a ticket system', () => {
  const complete = {
    url: 'https://itsm.corp.example/tickets/{ticket}',
    ticket_pattern: 'OPS-[0-9]+',
    authentication: { type: 'bearer', token_file: 'token' },
    id: '/id',
    state: { pointer: '/state', open: ['open'] },
  };

  it.each([
    ['over plain HTTP', { url: 'http://itsm.corp.example/{ticket}' }],
    ['with the ticket in the host', { url: 'https://{ticket}.example/' }],
    ['with a password in the URL', { url: 'https://u:p@itsm.corp.example/{ticket}' }],
    ['without a place for the ticket', { url: 'https://itsm.corp.example/' }],
    ['with a setting that does not exist', { acepted: ['x'] }],
    ['with a pointer that is none', { id: 'id' }],
    ['with a pattern that is none', { ticket_pattern: '(' }],
    ['without accepted states', { state: { pointer: '/state', open: [] } }],
    ['without a way to authenticate', { authentication: { type: 'none' } }],
    ['with a time that would outlast the step', { timeout_ms: 60_000 }],
    ['with a preset that does not exist', { preset: 'remedy' }],
    ['with a preset and nowhere to go', { preset: 'jira', url: undefined }],
    ['without a state', { state: undefined }],
  ])('is refused %s', async (_, wrong) => {
    const file = await server.file('tickets.json', JSON.stringify({ ...complete, ...wrong }));
    await expect(readTicketSystem(file)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  it('is taken as it is where it is complete', async () => {
    const file = await server.file('tickets.json', JSON.stringify(complete));
    expect(await readTicketSystem(file)).toMatchObject({
      url: complete.url,
      approval: undefined,
      attempts: 3,
    });
  });
});

describe('the small print', () => {
  it.each([
    ['2026-01-15 10:00:00', Date.UTC(2026, 0, 15, 10) / 1000],
    ['2026-01-15T10:00:00Z', Date.UTC(2026, 0, 15, 10) / 1000],
    ['2026-01-15T10:00:00.999+01:00', Date.UTC(2026, 0, 15, 9) / 1000],
    ['2026-01-15T10:00:00.000-0530', Date.UTC(2026, 0, 15, 15, 30) / 1000],
    ['2026-13-15T10:00:00Z', undefined],
    ['15.01.2026', undefined],
    ['', undefined],
    [null, undefined],
    [1_768_471_200, undefined],
  ])('reads %p as %p', (text, seconds) => {
    expect(epochSecondsOf(text)).toBe(seconds);
  });

  it('puts an id into every place of the template', () => {
    expect(ticketUrl('https://x.example/{ticket}?id={ticket}', 'A 1')?.href).toBe(
      'https://x.example/A%201?id=A%201',
    );
  });
});
