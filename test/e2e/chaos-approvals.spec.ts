import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { signVerdict } from '../../adapters/jose/verdict-statement';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import type { StoredAuditEvent } from '../../domain/audit-event';
import { HttpCaller } from '../support/http';
import type { Answer } from '../support/http';
import { policyWithClocks } from '../support/policy';

const REQUESTS = Number(process.env.ATB_CHAOS_REQUESTS ?? 20);
const KILLS = Number(process.env.ATB_CHAOS_KILLS ?? 5);
const SEED = Number(process.env.ATB_CHAOS_SEED ?? 1);
const RESPONSE_SECONDS = 8;
const COLLECT_SECONDS = 600;
const FINAL = ['poa_issued', 'poa_issued_dual_control', 'poa_rejected', 'poa_withdrawn', 'poa_expired'];

const KINDS = {
  low: { agent: 'crm-assistant', body: { act: 'crm.contact.read' }, approvals: 0, rungs: 0 },
  medium: { agent: 'finance-bot', body: { act: 'erp.order.create' }, approvals: 1, rungs: 1 },
  high: {
    agent: 'finance-bot',
    body: { act: 'sap.payment.execute', con: { params: { amount: 1250 } } },
    ...{ approvals: 2, rungs: 2 },
  },
} as const;
type Kind = keyof typeof KINDS;
const APPROVERS = [
  ['bob', 'compliance'],
  ['carol', 'security'],
] as const;

let seed = SEED;
/** Repeatable (mulberry32): the same seed gives the same requests, verdicts and moments. */
function random(): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
}
const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const say = (line: string) => process.stderr.write(`chaos: ${line}\n`);

interface Dev {
  readonly agentauth: { readonly url: string };
  readonly trust_bundle: string;
  readonly identities: Readonly<Record<string, { readonly cert: string; readonly key: string }>>;
}

/** The whole stack as processes that can be killed, on one state directory. */
class Killable {
  private child: ChildProcess | undefined;
  private readonly callers = new Map<string, HttpCaller>();

  constructor(
    readonly directory: string,
    private readonly policy: string,
    private readonly portBase: number,
  ) {}

  get dev(): Dev {
    return JSON.parse(readFileSync(join(this.directory, 'dev.json'), 'utf8')) as Dev;
  }

  async start(): Promise<void> {
    for (let tries = 0; tries < 10; tries++) {
      await rm(join(this.directory, 'dev.json'), { force: true });
      const child = spawn(
        process.execPath,
        ['dist/apps/atb/main.js', 'dev', '--state-dir', this.directory, '--port-base', String(this.portBase)],
        {
          stdio: 'ignore',
          env: {
            ...process.env,
            ATB_POLICY_DIR: this.policy,
            ATB_REQUESTS_PER_MINUTE: '100000',
            ATB_PENDING_PER_AGENT: '1000',
          },
        },
      );
      this.child = child;
      while (child.exitCode === null) {
        if (existsSync(join(this.directory, 'dev.json'))) return;
        await sleep(100);
      }
      // The servers of the one before are still ending.
      await sleep(1_000);
    }
    throw new Error('the stack does not start any more');
  }

  /** SIGKILL to AgentAuth and the worker; what they started ends with them. */
  async kill(): Promise<void> {
    const { child } = this;
    if (!child || child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (const caller of this.callers.values()) caller.close();
    this.callers.clear();
  }

  async stop(): Promise<void> {
    const { child } = this;
    for (const caller of this.callers.values()) caller.close();
    if (!child || child.exitCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }

  /** Until there is an answer that is no "not now". */
  async call(
    name: string,
    path: string,
    method: 'GET' | 'POST',
    body?: unknown,
    key?: string,
  ): Promise<Answer> {
    for (let tries = 0; tries < 600; tries++) {
      try {
        const caller = this.caller(name);
        const headers = key === undefined ? {} : { 'idempotency-key': key };
        const answer = method === 'GET' ? await caller.get(path) : await caller.post(path, body, headers);
        if (answer.status < 500 && answer.status !== 429) return answer;
      } catch {
        // Down just now: that is the point.
      }
      await sleep(250);
    }
    throw new Error(`${method} ${path} was never answered`);
  }

  async verdict(
    id: string,
    [name, role]: readonly [string, string],
    verdict: 'approve' | 'reject',
  ): Promise<void> {
    const { body } = await this.call(`person/${name}`, `/requests/${id}`, 'GET');
    if (body.to_approve === undefined) return;
    const files = this.dev.identities[`person/${name}`];
    if (!files) throw new Error(`${name} is nobody`);
    const statement = await signVerdict(
      createPrivateKey(readFileSync(files.key)),
      [new X509Certificate(readFileSync(files.cert)).raw],
      {
        ...{
          req: id,
          dig: sha256Base64url(canonicalJson(body.to_approve)),
          verdict,
          role,
          reason: 'chaos',
          attests: [],
        },
        ...{ iat: Math.floor(Date.now() / 1000), jti: randomBytes(16).toString('base64url') },
      },
    );
    await this.call(`person/${name}`, `/requests/${id}/verdicts`, 'POST', { verdict: statement });
  }

  private caller(name: string): HttpCaller {
    const known = this.callers.get(name);
    if (known) return known;
    const { agentauth, trust_bundle, identities } = this.dev;
    const caller = HttpCaller.fromFiles(agentauth.url, trust_bundle, identities[name]);
    this.callers.set(name, caller);
    return caller;
  }
}

let stack: Killable;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'atb-chaos-'));
  const policy = await policyWithClocks(RESPONSE_SECONDS, COLLECT_SECONDS);
  stack = new Killable(directory, policy, 20_000 + Math.floor(Math.random() * 30_000));
  await stack.start();
}, 120_000);

afterAll(async () => {
  await stack.stop();
  await rm(stack.directory, { recursive: true, force: true });
});

/** One request's life: what is wanted of it is drawn by lot. */
async function live(
  index: number,
  kind: Kind,
  wanted: string,
): Promise<{ id: string; kind: Kind; wanted: string }> {
  const { agent, body, approvals } = KINDS[kind];
  const asked = await stack.call(`agent/${agent}`, '/issue', 'POST', body, `chaos-${SEED}-${index}`);
  const id = String(asked.body.request_id);
  if (kind === 'low') return { id, kind, wanted };
  if (wanted === 'reject') await stack.verdict(id, APPROVERS[1], 'reject');
  if (wanted === 'withdraw') await stack.call(`agent/${agent}`, `/requests/${id}/withdraw`, 'POST');
  if (wanted === 'approve') {
    for (const approver of APPROVERS.slice(0, approvals)) await stack.verdict(id, approver, 'approve');
    await stack.call(`agent/${agent}`, `/requests/${id}/collect`, 'POST');
  }
  return { id, kind, wanted };
}

function faultsOf(id: string, kind: Kind, wanted: string, events: readonly StoredAuditEvent[]): string[] {
  const count = (type: string) => events.filter((event) => event.type === type).length;
  const finals = events.filter(({ type }) => FINAL.includes(type));
  const approvals = events.filter(
    ({ type, data }) => type === 'poa_verdict_recorded' && data.verdict === 'approve',
  );
  const rungs = events.filter(({ type }) => type === 'poa_escalated').map(({ data }) => data.rung);
  const faults: string[] = [];
  const fault = (what: string) => faults.push(`${id} (${kind}, ${wanted}): ${what}`);
  if (finals.length !== 1) fault(`${finals.length} final states`);
  const [final] = finals;
  if (final?.type.startsWith('poa_issued') && approvals.length < KINDS[kind].approvals)
    fault('issued without its approvals');
  if (final?.type === 'poa_rejected' && wanted !== 'reject') fault('rejected by nobody');
  if (final?.type === 'poa_withdrawn' && wanted !== 'withdraw') fault('withdrawn by nobody');
  if (count('poa_issued') + count('poa_issued_dual_control') > 1) fault('several mandates');
  if (new Set(rungs).size !== rungs.length) fault('a rung twice');
  if (
    final?.type === 'poa_expired' &&
    approvals.length < KINDS[kind].approvals &&
    rungs.length !== KINDS[kind].rungs
  ) {
    fault(`${rungs.length} rungs of ${KINDS[kind].rungs}`);
  }
  return faults;
}

it(`${REQUESTS} requests end as their verdicts say, though everything is killed ${KILLS} times (seed ${SEED})`, async () => {
  const lives: Promise<{ id: string; kind: Kind; wanted: string }>[] = [];
  let killed = 0;
  for (let index = 0; index < REQUESTS; index++) {
    lives.push(
      live(
        index,
        oneOf(['low', 'medium', 'high'] as const),
        oneOf(['approve', 'approve', 'reject', 'withdraw', 'nothing']),
      ),
    );
    await sleep(random() * 300);
    while (killed < Math.floor(((index + 1) * KILLS) / REQUESTS)) {
      await stack.kill();
      killed += 1;
      say(`${index + 1} of ${REQUESTS} requests, killed ${killed} of ${KILLS} times`);
      await stack.start();
    }
  }
  const lived = await Promise.all(lives);
  const ledger = new PostgresLedger(readFileSync(join(stack.directory, 'database-url'), 'utf8').trim());
  const faults: string[] = [];
  const counts: Record<string, number> = {};
  try {
    const end = Date.now() + 120_000;
    for (const { id, kind, wanted } of lived) {
      let events = await ledger.events({ requestId: id, limit: 1_000 });
      while (!events.some(({ type }) => FINAL.includes(type)) && Date.now() < end) {
        await sleep(500);
        events = await ledger.events({ requestId: id, limit: 1_000 });
      }
      for (const { type } of events) counts[type] = (counts[type] ?? 0) + 1;
      faults.push(...faultsOf(id, kind, wanted, events));
    }
  } finally {
    await ledger.end();
  }
  say(`${lived.length} requests, ${killed} kills, seed ${SEED}: ${JSON.stringify(counts)}`);
  expect(faults).toEqual([]);
  expect(killed).toBe(KILLS);
}, 3_600_000);
