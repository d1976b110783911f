import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverFault } from '../../apps/atb/agentauth-client';
import type { Surroundings } from '../../apps/atb/output';
import { openSignedRequest } from '../../adapters/jose/signed-request';
import { openVerdict } from '../../adapters/jose/verdict-statement';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa } from '../../adapters/spiffe/development-ca';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import type { JsonObject } from '../../domain/json';
import { runAtb } from '../support/atb';

const REQUEST = 'KqzVb-0123456789abcdef';
const AGENT = 'spiffe://corp.example/agent/finance-bot';
const SERVER = 'spiffe://corp.example/agentauth';

const TO_APPROVE = {
  req: REQUEST,
  sub: AGENT,
  act: 'sap.payment.execute',
  con: { params: { amount: 1250 }, limits: {} },
  leg: {},
  ticket: null,
  aud: 'spiffe://corp.example/broker',
};
const PENDING = {
  request_id: REQUEST,
  state: 'pending',
  tier: 'high',
  act: TO_APPROVE.act,
  agent: AGENT,
  ticket: null,
  justification: 'due\u001b[2J',
  requirement: { approvals: 2, roles: ['compliance'], release_roles: [], nominated: [], attest: [] },
  verdicts: [],
  waiting_on: ['compliance'],
  eligible_approvers: ['spiffe://corp.example/person/bob'],
  to_approve: TO_APPROVE,
  poll_interval_seconds: 0.05,
};

type Route = (
  body: string,
  request: IncomingMessage,
) => { readonly status: number; readonly body: JsonObject };

/** An AgentAuth that answers what a test tells it, over real mTLS. */
let server: Server;
let routes: Record<string, Route> = {};
let answerAfterMs = 0;
let folder: string;
let ca: DevelopmentCa;

async function identity(name: string): Promise<JsonObject> {
  const svid = await issueSvid(ca, { spiffeId: `spiffe://corp.example/${name}`, ttlHours: 1 });
  const at = join(folder, name);
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, 'cert.pem'), svid.chainPem);
  writeFileSync(join(at, 'key.pem'), svid.privateKeyPem);
  return { spiffe_id: `spiffe://corp.example/${name}`, cert: join(at, 'cert.pem'), key: join(at, 'key.pem') };
}

function handle(request: IncomingMessage, response: ServerResponse): void {
  let body = '';
  request.setEncoding('utf8').on('data', (text: string) => (body += text));
  request.on('end', () => {
    const route = routes[`${request.method} ${request.url?.split('?')[0]}`];
    const answer = route?.(body, request) ?? {
      status: 404,
      body: { code: 'not_found', detail: 'no such call' },
    };
    setTimeout(() => {
      response
        .writeHead(answer.status, { 'content-type': 'application/json' })
        .end(JSON.stringify(answer.body));
    }, answerAfterMs);
  });
}

function writeDevJson(changes: JsonObject = {}, identities: JsonObject = {}): void {
  const { port } = server.address() as AddressInfo;
  const agentauth = { url: `https://localhost:${port}`, spiffe_id: SERVER, ...changes };
  const content = { agentauth, trust_bundle: join(folder, 'ca.pem'), identities };
  writeFileSync(join(folder, 'dev.json'), JSON.stringify(content));
}

let identities: JsonObject;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atb-cli-'));
  ca = await createDevelopmentCa('corp.example', 1);
  writeFileSync(join(folder, 'ca.pem'), ca.certificatePem);
  const own = await issueSvid(ca, { spiffeId: SERVER, ttlHours: 1, dnsNames: ['localhost'] });
  server = createServer(
    {
      cert: own.chainPem,
      key: own.privateKeyPem,
      ca: ca.certificatePem,
      requestCert: true,
      rejectUnauthorized: true,
    },
    handle,
  );
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  identities = {
    'agent/finance-bot': await identity('agent/finance-bot'),
    'person/bob': await identity('person/bob'),
  };
});

beforeEach(() => {
  routes = {};
  answerAfterMs = 0;
  writeDevJson({}, identities);
});

afterAll(() => {
  process.exitCode = 0;
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function atb(argv: readonly string[], changes: Partial<Surroundings> = {}): Promise<Ran> {
  const ran = await runAtb(argv, { environment: { ATB_STATE_DIR: folder }, ...changes });
  return { exitCode: ran.exit, stdout: ran.out, stderr: ran.err };
}

/** A person at a terminal, with what they will say; a question beyond that fails the test. */
function person(...replies: readonly string[]) {
  const left = [...replies];
  const questions: string[] = [];
  const ask = (question: string) => {
    questions.push(question.trim());
    const reply = left.shift();
    return reply === undefined
      ? Promise.reject(new Error(`unexpected: ${question}`))
      : Promise.resolve(reply);
  };
  return { ask, questions, left };
}

describe('a drill', () => {
  const ID = 'drill.AAAAAAAAAAAAAAAAAAAAAA';
  const shown = (changes: JsonObject): JsonObject => ({
    ...{ incident_id: ID, kind: 'drill', title: 'A drill', cause: 'c', severity: 'P1', state: 'open' },
    ...{ count: 1, rung: 0, told: [], climbed: [], opened_at: '2026-01-01T00:00:00Z', opened_by: null },
    ...{ opened_at_seconds: 1_767_225_600, acknowledged_at: null, resolved_at: null, words: [] },
    ...{ containments: [], open_follow_ups: [], consultation: null, ...changes },
  });

  it('waits on while AgentAuth says that something behind it is out of reach', async () => {
    let looks = 0;
    routes['POST /incidents'] = () => ({ status: 201, body: shown({}) });
    routes[`GET /incidents/${ID}`] = () =>
      (looks += 1) === 1
        ? { status: 503, body: { code: 'worker_unavailable', detail: 'no worker answers' } }
        : { status: 200, body: shown({ state: 'resolved', resolved_at: '2026-01-01T00:02:00Z' }) };
    const drill = ['drill', 'p1', '--as', 'person/bob', '--role', 'on_call', '--reason', 'why', '--yes'];
    const { exitCode, stdout, stderr } = await atb(drill);
    expect(stderr).toContain('trying again');
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringContaining('resolved after 120 s') as string,
    });
  });
});

describe('what nobody could mean', () => {
  it.each([
    [['proposal', 'ls', '--kind', 'conector']],
    [['proposal', 'ls', '--state', 'aproved']],
    [['incident', 'open', '--cause', ' ', '--reason', 'r', '--yes']],
    [['verify', 'a.b.c', '--at', '2026-02-31T00:00:00Z', '--jwks', 'none']],
  ])('%j is wrong use, and no empty answer', async (argv) => {
    expect(await atb([...argv, '--as', 'person/bob'])).toMatchObject({ exitCode: 64, stdout: '' });
  });
});

describe('the approver’s ten seconds', () => {
  const SECOND = 'KqzVb-second-123456789';
  const about = (id: string, changes: JsonObject = {}): JsonObject => ({
    ...PENDING,
    request_id: id,
    to_approve: { ...TO_APPROVE, req: id },
    ...changes,
  });
  let posted: string[];
  const claims = () =>
    posted.map((body) => openVerdict((JSON.parse(body) as { verdict: string }).verdict).claims);
  const serve = (id: string, changes: JsonObject = {}) => {
    routes[`GET /requests/${id}`] = () => ({ status: 200, body: about(id, changes) });
    routes[`POST /requests/${id}/verdicts`] = (body) => {
      posted.push(body);
      return { status: 200, body: about(id, { state: 'approved' }) };
    };
  };

  beforeEach(() => {
    posted = [];
    serve(REQUEST);
    serve(SECOND);
    routes['GET /approvals'] = () => ({
      status: 200,
      body: {
        approvals: [
          about(SECOND, { expires_at: '2999-01-02T00:00:00Z' }),
          about(REQUEST, { expires_at: '2999-01-01T00:00:00Z' }),
        ],
      },
    });
  });

  it('lists what waits, most urgent first, with the time that is left', async () => {
    const { stdout } = await atb(['approvals', '--as', 'person/bob']);
    const [heading, first, second] = stdout.split('\n');
    expect(heading).toMatch(/^UNTIL .*REQUEST$/);
    expect(first).toMatch(new RegExp(`^2999-01-01 00:00:00 UTC \\(in \\d+ days\\).*${REQUEST}$`));
    expect(second).toContain(SECOND);
  });

  it('asks for the reason that the tier demands, for each fact one by one, then whether to sign', async () => {
    const facts = ['identity_verified', 'second_channel_verified'];
    const requirement = {
      approvals: 2,
      roles: ['compliance'],
      release_roles: [],
      nominated: [],
      attest: facts,
      reason: true,
    };
    serve(REQUEST, { requirement, outstanding: { approvals: 2, attest: facts, release: false } });
    const bob = person('y', 'n', 'called the customer', 'y');
    const ran = await atb(['approve', REQUEST, '--as', 'person/bob', '--role', 'compliance'], bob);
    expect(ran.exitCode).toBe(0);
    expect(bob.questions).toEqual([
      'Did you check yourself, and do you vouch for identity_verified? [y/N]',
      'Did you check yourself, and do you vouch for second_channel_verified? [y/N]',
      'Why? (it is signed with your verdict)',
      'APPROVE: sign this with your key? [y/N]',
    ]);
    expect(claims()).toMatchObject([{ attests: ['identity_verified'], reason: 'called the customer' }]);
    expect(ran.stderr).toMatch(/unattested +second_channel_verified/);
  });

  it('signs nothing without the reason that the tier demands, at a terminal or not', async () => {
    const requirement = { approvals: 2, roles: ['compliance'], reason: true };
    serve(REQUEST, { requirement });
    const approve = ['approve', REQUEST, '--as', 'person/bob', '--role', 'compliance'];
    expect((await atb(approve, person(''))).exitCode).toBe(64);
    expect((await atb([...approve, '--yes'])).exitCode).toBe(64);
    expect(posted).toEqual([]);
    expect((await atb([...approve, '--yes', '--reason', 'right'])).exitCode).toBe(0);
  });

  it('walks the queue with --batch: approve, reject, skip, quit', async () => {
    const bob = person('a', 'y', 'r', 'wrong account', 'y');
    const ran = await atb(
      ['approve', '--batch', '--as', 'person/bob', '--role', 'compliance', '--json'],
      bob,
    );
    expect(JSON.parse(ran.stdout)).toEqual({ approved: 1, rejected: 1, skipped: 0, left: 0 });
    expect(claims()).toMatchObject([
      { req: REQUEST, verdict: 'approve' },
      { req: SECOND, verdict: 'reject', reason: 'wrong account' },
    ]);
    expect(ran.stderr).toContain('[1 of 2] high sap.payment.execute for agent/finance-bot');
    // Each in full, before anything is asked about it.
    expect(ran.stderr.match(/amount = 1250/g)).toHaveLength(2);

    posted = [];
    const idle = person('s', 'q');
    const skipped = await atb(['approvals', '--batch', '--as', 'person/bob'], idle);
    expect(skipped.stdout).toBe('approved 0, rejected 0, skipped 1, left 1\n');
    expect(posted).toEqual([]);
  });

  it('offers the release where the release is what is missing', async () => {
    const requirement = { approvals: 2, roles: ['legal'], release_roles: ['compliance'] };
    const outstanding = { approvals: 0, attest: [], release: true };
    for (const id of [REQUEST, SECOND]) serve(id, { requirement, outstanding });
    const bob = person('a', 'l', 'y', '');
    await atb(['approve', '--batch', '--as', 'person/bob', '--role', 'compliance'], bob);
    expect(bob.questions[0]).toContain('[l] release');
    expect(claims()).toMatchObject([{ verdict: 'release' }]);
  });

  it('goes on to the next where somebody was quicker', async () => {
    routes[`GET /requests/${REQUEST}`] = () => ({
      status: 404,
      body: { code: 'request_unknown', detail: 'gone' },
    });
    const bob = person('a', 'y');
    const ran = await atb(['approve', '--batch', '--as', 'person/bob', '--role', 'compliance'], bob);
    expect(ran.stderr).toContain('skipped: gone');
    expect(claims()).toMatchObject([{ req: SECOND }]);
  });

  it.each([
    ['without a terminal', [], undefined],
    ['with --yes', ['--yes'], person().ask],
    ['with one reason for all', ['--reason', 'fine'], person().ask],
    ['with one request named', [REQUEST], person().ask],
  ])('refuses to walk the queue %s', async (_, more, ask) => {
    const ran = await atb(['approve', '--batch', '--as', 'person/bob', ...more], { ask });
    expect(ran.exitCode).toBe(64);
    expect(posted).toEqual([]);
  });
});

describe('atb approve', () => {
  const APPROVE = ['approve', REQUEST, '--as', 'person/bob', '--role', 'compliance', '--reason', 'right'];
  let posted: string[];

  beforeEach(() => {
    posted = [];
    routes[`GET /requests/${REQUEST}`] = () => ({ status: 200, body: PENDING });
    routes[`POST /requests/${REQUEST}/verdicts`] = (body) => {
      posted.push(body);
      return { status: 200, body: { ...PENDING, state: 'approved' } };
    };
  });

  it('signs the digest of what it showed, with the approver’s own key', async () => {
    const ran = await atb([...APPROVE, '--yes', '--json']);
    expect(ran.exitCode).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ state: 'approved' });
    expect(ran.stderr).toContain('amount = 1250');
    expect(ran.stderr).not.toContain('\u001b');
    const { verdict } = JSON.parse(posted[0]!) as { verdict: string };
    expect(openVerdict(verdict).claims).toMatchObject({
      req: REQUEST,
      dig: sha256Base64url(canonicalJson(TO_APPROVE)),
      verdict: 'approve',
      role: 'compliance',
      reason: 'right',
      attests: [],
    });
  });

  it('refuses to sign unasked where there is no terminal', async () => {
    expect((await atb(APPROVE)).exitCode).toBe(64);
    expect(posted).toEqual([]);
  });

  it('signs nothing when the person says anything but yes', async () => {
    expect((await atb(APPROVE, { ask: () => Promise.resolve('') })).exitCode).toBe(1);
    expect(posted).toEqual([]);
    expect((await atb(APPROVE, { ask: () => Promise.resolve('y') })).exitCode).toBe(0);
    expect(posted).toHaveLength(1);
  });

  it('signs nothing for a server that shows one thing and has another signed', async () => {
    const body = { ...PENDING, act: 'crm.contact.read' };
    routes[`GET /requests/${REQUEST}`] = () => ({ status: 200, body });
    const ran = await atb([...APPROVE, '--yes', '--json']);
    expect(ran.exitCode).toBe(1);
    expect(JSON.parse(ran.stdout)).toMatchObject({ code: 'verdict_digest_mismatch' });
    expect(posted).toEqual([]);
  });

  it('vouches for no fact that was not asked', async () => {
    expect((await atb([...APPROVE, '--yes', '--attest', 'identity_verified'])).exitCode).toBe(64);
    expect(posted).toEqual([]);
  });
});

describe('atb request', () => {
  const ASK = ['request', 'sap.payment.execute', '--as', 'agent/finance-bot', '--param', 'amount:=1250'];

  it('prints the id alone with --quiet, and sends exactly what was said', async () => {
    let sent: unknown;
    routes['POST /issue'] = (body, request) => {
      const { claims } = openSignedRequest(body);
      sent = [claims, request.headers['idempotency-key'], request.headers['content-type']];
      return { status: 202, body: PENDING };
    };
    const ran = await atb([...ASK, '--quiet', '--idempotency-key', 'k-1']);
    expect(ran).toMatchObject({ exitCode: 0, stdout: `${REQUEST}\n` });
    expect(sent).toMatchObject([
      {
        aud: SERVER,
        method: 'POST',
        path: '/issue',
        body: { act: 'sap.payment.execute', con: { params: { amount: 1250 } } },
      },
      'k-1',
      'application/poa-request+jwt',
    ]);
  });

  it('asks under a key of its own, and tells it where nobody knows what came of it', async () => {
    const keys: unknown[] = [];
    let status = 503;
    routes['POST /issue'] = (_, request) => {
      keys.push(request.headers['idempotency-key']);
      const [code, title] = ['temporal_unavailable', 'away'];
      return { status, body: { type: `urn:atb:problem:${code}`, title, status, code, detail: 'try again' } };
    };
    const ran = await atb(ASK);
    expect(ran.exitCode).toBe(69);
    expect(keys).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    expect(ran.stderr).toContain(`--idempotency-key ${String(keys[0])}`);
    status = 403;
    expect((await atb(ASK)).stderr).not.toContain('--idempotency-key');
    expect(new Set(keys).size).toBe(2);
  });

  it('sends plain JSON with --no-sign', async () => {
    let sent: unknown;
    routes['POST /issue'] = (body) => {
      sent = JSON.parse(body);
      return { status: 202, body: PENDING };
    };
    expect((await atb([...ASK, '--quiet', '--no-sign'])).exitCode).toBe(0);
    expect(sent).toEqual({ act: 'sap.payment.execute', con: { params: { amount: 1250 } } });
  });

  it('waits until people have approved, then collects', async () => {
    let looks = 0;
    routes['POST /issue'] = () => ({ status: 202, body: PENDING });
    routes[`GET /requests/${REQUEST}`] = () => ({
      status: 200,
      body: ++looks < 3 ? PENDING : { ...PENDING, state: 'approved' },
    });
    const mandate = { request_id: REQUEST, state: 'issued', mandate: 'a.b.c', jti: 'j' };
    routes[`POST /requests/${REQUEST}/collect`] = () => ({ status: 200, body: mandate });
    const ran = await atb([...ASK, '--wait', '10', '--quiet']);
    expect(ran).toMatchObject({ exitCode: 0, stdout: 'a.b.c\n' });
    expect(ran.stderr).toContain('waiting for compliance: person/bob');
  });

  it('exits with 2 when nobody decided in time, and says how to go on', async () => {
    routes['POST /issue'] = () => ({ status: 202, body: PENDING });
    routes[`GET /requests/${REQUEST}`] = () => ({ status: 200, body: PENDING });
    const ran = await atb([...ASK, '--wait', '1', '--json']);
    expect(ran.exitCode).toBe(2);
    expect(JSON.parse(ran.stdout)).toMatchObject({ state: 'pending' });
    expect(ran.stderr).toContain(`atb collect ${REQUEST} --wait`);
  });

  it('exits with 1 when it is rejected while waiting', async () => {
    routes['POST /issue'] = () => ({ status: 202, body: PENDING });
    const rejected = { ...PENDING, state: 'rejected', code: 'rejected', reasons: ['rejected'] };
    routes[`GET /requests/${REQUEST}`] = () => ({ status: 200, body: rejected });
    expect((await atb([...ASK, '--wait', '5'])).exitCode).toBe(1);
  });

  it('stops waiting at Ctrl-C with 130, and names the request', async () => {
    routes['POST /issue'] = () => ({ status: 202, body: PENDING });
    routes[`GET /requests/${REQUEST}`] = () => ({ status: 200, body: PENDING });
    const onInterrupt = (callback: () => void) => {
      setTimeout(callback, 100);
      return () => undefined;
    };
    const ran = await atb([...ASK, '--wait', '10'], { onInterrupt });
    expect(ran.exitCode).toBe(130);
    expect(ran.stderr).toContain(REQUEST);
  });

  it('gives the problem document with --json, and the reasons in words without', async () => {
    const problem = {
      code: 'unknown_action',
      detail: 'policy refuses this request',
      reasons: ['unknown_action'],
    };
    routes['POST /issue'] = () => ({ status: 403, body: problem });
    const json = await atb([...ASK, '--json']);
    expect(json.exitCode).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({ code: 'unknown_action', status: 403 });
    expect((await atb(ASK)).stderr).toContain('policy refuses this request (unknown_action)');
  });
});

describe('the server', () => {
  it('must have the SPIFFE ID that is expected of it, whatever its host name', async () => {
    writeDevJson({ spiffe_id: 'spiffe://corp.example/broker' }, identities);
    const ran = await atb(['approvals', '--as', 'person/bob']);
    expect(ran.exitCode).toBe(69);
    expect(ran.stderr).toContain('certificate is not that of spiffe://corp.example/broker');
  });

  it('must have the host name too, where its certificate names any', () => {
    const subject = {} as never;
    const certificate = { subject, subjectaltname: `URI:${SERVER}, DNS:agentauth.corp.example` };
    expect(serverFault('agentauth.corp.example', certificate, SERVER)).toBeUndefined();
    expect(serverFault('evil.example', certificate, SERVER)?.message).toContain('evil.example');
    expect(serverFault('anywhere', { subject, subjectaltname: `URI:${SERVER}` }, SERVER)).toBeUndefined();
  });

  it('must not have a second ID', () => {
    const subjectaltname = `URI:${SERVER}, URI:spiffe://corp.example/other`;
    expect(serverFault('x', { subject: {}, subjectaltname }, SERVER)).toBeInstanceOf(Error);
  });

  it('must be of the trust bundle', async () => {
    const other = await createDevelopmentCa('corp.example', 1);
    writeFileSync(join(folder, 'other.pem'), other.certificatePem);
    const ran = await atb(['approvals', '--as', 'person/bob', '--ca', join(folder, 'other.pem')]);
    expect(ran.exitCode).toBe(69);
  });

  it('that takes long is said to be waited for, and for how long', async () => {
    routes['GET /approvals'] = () => ({ status: 200, body: { requests: [] } });
    expect((await atb(['approvals', '--as', 'person/bob'])).stderr).not.toContain('waiting for');
    answerAfterMs = 2_300;
    const ran = await atb(['approvals', '--as', 'person/bob']);
    expect(ran).toMatchObject({ exitCode: 0 });
    expect(ran.stderr).toMatch(/^waiting for https:\/\/localhost:\d+, for 30 s at the most …$/m);
  });

  it('of Temporal is said to be waited for too', async () => {
    const silent = createTcpServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const open: Socket[] = [];
    silent.on('connection', (socket) => open.push(socket));
    try {
      const ran = await atb(['ls'], {
        environment: { ATB_STATE_DIR: folder, ATB_TEMPORAL_ADDRESS: address },
      });
      expect(ran).toMatchObject({ exitCode: 69, stdout: '' });
      expect(ran.stderr).toMatch(new RegExp(`^waiting for Temporal at ${address} …$`, 'm'));
    } finally {
      for (const socket of open) socket.destroy();
      silent.close();
    }
  });

  it('is told apart from one that is not there', async () => {
    const ran = await atb(['approvals', '--as', 'person/bob', '--url', 'https://localhost:1', '--json']);
    expect(ran.exitCode).toBe(69);
    expect(JSON.parse(ran.stdout)).toHaveProperty('detail');
  });
});

describe('wrong use', () => {
  it.each([
    [['aprove', 'x'], 'approve'],
    [['approve', REQUEST, '--yess'], '--yes'],
    [['show'], 'request-id'],
    [['verify', 'no-story.json'], 'neither a file that is there nor a mandate'],
    [['show', '../approvals', '--as', 'person/bob'], 'id of a request'],
    [['approvals', '--as', 'person/mallory'], 'person/bob'],
    [['approvals'], '--as'],
    [['ls', '--state', 'x" OR "1"="1'], 'pending'],
    [['ls', '--action', 'x" OR "1"="1'], 'no such value'],
    [['ls', '--tier', 'hgih'], 'high'],
    [['ls', '--agent', 'finance-bot'], 'agent/NAME'],
    [['ls', '--limit', '0'], 'At least 1'],
    [['audit', 'ls', '--limit', '0'], 'At least 1'],
    [['incident', 'ls', '--state', 'opne'], 'open'],
    [['audit', 'ls', '--type', 'poa_invented'], 'poa_issued'],
  ])('%j exits with 64 and says what would do', async (argv, hint) => {
    const ran = await atb(argv);
    expect(ran.exitCode).toBe(64);
    expect(ran.stderr).toContain(hint);
  });

  it('is not to ask for help or the version', async () => {
    expect((await atb(['--version'])).exitCode).toBe(0);
    const help = await atb(['approve', '--help']);
    expect(help.exitCode).toBe(0);
    expect(help.stdout).toContain('Example:');
  });
});
