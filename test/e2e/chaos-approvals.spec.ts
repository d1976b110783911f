import { renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client as DatabaseClient } from 'pg';
import type { StoredAuditEvent } from '../../domain/audit-event';
import { sha256Base64url } from '../../domain/digest';
import { ATB_STATE, poaRequestWorkflowId } from '../../workflows/contract';
import { Apart } from '../support/apart';
import { Approver } from '../support/approver';
import { eventually } from '../support/eventually';
import { changedPolicy } from '../support/policy';

const REQUESTS = Number(process.env.ATB_CHAOS_REQUESTS ?? 20);
const KILLS = Number(process.env.ATB_CHAOS_KILLS ?? 5);
const SEED = Number(process.env.ATB_CHAOS_SEED ?? 1);
const RESPONSE_SECONDS = 6;
const COLLECT_SECONDS = 600;
// What was taken from a queue and died with its worker is tried again after ten seconds: some of the time, that comes.
const LONGEST_PAUSE_SECONDS = 12;
const END_WITHIN_MS = 600_000;

const say = (line: string) => process.stderr.write(`chaos: ${line}\n`);

let seed = SEED;
/** Repeatable (mulberry32): the same seed gives the same requests, verdicts and pauses. */
function random(): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
}
const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const shuffled = <T>(list: readonly T[]): T[] =>
  list
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);

const ROLES = {
  alice: 'manager',
  bob: 'compliance',
  carol: 'security',
  dave: 'security_lead',
  erin: 'ciso',
  frank: 'legal',
} as const;
type Person = keyof typeof ROLES;

/** Of each tier: who asks for what, who may approve it, and how often it climbs before it expires (operating model §3, §5). */
const TIERS = {
  low: { agent: 'crm-assistant', act: 'crm.contact.read', approvals: 0, rungs: 0, may: [], release: [] },
  medium: {
    ...{ agent: 'finance-bot', act: 'erp.order.create', approvals: 1, rungs: 1 },
    ...{ may: ['bob', 'carol'], release: [] },
  },
  high: {
    ...{ agent: 'finance-bot', act: 'sap.payment.execute', approvals: 2, rungs: 2 },
    ...{ may: ['bob', 'carol', 'dave', 'frank'], release: [] },
  },
  critical: {
    ...{ agent: 'explorer', act: 'security.master_key.rotate', approvals: 2, rungs: 3 },
    ...{ may: ['bob', 'frank', 'dave', 'erin'], release: ['dave', 'erin'] },
  },
} as const satisfies Record<string, Tier>;
interface Tier {
  readonly agent: string;
  readonly act: string;
  readonly approvals: number;
  readonly rungs: number;
  readonly may: readonly Person[];
  readonly release: readonly Person[];
}
type TierName = keyof typeof TIERS;
const TIER_NAMES = Object.keys(TIERS) as TierName[];

/** What people and the agent will do, and when: seconds after the one before, or all of it at once. */
interface Step {
  readonly afterSeconds: number;
  readonly do:
    | { readonly person: Person; readonly verdict: 'approve' | 'reject' | 'release' }
    | 'withdraw'
    | 'close_ticket';
}
interface Plan {
  readonly index: number;
  readonly tier: TierName;
  readonly wish: string;
  readonly atOnce: boolean;
  readonly steps: readonly Step[];
  readonly ticket: string | null;
}

/** What came of a plan, as those who did it saw it. */
interface Life {
  readonly plan: Plan;
  readonly id: string;
  /** Digests of the statements that were answered as counted. */
  readonly counted: readonly string[];
  readonly jti: string | null;
}

function pauseSeconds(tier: Tier): number {
  // Mostly in time; now and then around, or after, the moment when it expires.
  return random() * (random() < 0.15 ? 1.2 * (tier.rungs + 1) * RESPONSE_SECONDS : RESPONSE_SECONDS / 2);
}

function planOf(index: number): Plan {
  const name = TIER_NAMES[index % TIER_NAMES.length] as TierName;
  const tier: Tier = TIERS[name];
  const wish =
    name === 'low'
      ? 'approve'
      : oneOf([
          ...['approve', 'approve', 'approve', 'reject', 'withdraw', 'nothing', 'too_few', 'same_person'],
          ...['race', ...(name === 'critical' ? ['close_ticket'] : [])],
        ]);
  const step = (what: Step['do']): Step => ({ afterSeconds: pauseSeconds(tier), do: what });
  const by = (person: Person, verdict: 'approve' | 'reject' | 'release') => step({ person, verdict });
  const approvers = shuffled(tier.may);
  const approvals = approvers.slice(0, tier.approvals).map((person) => by(person, 'approve'));
  const releaser = tier.release.find((person) => !approvers.slice(0, tier.approvals).includes(person));
  const whole = [...approvals, ...(releaser ? [by(releaser, 'release')] : [])];
  // Both who may release approved: a third is nobody, and it ends without.
  const first = approvers[0] ?? 'bob';
  const steps: Record<string, readonly Step[]> = {
    approve: whole,
    reject: [...approvals.slice(0, Math.floor(random() * (tier.approvals + 1))), by('carol', 'reject')],
    withdraw: [...approvals.slice(0, -1), step('withdraw')],
    nothing: [],
    too_few: whole.slice(0, -1),
    same_person: [
      by('alice', 'approve'),
      ...(tier.approvals > 1 ? [by(first, 'approve'), by(first, 'approve')] : []),
    ],
    race: [...whole, by('carol', 'reject'), step('withdraw')],
    close_ticket: [...approvals, ...shuffled([step('close_ticket'), ...whole.slice(tier.approvals)])],
  };
  return {
    ...{ index, tier: name, wish, atOnce: wish === 'race', steps: steps[wish] ?? [] },
    ticket: name === 'critical' ? `CHG-${10_000 + index}` : null,
  };
}

let stack: Apart;
const tickets: Record<string, { state: string }> = {};

beforeAll(async () => {
  const policy = await changedPolicy((data) => {
    for (const severity of Object.values(data.escalation)) severity.response_seconds = RESPONSE_SECONDS;
    data.requests.collect_within_seconds = COLLECT_SECONDS;
    // A day's mandates within minutes.
    for (const { per } of data.velocity) for (const window of Object.keys(per)) per[window] = 1_000_000;
  });
  stack = await Apart.start({
    ATB_POLICY_DIR: policy,
    ATB_REQUESTS_PER_MINUTE: '100000',
    ATB_POLLS_PER_INTERVAL: '100000',
    ATB_PENDING_PER_AGENT: '1000',
  });
});

afterAll(() => stack.stop());

/** As a person would save it: whole, or not at all. */
function saveTickets(): void {
  writeFileSync(`${stack.ticketsFile}.new`, JSON.stringify(tickets));
  renameSync(`${stack.ticketsFile}.new`, stack.ticketsFile);
}

/** One request's life, as its plan says. Everybody asks until there is an answer. */
async function live(plan: Plan): Promise<Life> {
  const { agent, act } = TIERS[plan.tier];
  const as = stack.as(`agent/${agent}`);
  const body = { act, justification: 'chaos', ...(plan.ticket !== null && { ticket: plan.ticket }) };
  const asked = await as.post('/issue', body, { 'idempotency-key': `chaos-${SEED}-${plan.index}` });
  const id = String(asked.body.request_id);
  if (plan.tier === 'low') return { plan, id, counted: [], jti: jtiOf(asked.body) };
  const counted: string[] = [];
  const take = async ({ do: what }: Step) => {
    if (what === 'withdraw') await as.post(`/requests/${id}/withdraw`);
    else if (what === 'close_ticket') {
      tickets[plan.ticket ?? ''] = { state: 'closed' };
      saveTickets();
    } else {
      const approver = new Approver(stack, `person/${what.person}`, ROLES[what.person]);
      const statement = await approver.sign(id, { verdict: what.verdict });
      const { status } = await approver.submit(id, statement);
      if (status === 200) counted.push(sha256Base64url(statement));
    }
  };
  if (plan.atOnce) await Promise.all(plan.steps.map(take));
  for (const step of plan.atOnce ? [] : plan.steps) {
    await sleep(step.afterSeconds * 1_000);
    await take(step);
  }
  const collected = await as.post(`/requests/${id}/collect`);
  return { plan, id, counted, jti: jtiOf(collected.body) };
}

function jtiOf(body: Readonly<Record<string, unknown>>): string | null {
  return typeof body.jti === 'string' ? body.jti : null;
}

const FINAL = {
  poa_issued: 'issued',
  poa_issued_dual_control: 'issued',
  poa_denied: 'denied',
  poa_rejected: 'rejected',
  poa_withdrawn: 'withdrawn',
  poa_expired: 'expired',
  poa_cancelled: 'cancelled',
} as const;
const finalOf = ({ type }: StoredAuditEvent) =>
  type in FINAL ? FINAL[type as keyof typeof FINAL] : undefined;

/** Everything in a life that its verdicts do not justify. */
function faultsOf({ plan, id, counted, jti }: Life, events: readonly StoredAuditEvent[]): string[] {
  const tier: Tier = TIERS[plan.tier];
  const faults: string[] = [];
  const expectThat = (holds: boolean, what: string) => {
    if (!holds) faults.push(`${id} (${plan.tier}, ${plan.wish}): ${what}`);
  };
  const finals = events.filter((event) => finalOf(event) !== undefined);
  expectThat(finals.length === 1, `ended ${finals.length} times`);
  const [final] = finals;
  if (!final) return faults;
  const state = finalOf(final);

  const verdicts = events.filter(({ type }) => type === 'poa_verdict_recorded');
  const saying = (verdict: string) => verdicts.filter(({ data }) => data.verdict === verdict);
  const approvers = new Set(saying('approve').map(({ actor }) => actor));
  const releasers = saying('release').map(({ actor }) => actor);
  const rejected = saying('reject').length > 0;
  const released = tier.release.length === 0 || releasers.length > 0;
  const met = approvers.size >= tier.approvals && released;
  expectThat(approvers.size === saying('approve').length, 'one person approved twice');
  expectThat(!releasers.some((actor) => approvers.has(actor)), 'released by one who approved');
  expectThat(!approvers.has('spiffe://corp.example/person/alice'), 'approved by the owner of the agent');
  const digests = verdicts.map(({ data }) => data.statement_digest);
  expectThat(
    counted.every((digest) => digests.includes(digest)),
    'a verdict that was answered as counted is not recorded',
  );

  const has = (what: Step['do']) => plan.steps.some((step) => step.do === what);
  const justified: Record<string, boolean> = {
    issued: met && !rejected,
    denied: has('close_ticket') && !rejected,
    rejected,
    withdrawn: has('withdraw') && !rejected,
    // Whoever may collect does, for ten minutes: what was met does not expire.
    expired: !met && !rejected,
  };
  expectThat(justified[state ?? ''] === true, `${state} is not what its verdicts say`);

  const mandates = events.filter(({ type }) => type.startsWith('poa_issued'));
  expectThat(mandates.length <= 1, `${mandates.length} mandates`);
  if (state === 'issued') {
    const type = tier.approvals > 1 ? 'poa_issued_dual_control' : 'poa_issued';
    expectThat(final.type === type, final.type);
    // Lapsed before its answer came through: then the agent has no jti to show.
    expectThat(jti === null || jti === final.data.jti, 'the mandate has another jti than its event');
  } else expectThat(jti === null, 'a mandate without its event');

  const climbed = events.filter(({ type }) => type === 'poa_escalated');
  const rungs = climbed.map(({ data }) => Number(data.rung));
  expectThat(
    rungs.every((rung, at) => rung === at + 1),
    `rungs ${rungs.join(', ')}`,
  );
  expectThat(rungs.length <= tier.rungs, `${rungs.length} rungs of ${tier.rungs}`);
  if (state === 'expired') expectThat(rungs.length === tier.rungs, `${rungs.length} rungs of ${tier.rungs}`);
  for (const { id: eventId, time, data } of climbed) {
    // <request>/poa_escalated/<pending since>/<rung>
    const due = Number(eventId.split('/').at(-2)) + Number(data.rung) * RESPONSE_SECONDS;
    expectThat(time.getTime() >= due * 1_000, `rung ${Number(data.rung)} before its time`);
  }
  return faults;
}

function count(items: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[item] = (counts[item] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a.localeCompare(b)));
}

/** Kills one of them at a time, at random: most of the kills find all at work, the others whatever is there. */
async function killAll(kills: readonly Kill[], onKill: (killed: number) => void): Promise<void> {
  for (const [index, { part, afterSeconds, whenReady }] of kills.entries()) {
    if (whenReady) await stack.ready();
    await sleep(afterSeconds * 1_000);
    await stack[part].kill();
    say(`killed ${part}, ${index + 1} of ${kills.length}`);
    onKill(index + 1);
  }
}
interface Kill {
  readonly part: 'worker' | 'agentauth' | 'temporal';
  readonly afterSeconds: number;
  readonly whenReady: boolean;
}

it(`${REQUESTS} requests of all tiers end as their verdicts say, though worker, AgentAuth and Temporal are killed ${KILLS} times (seed ${SEED})`, async () => {
  const plans = Array.from({ length: REQUESTS }, (_, index) => planOf(index));
  const kills = Array.from({ length: KILLS }, (): Kill => ({
    part: oneOf(['worker', 'agentauth', 'temporal'] as const),
    afterSeconds: random() * LONGEST_PAUSE_SECONDS,
    whenReady: random() < 0.75,
  }));
  for (const { ticket } of plans) if (ticket !== null) tickets[ticket] = { state: 'open' };
  saveTickets();

  // The requests are asked over the whole time in which things are killed.
  const lives: Promise<Life>[] = [];
  const askUpTo = (share: number) => {
    while (lives.length < Math.ceil(REQUESTS * share)) {
      const life = live(plans[lives.length] as Plan);
      life.catch((error: unknown) => {
        say(`${String(error)}\n${stack.lastWords()}`);
      });
      lives.push(life);
    }
  };
  askUpTo(1 / (KILLS + 1));
  await killAll(kills, (killed) => {
    askUpTo((killed + 1) / (KILLS + 1));
  });
  const lived = await Promise.all(lives);

  const faults: string[] = [];
  const events = await stack.withLedger(async (ledger) => {
    const end = Date.now() + END_WITHIN_MS;
    for (;;) {
      const all = await ledger.events({ limit: 1_000_000 });
      const ended = new Set(all.filter((event) => finalOf(event)).map(({ requestId }) => requestId));
      if (lived.every(({ id }) => ended.has(id)) || Date.now() > end) return all;
      await sleep(500);
    }
  });
  for (const life of lived)
    faults.push(
      ...faultsOf(
        life,
        events.filter(({ requestId }) => requestId === life.id),
      ),
    );
  if (new Set(lived.map(({ id }) => id)).size !== REQUESTS) faults.push('two requests are one');

  // Temporal tells the same story, and has nothing left to do.
  const stateOf = new Map(
    events.flatMap((event) => {
      const state = finalOf(event);
      return state ? [[event.requestId, state] as const] : [];
    }),
  );
  await stack.withTemporal(async (client) => {
    for (const { id } of lived) {
      // Its end is recorded first.
      const { status, typedSearchAttributes } = await eventually(
        () => client.workflow.getHandle(poaRequestWorkflowId(id)).describe(),
        (described) => described.status.name !== 'RUNNING',
      );
      const state = typedSearchAttributes.get(ATB_STATE);
      if (status.name !== 'COMPLETED' || state !== stateOf.get(id))
        faults.push(`${id}: Temporal says ${status.name}, ${String(state)}`);
    }
  });
  // The database holds one mandate for each event, and one event for each mandate.
  const issued = events.filter(({ type }) => type.startsWith('poa_issued'));
  const held = await mandatesHeld();
  const recorded = issued.map(({ data }) => jtiOf(data)).sort();
  if (JSON.stringify(held) !== JSON.stringify(recorded))
    faults.push(`${held.length} mandates are held, and ${recorded.length} recorded`);

  say(`tiers ${JSON.stringify(count(plans.map(({ tier }) => tier)))}`);
  say(`wishes ${JSON.stringify(count(plans.map(({ wish }) => wish)))}`);
  say(`killed ${JSON.stringify(count(kills.map(({ part }) => part)))}`);
  say(`ended ${JSON.stringify(count(stateOf.values()))}`);
  say(`events ${JSON.stringify(count(events.filter(({ requestId }) => requestId).map(({ type }) => type)))}`);
  say(
    `${lived.length} requests, ${kills.length} kills, seed ${SEED}: ${stateOf.size} ended once, ` +
      `${held.length} mandates, ${faults.length} differences`,
  );
  expect(faults).toEqual([]);
}, 3_600_000);

async function mandatesHeld(): Promise<readonly string[]> {
  const database = new DatabaseClient({ connectionString: stack.databaseUrl });
  await database.connect();
  try {
    const { rows } = await database.query<{ jti: string }>(
      'select jti from poa_request where jti is not null',
    );
    return rows.map(({ jti }) => jti).sort();
  } finally {
    await database.end();
  }
}
