import { EXIT } from '../../apps/atb/exit';
import { atbIn } from '../support/atb';
import type { AtbRun } from '../support/atb';
import { incidentLiftedSignal, incidentWorkflowId } from '../../workflows/contract';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { eventually, found } from '../support/eventually';

const CAUSE = 'the ERP answers strangers';

let stack: TestStack;

beforeAll(async () => {
  const policy = await changedPolicy(({ incidents: { kinds } }) => {
    // 15 minutes are two seconds.
    Object.assign(kinds.drill_fast ?? {}, { speed: 450 });
  });
  stack = await TestStack.start({ ATB_POLICY_DIR: policy });
});

afterAll(async () => {
  await stack.stop();
});

/** One command line of a person, as they would type it. */
const atb = (who: string, argv: readonly string[], answers?: readonly string[]): Promise<AtbRun> =>
  atbIn(stack.directory, [...argv, '--as', who], answers);

async function opened(cause: string): Promise<string> {
  const argv = ['incident', 'open', '--cause', cause, '--reason', 'seen', '--yes', '--json'];
  const { out } = await atb('person/grace', argv);
  return (JSON.parse(out) as { incident_id: string }).incident_id;
}

async function incidentOf(kind: string): Promise<string | undefined> {
  const { out } = await atb('person/carol', ['incident', 'ls', '--json']);
  const { incidents } = JSON.parse(out) as { incidents: { kind: string; incident_id: string }[] };
  return incidents.find((one) => one.kind === kind)?.incident_id;
}

it('takes an incident from its opening to its review, one command for each word', async () => {
  const open = ['incident', 'open', '--cause', CAUSE, '--severity', 'P2'];
  const first = await atb('person/grace', open, ['seen in its log', 'y']);
  expect(first).toMatchObject({ exit: EXIT.done });
  expect(first.err).toContain('OPEN as platform_ops: seen in its log');
  expect(first.out).toContain(`cause: ${CAUSE}`);
  const [id = ''] = first.out.split(' ');
  // The same cause is the same incident.
  const again = await atb('person/heidi', [...open, '--reason', 'me too', '--yes']);
  expect(again.out).toContain('reported 2 times');
  await eventually(
    () => atb('person/carol', ['incident', 'ls', '--state', 'open']),
    ({ out }) => out.includes(id),
  );

  const taken = await atb('person/carol', ['incident', 'ack', id, '--role', 'on_call'], ['at it', 'y']);
  expect(taken.err).toContain(`cause: ${CAUSE}`);
  expect(taken.out).toContain(`${id} is acknowledged`);
  const asked = await atb('person/carol', [
    ...['incident', 'note', id, '--follow-up', '--role', 'security'],
    ...['--reason', 'narrow the allowlist', '--yes'],
  ]);
  const [, followUp = ''] = /to be done: (\S+)/.exec(asked.out) ?? [];
  const resolve = ['incident', 'resolve', id, '--role', 'security', '--reason', 'patched', '--yes'];
  expect((await atb('person/carol', resolve)).out).toContain(`${id} is resolved`);
  const review = ['incident', 'review', id, '--reason', 'too wide', '--yes'];
  const early = await atb('person/dave', review);
  expect(early).toMatchObject({ exit: EXIT.refused, out: '' });
  expect(early.err).toContain('the incident is not where review is due');
  const done = ['incident', 'note', id, '--closes', followUp, '--reason', 'narrowed', '--yes'];
  expect((await atb('person/dave', done)).exit).toBe(EXIT.done);
  expect((await atb('person/dave', review)).out).toContain(`${id} is closed`);

  const { out } = await atb('person/alice', ['incident', 'show', id]);
  const steps = ['acknowledge', `follow up ${followUp}`, 'resolve', `follow up close ${followUp}`, 'review'];
  const said = out.split('\n').filter((line) => / by person\/\w+ \(/.test(line));
  expect(said.map((line) => steps.find((step) => line.includes(`Z ${step} by `)))).toEqual(steps);
  expect(said.at(-1)).toContain('review by person/dave (security_lead): too wide');
});

const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';

it('contains what it is about, by the role that may, and has a way back', async () => {
  const id = await opened('finance-bot is not itself');
  const contain = (who: string, role: string, ...target: readonly string[]) =>
    atb(who, ['incident', 'contain', id, ...target, '--role', role, '--reason', 'for now', '--yes']);
  const issued = async () =>
    (await stack.as('agent/finance-bot').post('/issue', { act: 'erp.order.list', con: { params: {} } })).body;
  const stopped = await contain('person/carol', 'on_call', '--agent', 'agent/finance-bot');
  expect(stopped.out).toMatch(new RegExp(`stopped: agent:${FINANCE_BOT} since \\S+ by person/carol$`, 'm'));
  expect(await issued()).toMatchObject({ code: 'stopped' });

  // Platform-Ops closes a connector, and stops no tier.
  expect((await contain('person/grace', 'platform_ops', '--connector', 'crm')).exit).toBe(EXIT.done);
  const tier = await contain('person/grace', 'platform_ops', '--tier', 'high');
  expect(tier).toMatchObject({ exit: EXIT.refused });
  expect(tier.err).toContain('not_allowed_to_stop');
  expect((await contain('person/dave', 'security_lead', '--tier', 'high')).exit).toBe(EXIT.done);
  expect((await contain('person/dave', 'security_lead', '--connector', '../erp')).exit).toBe(EXIT.usage);

  for (const target of [
    ['--agent', FINANCE_BOT],
    ['--connector', 'crm'],
    ['--tier', 'high'],
  ]) {
    expect((await contain('person/dave', 'security_lead', ...target, '--lift')).exit).toBe(EXIT.done);
  }
  expect((await issued()).state).toBe('issued');
  const { out } = await atb('person/alice', ['incident', 'show', id]);
  expect(out.match(/stopped: .* lifted \S+ by person\/dave$/gm)).toHaveLength(3);
  const events = await (await stack.ledger()).events({ limit: 1_000 });
  const told = events.filter(({ data, type }) => data.incident === id && /^poa_/.test(type));
  expect(told.map(({ type, data }) => `${type} ${data.scope as string}`)).toEqual([
    ...['poa_stopped agent', 'poa_stopped connector', 'poa_stop_refused tier', 'poa_stopped tier'],
    ...['poa_lift_proposed agent', 'poa_stop_lifted agent', 'poa_lift_proposed connector'],
    ...['poa_stop_lifted connector', 'poa_lift_proposed tier', 'poa_stop_lifted tier'],
  ]);
});

it('shows in each incident that had stopped it what was lifted outside of it, and by whom', async () => {
  const [one, other] = [await opened('hr-helper is not itself'), await opened('hr-helper reads too much')];
  const target = ['--agent', 'agent/hr-helper'];
  for (const id of [one, other]) {
    const contain = [
      'incident',
      'contain',
      id,
      ...target,
      '--role',
      'on_call',
      '--reason',
      'for now',
      '--yes',
    ];
    expect((await atb('person/carol', contain)).exit).toBe(EXIT.done);
  }
  const shown = async (id: string) => (await atb('person/alice', ['incident', 'show', id])).out;
  expect(await shown(one)).not.toContain('lifted');
  // Whoever may write to Temporal frees nothing by saying so: the log has no such word.
  const client = await stack.sealedClient();
  await client.workflow.getHandle(incidentWorkflowId(one)).signal(incidentLiftedSignal);
  expect(await shown(one)).not.toContain('lifted');

  expect((await atb('person/dave', ['lift', ...target, '--reason', 'new keys'])).exit).toBe(EXIT.done);
  const lifted = /stopped: agent:\S+hr-helper since \S+ by person\/carol, lifted \S+ by person\/dave$/m;
  for (const id of [one, other]) {
    await eventually(
      () => shown(id),
      (told) => lifted.test(told),
    );
  }
  // The way back by one incident is told to the other too.
  const again = ['contain', one, ...target, '--role', 'security_lead', '--reason', 'once more', '--yes'];
  expect((await atb('person/dave', ['incident', ...again])).exit).toBe(EXIT.done);
  expect((await atb('person/dave', ['incident', ...again.with(1, other)])).exit).toBe(EXIT.done);
  expect((await atb('person/dave', ['incident', ...again, '--lift'])).exit).toBe(EXIT.done);
  const told = await eventually(
    () => shown(other),
    (now) => now.match(/, lifted/g)?.length === 2,
  );
  expect(told.match(/, lifted \S+ by person\/dave$/gm)).toHaveLength(2);
});

it('signs nothing without a yes, a reason, or a terminal', async () => {
  const id = await opened('nobody signs this');
  const ack = ['incident', 'ack', id, '--role', 'on_call'];
  expect(await atb('person/carol', ack, ['at it', 'n'])).toMatchObject({ exit: EXIT.refused, out: '' });
  expect((await atb('person/carol', ack, ['', 'y'])).err).toContain('--reason TEXT');
  expect(await atb('person/carol', ack)).toMatchObject({ exit: EXIT.usage });
  const shown = await atb('person/carol', ['incident', 'show', id, '--json']);
  expect(JSON.parse(shown.out)).toMatchObject({ state: 'open', words: [] });
});

it.each([
  ['ack', ['../stops', '--yes'], 'that is not the id of an incident'],
  ['show', ['manual.short'], 'that is not the id of an incident'],
  ['open', ['--cause', '', '--reason', 'x', '--yes'], 'its cause is not a text'],
  ['note', ['x', '--follow-up', '--closes', 'y'], 'either --follow-up or --closes'],
])('refuses a wrong %s before anything is sent', async (command, argv, why) => {
  const ran = await atb('person/carol', ['incident', command, ...argv]);
  expect(ran).toMatchObject({ exit: EXIT.usage, out: '' });
  expect(ran.err).toContain(why);
});

it('shows what somebody wrote without letting it do anything to the terminal', async () => {
  const id = await opened('a\u001b[2Jb\ncarol resolved it');
  const { out } = await atb('person/carol', ['incident', 'show', id]);
  expect(out).toContain('cause: a\\u{1B}[2Jb\\u{A}carol resolved it');
});

it('tells who may not speak, and of what there is not', async () => {
  const id = await opened('who may speak');
  const wrong = await atb('person/alice', [
    ...['incident', 'ack', id, '--role', 'on_call', '--reason', 'me', '--yes'],
  ]);
  expect(wrong).toMatchObject({ exit: EXIT.refused });
  expect(wrong.err).toContain('verdict_role_not_held');
  const unknown = await atb('person/carol', ['incident', 'show', 'manual.AAAAAAAAAAAAAAAAAAAAAA']);
  expect(unknown).toMatchObject({ exit: EXIT.refused });
});

it('rehearses a P1: the ladder calls, people answer, and it says how long they took', async () => {
  const run = ['drill', 'p1', '--reason', 'of this quarter', '--yes', '--json', '--wait'];
  const drilling = atb('person/grace', [...run, '150']);
  const id = await found(() => incidentOf('drill'));
  const shown = await atb('person/carol', ['incident', 'show', id]);
  expect(shown.out).toContain('P1 A drill: nothing happened (drill)');
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const said = ['--role', 'on_call', '--reason', 'it is a drill', '--yes'];
  expect((await atb('person/carol', ['incident', 'ack', id, ...said])).exit).toBe(EXIT.done);
  expect((await atb('person/carol', ['incident', 'resolve', id, ...said])).exit).toBe(EXIT.done);
  const { exit, out } = await drilling;
  expect(exit).toBe(EXIT.done);
  const report = JSON.parse(out) as Record<string, number>;
  expect(report).toMatchObject({
    incident_id: id,
    severity: 'P1',
    state: 'resolved',
    rungs: [{ roles: ['on_call'] }],
  });
  expect(report.acknowledged_after_seconds).toBeGreaterThanOrEqual(1);
  expect(report.resolved_after_seconds).toBeGreaterThanOrEqual(report.acknowledged_after_seconds ?? 99);

  const unanswered = await atb('person/grace', [
    'drill',
    'p2',
    '--reason',
    'nobody comes',
    '--yes',
    '--wait',
    '1',
  ]);
  expect(unanswered).toMatchObject({ exit: EXIT.timedOut });
  expect(unanswered.out).toContain('nobody acknowledged it');
});

it('rehearses by a fast clock how it climbs to the CISO; what is no drill climbs by the clock of its severity', async () => {
  const open = ['incident', 'open', '--cause', 'this did happen', '--severity', 'P1', '--reason', 'seen'];
  const real = JSON.parse((await atb('person/grace', [...open, '--yes', '--json'])).out) as {
    incident_id: string;
  };
  const drilling = atb('person/grace', [
    ...['drill', 'p1', '--fast', '--reason', 'nobody on call answers', '--yes', '--json', '--wait', '150'],
  ]);
  const shown = async (id: string) =>
    JSON.parse((await atb('person/erin', ['incident', 'show', id, '--json'])).out) as {
      readonly told: readonly string[];
      readonly climbed: readonly unknown[];
    };
  const id = await found(() => incidentOf('drill_fast'));
  await eventually(
    () => shown(id),
    ({ told }) => told.includes('ciso'),
  );
  const said = ['--role', 'ciso', '--reason', 'the ladder works', '--yes'];
  expect((await atb('person/erin', ['incident', 'ack', id, ...said])).exit).toBe(EXIT.done);
  expect((await atb('person/erin', ['incident', 'resolve', id, ...said])).exit).toBe(EXIT.done);
  const { exit, out } = await drilling;
  expect(exit).toBe(EXIT.done);
  const { rungs, acknowledged_after_seconds: acknowledged } = JSON.parse(out) as {
    readonly rungs: readonly { readonly roles: readonly string[]; readonly after_seconds: number }[];
    readonly acknowledged_after_seconds: number;
  };
  expect(rungs.map(({ roles }) => roles)).toEqual([['on_call'], ['security_lead'], ['ciso']]);
  const [, second = 0, third = 0] = rungs.map(({ after_seconds: after }) => after);
  expect(second).toBeGreaterThanOrEqual(2);
  expect(third).toBeGreaterThanOrEqual(4);
  expect(acknowledged).toBeGreaterThanOrEqual(third);
  const events = await (await stack.ledger()).events({ type: 'incident_escalated', limit: 1_000 });
  const escalated = (of: string) =>
    events.filter(({ data }) => data.incident === of).map(({ data }) => data.roles);
  // The last rung is told again and again, until she acknowledges.
  const [first, then, ...last] = escalated(id);
  expect([first, then]).toEqual([['on_call'], ['security_lead']]);
  expect(new Set(last.map((roles) => JSON.stringify(roles)))).toEqual(new Set(['["ciso"]']));
  expect(escalated(real.incident_id)).toEqual([['on_call']]);
  expect(await shown(real.incident_id)).toMatchObject({
    told: ['on_call'],
    climbed: [{ roles: ['on_call'] }],
  });
});
