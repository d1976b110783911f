import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogBucket } from '../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../adapters/audit-log/log-directory';
import { LogReader } from '../../adapters/audit-log/log-reader';
import { verifyLog } from '../../adapters/audit-log/log-verifier';
import { generateSignerKey, parseSignerKey, parseVerifierKey } from '../../adapters/audit-log/note-key';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { canonicalJson } from '../../domain/canonical-json';
import type { LogStore } from '../../domain/ports';
import type { NoteVerifier } from '../../domain/signed-note';
import { freePortBase } from '../../apps/atb/dev/ports';
import { HttpCaller } from '../support/http';
import { ObjectStore } from '../support/object-store';

const REQUESTS = Number(process.env.ATB_CHAOS_REQUESTS ?? 80);
const KILLS = Number(process.env.ATB_CHAOS_KILLS ?? 4);
const SEED = Number(process.env.ATB_CHAOS_SEED ?? 1);
const WRITERS = 8;

let seed = SEED;
/** Repeatable (a linear congruential generator): the same seed gives the same kills at about the same moments. */
const random = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 4_294_967_296;
const say = (line: string) => process.stderr.write(`chaos: ${line}\n`);

interface Dev {
  readonly agentauth: { readonly url: string };
  readonly trust_bundle: string;
  readonly audit: { readonly database_url_file: string };
  readonly identities: Readonly<Record<string, { readonly cert: string; readonly key: string }>>;
}

/** Each of the three in the first three kills, and then whichever. */
const victims = (['database', 'worker', 'log'] as const)
  .map((victim) => ({ victim, place: random() }))
  .sort((a, b) => a.place - b.place)
  .map(({ victim }): Victim => victim);
const victimOf = (killed: number): Victim =>
  victims[killed] ?? victims[Math.floor(random() * victims.length)] ?? 'log';

const logKey = generateSignerKey('audit.chaos.example');
const signer = parseSignerKey(logKey);

let directory: string;
let store: ObjectStore;
let mirror: string;
let log: ChildProcess | undefined;
let portBase = 0;
let child: ChildProcess | undefined;
let caller: HttpCaller | undefined;

const dev = () => JSON.parse(readFileSync(join(directory, 'dev.json'), 'utf8')) as Dev;
const databaseUrl = () => readFileSync(join(directory, 'database-url'), 'utf8').trim();

/** The stack as a process of its own, on what the one before left. */
async function start(): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    await rm(join(directory, 'dev.json'), { force: true });
    const started = spawn(
      process.execPath,
      ['dist/apps/atb/main.js', 'dev', '--state-dir', directory, '--port-base', String(portBase)],
      { stdio: 'ignore', env: { ...process.env, ATB_REQUESTS_PER_MINUTE: '1000000' } },
    );
    child = started;
    while (started.exitCode === null && started.signalCode === null) {
      if (existsSync(join(directory, 'dev.json'))) return;
      await sleep(100);
    }
    // The servers of the one before are still ending.
    await sleep(1_000);
  }
  throw new Error('the stack does not start any more');
}

type Victim = 'database' | 'worker' | 'log';

/** kill -9: the database's own process, or AgentAuth and the worker, and with them what they started; or the log alone. */
async function kill(what: Victim): Promise<void> {
  const running = what === 'log' ? log : child;
  if (!running) throw new Error(`there is no ${what} to kill`);
  if (what === 'log') {
    // In whatever it is about to write.
    await sleep(random() * 1_000);
    expect([log?.exitCode, log?.signalCode]).toEqual([null, null]);
    const ended = once(running, 'exit');
    running.kill('SIGKILL');
    await ended;
    return;
  }
  if (what === 'database') {
    const [pid] = readFileSync(join(directory, 'postgres', 'postgres', 'postmaster.pid'), 'utf8').split('\n');
    process.kill(Number(pid), 'SIGKILL');
    // The worker goes on for a while without it: nothing may be issued then.
    await sleep(500 + random() * 1_000);
  }
  const gone = once(running, 'exit');
  running.kill('SIGKILL');
  await gone;
  caller?.close();
  caller = undefined;
}

/** The log as a process of its own, with a copy in a bucket under Object Lock. */
function startLog(): void {
  log = spawn(process.execPath, ['dist/apps/log/main.js'], {
    stdio: ['ignore', 'ignore', openSync(join(directory, 'log-process'), 'a')],
    env: {
      ...store.environment,
      ATB_DATABASE_URL_FILE: join(directory, 'database-url'),
      ATB_LOG_DIR: sealedLog(),
      ATB_LOG_KEY_FILE: join(directory, 'chaos-log-key'),
      ATB_LOG_CHECKPOINT_SECONDS: '1',
      ATB_LOG_CHECKPOINT_EVENTS: '20',
      ATB_LOG_MIRROR: mirror,
      ATB_LOG_MIRROR_SECONDS: '1',
      ATB_LOG_ADMIN_PORT: '0',
    },
  });
}

const sealedLog = () => join(directory, 'sealed');

/** Verifies a log as an auditor would; answers the ids of its events. */
async function verified(at: Pick<LogStore, 'read'>, keys: readonly NoteVerifier[]) {
  const ids: string[] = [];
  const checkpoint = await verifyLog(new LogReader(at), {
    keys,
    onEntry: (leaf) => ids.push((JSON.parse(Buffer.from(leaf).toString('utf8')) as { id: string }).id),
  });
  return { checkpoint, ids };
}

/** Asks until there is a mandate; the same key each time, so that it is one request. */
async function issued(): Promise<{ readonly requestId: string; readonly jti: string }> {
  const headers = { 'idempotency-key': randomUUID() };
  for (let tries = 0; tries < 2_400; tries++) {
    try {
      const { agentauth, trust_bundle: trustBundle, identities } = dev();
      caller ??= HttpCaller.fromFiles(agentauth.url, trustBundle, identities['agent/crm-assistant']);
      const { status, body } = await caller.post('/issue', { act: 'crm.contact.read' }, headers);
      if (status === 201) return { requestId: String(body.request_id), jti: String(body.jti) };
      // Too late to be told, but it was issued: what counts is that the log knows it.
      if (body.code === 'mandate_lapsed') return { requestId: String(body.request_id), jti: '' };
      if (status < 500 && status !== 429) throw new Error(`refused: ${JSON.stringify(body)}`);
    } catch (error) {
      if (String(error).includes('refused: ')) throw error;
    }
    await sleep(100);
  }
  throw new Error('a request was never answered');
}

beforeAll(async () => {
  portBase = await freePortBase();
  directory = await mkdtemp(join(tmpdir(), 'atb-chaos-audit-'));
  store = await ObjectStore.start();
  mirror = `s3://${await store.bucket()}/audit`;
  await writeFile(join(directory, 'chaos-log-key'), logKey);
  await start();
  startLog();
}, 300_000);

afterAll(async () => {
  log?.kill('SIGKILL');
  caller?.close();
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  await store.stop();
  await rm(directory, { recursive: true, force: true });
});

it(`the log has each of ${REQUESTS} mandates once and no gap, and verifies, though worker, database and log are killed ${KILLS} times (seed ${SEED})`, async () => {
  const mandates: { readonly requestId: string; readonly jti: string }[] = [];
  let wanted = REQUESTS;
  const writing = Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (wanted-- > 0) {
        mandates.push(await issued());
        await sleep(random() * 100);
      }
    }),
  );
  // What a log publisher would have signed: the leaves up to a moment. They must be a beginning of those at the end.
  const seen: { readonly size: number; readonly digest: string }[] = [];
  const reading = new AbortController();
  const observing = (async () => {
    while (!reading.signal.aborted) {
      const leaves = new PostgresAuditLeaves(databaseUrl());
      try {
        const size = await leaves.size();
        seen.push({ size, digest: await digestOf(leaves, size) });
      } catch {
        // Down just now: that is the point.
      } finally {
        await leaves.end().catch(() => undefined);
      }
      await sleep(200);
    }
  })();

  let killed = 0;
  while (killed < KILLS) {
    const due = Math.floor(((killed + 0.5) * REQUESTS) / KILLS);
    while (mandates.length < due) await sleep(20);
    const what = victimOf(killed);
    await kill(what);
    killed += 1;
    say(`${mandates.length} of ${REQUESTS} mandates, killed ${killed} of ${KILLS} times: the ${what}`);
    if (what === 'log') startLog();
    else await start();
  }
  await writing;
  reading.abort();
  await observing;

  const ledger = new PostgresLedger(databaseUrl());
  const leaves = new PostgresAuditLeaves(databaseUrl());
  try {
    const size = await leaves.size();
    const events: { readonly id: string; readonly type: string; readonly data: { readonly jti?: string } }[] =
      [];
    const hash = createHash('sha256');
    const prefixes = new Map([[0, hash.copy().digest('hex')]]);
    for await (const { index, leaf } of leaves.read(0, size)) {
      expect(index).toBe(events.length);
      const text = Buffer.from(leaf).toString('utf8');
      const event = JSON.parse(text) as (typeof events)[number];
      expect(canonicalJson(event)).toBe(text);
      events.push(event);
      prefixes.set(events.length, hash.update(leaf).update('\n').copy().digest('hex'));
    }
    expect(events).toHaveLength(size);
    expect(new Set(events.map(({ id }) => id)).size).toBe(size);
    // Each row of the database has its place.
    expect(await ledger.events({ limit: 1_000_000 })).toHaveLength(size);
    const recorded = new Map(
      events.filter(({ type }) => type === 'poa_issued').map(({ id, data }) => [id, data.jti]),
    );
    const unexplained = mandates.filter(({ requestId, jti }) => {
      const told = recorded.get(`${requestId}/poa_issued`);
      return told === undefined || (jti !== '' && told !== jti);
    });
    expect(unexplained).toEqual([]);
    expect(new Set(mandates.map(({ requestId }) => requestId)).size).toBe(REQUESTS);
    expect(seen.length).toBeGreaterThan(0);
    for (const one of seen) expect(prefixes.get(one.size)).toBe(one.digest);

    const ids = events.map(({ id }) => id);
    const bucket = await LogBucket.at(mirror, store.environment);
    for (let tries = 0; ; tries++) {
      const sealed = await new LogReader(bucket).checkpoint([signer]);
      if (sealed?.size === size) break;
      if (tries > 600) throw new Error(`the copy stays at ${sealed?.size ?? 0} of ${size} events`);
      await sleep(100);
    }
    const [local, copy] = [
      await verified(new LogDirectory(sealedLog()), [signer]),
      await verified(bucket, [signer]),
    ];
    expect(copy).toEqual(local);
    expect(copy.ids).toEqual(ids);
    // The stack's own log, which was killed with its worker.
    const own = parseVerifierKey(readFileSync(join(directory, 'log-key.pub'), 'utf8').trim());
    const { ids: ownIds } = await verified(new LogDirectory(join(directory, 'log')), [own]);
    expect(ownIds).toEqual(ids.slice(0, ownIds.length));
    expect(ownIds.length).toBeGreaterThan(0);
    say(
      `${size} leaves, ${mandates.length} mandates, ${killed} kills, looked at ${seen.length} times on the way`,
    );
  } finally {
    await ledger.end();
    await leaves.end();
  }
  expect(killed).toBe(KILLS);
}, 3_600_000);

async function digestOf(leaves: PostgresAuditLeaves, size: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const { leaf } of leaves.read(0, size)) hash.update(leaf).update('\n');
  return hash.digest('hex');
}
