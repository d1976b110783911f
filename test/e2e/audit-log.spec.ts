import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseSignerKey } from '../../adapters/audit-log/note-key';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { atbIn } from '../support/atb';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const BOB = 'spiffe://corp.example/person/bob';

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start();
});

afterAll(() => stack.stop());

async function atb(...argv: string[]) {
  const { exit: exitCode, out: stdout, err: stderr } = await atbIn(stack.directory, argv);
  return { exitCode, stdout, stderr };
}

async function eventsOf(requestId: string) {
  const { stdout } = await atb('audit', 'ls', '--request', requestId, '--json');
  return (JSON.parse(stdout) as { events: { type: string; actor: string | null; data: object }[] }).events;
}

async function asked(act: string, headers: Record<string, string> = {}): Promise<string> {
  const { body } = await stack.as('agent/explorer').post('/issue', { act }, headers);
  return String(body.request_id);
}

describe('the audit log of a whole stack', () => {
  it('names the trace of the call in every event of its request', async () => {
    const requestId = await asked('crm.contact.read', { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` });
    const events = await (await stack.ledger()).events({ requestId, limit: 10 });
    expect(events.map(({ type, traceId }) => [type, traceId])).toEqual([
      ['poa_requested', TRACE],
      ['poa_issued', TRACE],
    ]);
  });

  it('is sealed while the stack runs, and proves itself with its public key alone', async () => {
    const requestId = await asked('crm.contact.read');
    const leaves = new PostgresAuditLeaves(
      readFileSync(join(stack.directory, 'database-url'), 'utf8').trim(),
    );
    const recorded = await leaves.size();
    await leaves.end();
    const verified = async () => {
      const { exitCode, stdout } = await atb('audit', 'verify', '--json');
      return exitCode === 0 ? (JSON.parse(stdout) as { size: number }).size : 0;
    };
    await eventually(verified, (size) => size >= recorded, 200);

    const copy = join(stack.directory, 'copy-of-the-log');
    cpSync(join(stack.directory, 'log'), copy, { recursive: true });
    const vkey = join(stack.directory, 'log-key.pub');
    const state = join(stack.directory, 'verified');
    const told = await atb('audit', 'verify', '--log', copy, '--vkey', vkey, '--events', '--state', state);
    expect(told).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(/\d+ of \d+ entries/) as string,
    });
    expect(told.stdout).toMatch(/^the log audit\.corp\.example holds: \d+ entries/);
    const again = await atb('audit', 'verify', '--log', copy, '--vkey', vkey, '--state', state);
    expect(again.stdout).toMatch(/extending what was believed at \d+/);
    const trusted = join(copy, 'checkpoint');
    expect(await atb('audit', 'verify', '--trusted', trusted)).toMatchObject({ exitCode: 0 });

    const [bundle] = readdirSync(join(copy, 'tile/entries'), { recursive: true, encoding: 'utf8' })
      .map((name) => join(copy, 'tile/entries', name))
      .filter((name) => statSync(name).isFile() && readFileSync(name, 'utf8').includes(requestId));
    const note = readFileSync(trusted, 'utf8').split('\n');
    const last = join(copy, 'tile/entries', `000.p/${note[1]}`);
    const forged = existsSync(last) ? last : (bundle ?? '');
    chmodSync(forged, 0o644);
    writeFileSync(forged, readFileSync(forged, 'latin1').replace(/poa_issued/, 'poa_denied'), 'latin1');
    const found = await atb('audit', 'verify', '--log', copy, '--vkey', vkey);
    expect(found).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/entry \d+ was changed/) as string,
    });
  });

  it('proves one event in one file, which is verified with nothing else', async () => {
    const requestId = await asked('crm.contact.read');
    const id = `${requestId}/poa_issued`;
    const proved = await eventually(
      async () => {
        const ran = await atb('audit', 'prove', id);
        if (ran.exitCode !== 0) expect(ran.stderr).toContain('the sealed log has no event');
        return ran;
      },
      ({ exitCode }) => exitCode === 0,
      200,
    );
    const file = join(stack.directory, 'issued.tlog-proof');
    writeFileSync(file, proved.stdout);
    const vkey = readFileSync(join(stack.directory, 'log-key.pub'), 'utf8').trim();
    const checked = await atb('audit', 'check', file, '--vkey', vkey, '--json');
    expect(checked.exitCode).toBe(0);
    expect(JSON.parse(checked.stdout)).toMatchObject({ event: { id, type: 'poa_issued' } });

    writeFileSync(
      file,
      proved.stdout.replace(/index (\d+)/, (_, index) => `index ${Number(index) + 1}`),
    );
    expect(await atb('audit', 'check', file, '--vkey', vkey)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('does not lead from its entry') as string,
    });
    expect((await atb('audit', 'check', '/dev/zero', '--vkey', vkey)).exitCode).toBe(64);
  });

  it('tells one request in one file, which is verified with the trust bundle and one key', async () => {
    const requestId = await asked('erp.order.create');
    expect(await atb('approve', requestId, '--yes', '--as', 'person/bob')).toMatchObject({ exitCode: 0 });
    await stack.as('agent/explorer').post(`/requests/${requestId}/collect`);
    const history = join(stack.directory, 'history.json');
    const written = await atb('evidence', requestId, '--history', history);
    expect(written.exitCode).toBe(0);
    const file = join(stack.directory, 'story.json');
    writeFileSync(file, written.stdout);
    const apart = mkdtempSync(join(tmpdir(), 'atb-auditor-'));
    const trust = ['--state-dir', apart, '--ca', stack.trustBundle];
    const vkey = ['--vkey', readFileSync(join(stack.directory, 'log-key.pub'), 'utf8').trim()];
    const verify = (...more: string[]) => atb('verify', file, ...trust, ...vkey, ...more);
    const held = await verify('--history', history, '--json');
    expect(held).toMatchObject({ exitCode: 0, stderr: '' });
    expect(JSON.parse(held.stdout)).toMatchObject({
      valid: true,
      request_id: requestId,
      verdicts: [{ verdict: 'approve', by: BOB, signature_verified: true, content_verified: true }],
      mandate: { approvers: [BOB], claims: { act: 'erp.order.create' } },
      history: { checked: true, runs: [{ digest: expect.stringMatching(/^[\w-]{43}$/) as string }] },
      withheld: [],
    });
    expect((await verify()).stdout).toMatch(/the evidence holds: .*\n[^]*its claims follow from the above/);

    const hidden = await atb('evidence', requestId, '--redact', '--no-history');
    expect(hidden.stdout).not.toContain('person/bob');
    writeFileSync(file, hidden.stdout);
    expect(await verify()).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('statement withheld') as string,
    });
    expect((await verify('--history', history)).exitCode).toBe(1);
    const hostile = join(apart, 'hostile');
    writeFileSync(hostile, '');
    truncateSync(hostile, 4 * 1024 ** 3);
    const pipe = join(apart, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const [other, exitCode] of [
      [hostile, 1],
      ['/dev/zero', 64],
      [pipe, 64],
    ] as const) {
      expect((await verify('--history', other)).exitCode).toBe(exitCode);
    }

    const place = (at: string) => atb('evidence', requestId, '--redact', at, '--no-history');
    expect(await place('/action')).toMatchObject({
      ...{ exitCode: 64, stdout: '' },
      stderr: expect.stringContaining('/action cannot be left out') as string,
    });
    expect(await place('/data/asked/justifcation')).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('nothing is left out at /data/asked/justifcation') as string,
    });
    writeFileSync(file, written.stdout.replace('"outcome', '"outcame'));
    expect(await verify()).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/the event at \d+ is not in the log/) as string,
    });
    rmSync(apart, { recursive: true });
  });

  it.each([
    ['empty', '', 1, 'it is empty'],
    ['cut off', '{"checkpoint":"', 1, 'not JSON'],
    ['of depth without end', '['.repeat(1_000_000), 1, 'nested deeper'],
    ['with a name twice', '{"v":1,"v":1}\n', 1, 'twice'],
  ])('refuses evidence that is %s, with a word why', async (name, content, exitCode, why) => {
    const file = join(stack.directory, `${name.replaceAll(' ', '-')}.json`);
    writeFileSync(file, content);
    expect(await atb('verify', file)).toMatchObject({
      exitCode,
      stderr: expect.stringContaining(why) as string,
    });
  });

  it('reads no gigantic or endless evidence, and writes none of what it does not know', async () => {
    const file = join(stack.directory, 'gigantic.json');
    writeFileSync(file, '');
    truncateSync(file, 4 * 1024 ** 3);
    const before = process.memoryUsage().rss;
    expect(await atb('verify', file)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('bytes long') as string,
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    expect((await atb('verify', '/dev/zero')).exitCode).toBe(64);
    expect((await atb('verify', stack.directory)).exitCode).toBe(64);
    expect((await atb('evidence', 'A'.repeat(27), '--no-history')).exitCode).toBe(1);
    expect((await atb('evidence', '../x')).exitCode).toBe(64);
    expect((await atb('evidence', 'A'.repeat(27), '--redact', 'actor')).exitCode).not.toBe(0);
  });

  it('gets its key from one command, which replaces none that is there', async () => {
    const out = join(stack.directory, 'another-log-key');
    const made = await atb('audit', 'key', 'log.example', '--out', out);
    expect(made).toMatchObject({ exitCode: 0, stdout: readFileSync(`${out}.pub`, 'utf8') });
    expect(parseSignerKey(readFileSync(out, 'utf8').trim()).vkey).toBe(made.stdout.trim());
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect((await atb('audit', 'key', 'log.example', '--out', out)).exitCode).toBe(64);
    expect((await atb('audit', 'key', 'two words', '--out', `${out}-2`)).exitCode).toBe(64);
    expect(existsSync(`${out}-2`)).toBe(false);
  });

  it.each([
    [['--log', 'nowhere', '--vkey', 'log-key.pub'], 64],
    [['--log', 'nowhere'], 64],
    [['--log', 'http://127.0.0.1:9/', '--vkey', 'VKEY'], 69],
  ])('says what is missing to verify it: %j', async (more, exitCode) => {
    const vkey = readFileSync(join(stack.directory, 'log-key.pub'), 'utf8').trim();
    const argv = more.map((word) => (word === 'VKEY' ? vkey : word));
    expect((await atb('audit', 'verify', ...argv)).exitCode).toBe(exitCode);
  });

  it('gives a call without a trace one of its own', async () => {
    const requestId = await asked('crm.contact.read');
    const traces = (await (await stack.ledger()).events({ requestId, limit: 10 })).map(
      ({ traceId }) => traceId,
    );
    expect(traces[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(traces).size).toBe(1);
    expect(traces).not.toContain(TRACE);
  });

  it('keeps what is personal of a request out of the leaf, and what is not in it', async () => {
    const ask = { act: 'crm.contact.read', con: { params: { contact_id: 'C-4711', tenant_id: 'corp' } } };
    const { body } = await stack.as('agent/explorer').post('/issue', ask);
    const requestId = String(body.request_id);
    const params = async () => {
      const [requested] = await eventsOf(requestId);
      return (requested?.data as { asked: { con: { params: object } } }).asked.con.params;
    };
    expect(await params()).toEqual({ contact_id: 'C-4711', tenant_id: 'corp' });
    const leaves = new PostgresAuditLeaves(
      readFileSync(join(stack.directory, 'database-url'), 'utf8').trim(),
    );
    const texts: string[] = [];
    for await (const { leaf } of leaves.read(0, await leaves.size()))
      texts.push(Buffer.from(leaf).toString());
    await leaves.end();
    expect(texts.find((text) => text.includes(requestId))).toContain('"contact_id":null');
    expect(texts.join()).not.toContain('C-4711');
    expect(await atb('audit', 'erase', 'contact_id=C-4711', '--as', 'person/ivan')).toMatchObject({
      exitCode: 0,
    });
    expect(await params()).toMatchObject({ contact_id: null });
  });

  it('has every refusal of AgentAuth and the worker, with its reasons (attack 40)', async () => {
    const ledger = await stack.ledger();
    const { status, body } = await stack.as('agent/hr-helper').post('/issue', { act: 'sap.payment.execute' });
    expect(status).toBe(403);
    const [, denied] = await ledger.events({ requestId: String(body.request_id), limit: 10 });
    expect(denied).toMatchObject({ type: 'poa_denied', reasons: body.reasons });
    expect(denied?.data.policy_revision).toMatch(/./);
    const requestId = await asked('erp.order.create');
    await stack.as('person/bob').post(`/requests/${requestId}/verdicts`, { verdict: 'e30.e30.AAAA' });
    const refused = (await ledger.events({ requestId, limit: 10 })).map(({ type }) => type);
    expect(refused).toEqual(['poa_requested', 'poa_verdict_refused']);
  });

  it('tells what the worker works with: configuration, signing key, policy', async () => {
    const ledger = await stack.ledger();
    const told = async (type: string) => (await ledger.events({ type, limit: 1 }))[0];
    expect(await told('configuration_loaded')).toMatchObject({
      actor: 'spiffe://corp.example/agentauth',
      data: { process: 'worker', digest: expect.stringMatching(/^[\w-]{43}$/) as string },
    });
    expect(await told('signing_keys_loaded')).toMatchObject({ data: { verifying: [] } });
    expect(await told('policy_loaded')).toMatchObject({ data: { previous: null } });
  });

  it('forgets a person when the data protection officer says so, and nobody else may', async () => {
    const requestId = await asked('erp.order.create');
    expect(await atb('approve', requestId, '--yes', '--as', 'person/bob')).toMatchObject({ exitCode: 0 });
    const verdict = async () =>
      (await eventsOf(requestId)).find(({ type }) => type === 'poa_verdict_recorded');
    expect(await verdict()).toMatchObject({ actor: BOB });
    // Not whom it is about, and not Security, who may revoke any mandate.
    for (const other of ['person/bob', 'person/carol']) {
      expect(await atb('audit', 'erase', BOB, '--as', other, '--json')).toMatchObject({
        exitCode: 1,
        stdout: expect.stringContaining('policy_denied') as string,
      });
    }
    expect(await verdict()).toMatchObject({ actor: BOB });
    expect(await atb('audit', 'erase', BOB, '--as', 'person/ivan')).toMatchObject({ exitCode: 0 });
    expect(await verdict()).toMatchObject({ actor: null, data: { role: expect.any(String) as string } });
    const [told] = await (await stack.ledger()).events({ type: 'personal_data_erased', limit: 1 });
    expect(told).toMatchObject({ actor: 'spiffe://corp.example/person/ivan' });
    expect(JSON.stringify(told)).not.toContain('bob');
  });
});
