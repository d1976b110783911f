import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXIT } from '../../apps/atb/exit';
import { anRfc, Platform } from '../support/change';
import { consultationWorkflowId } from '../../workflows/contract';
import { atbIn } from '../support/atb';
import type { AtbRun } from '../support/atb';
import { eventually, found } from '../support/eventually';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';

// Long enough for a few commands on a busy machine, short enough to wait for.
const ANSWER_SECONDS = 25;
const PAYMENT = { act: 'sap.payment.execute', con: { params: { amount: 1250 } } };

let stack: TestStack;
let folder: string;

beforeAll(async () => {
  stack = await TestStack.start({
    ATB_OPERATIONS_FILE: await (await Platform.make()).operations(),
    ATB_POLICY_DIR: await changedPolicy(({ raci }) => {
      const { incident_response: incidents } = raci;
      if (incidents) incidents.answer_seconds = ANSWER_SECONDS;
    }),
  });
  folder = await mkdtemp(join(tmpdir(), 'atb-consultation-'));
});

afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

const atb = (who: string, ...argv: readonly string[]): Promise<AtbRun> =>
  atbIn(stack.directory, [...argv, '--as', `person/${who}`]);

/** What waits for an answer of somebody's team about this. */
const askedAbout = (who: string, subject: string) =>
  found(async () => {
    const { out } = await atb(who, 'consultation', 'ls', '--json');
    const { consultations } = JSON.parse(out) as { consultations: Record<string, unknown>[] };
    return consultations.find(({ about }) => about === subject);
  }, 200);

/** Once there are so many. */
const toldOf = (subject: string, many: number) =>
  eventually(
    async () =>
      (await readFile(join(stack.directory, 'notifications.jsonl'), 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { requestId: string; kind: string; roles: string[] })
        .filter(
          ({ requestId, kind }) => requestId === subject && (kind === 'work' || kind === 'consultation'),
        )
        .map(({ kind, roles }) => [kind, ...roles]),
    ({ length }) => length >= many,
  );

const eventsAbout = async (subject: string) =>
  (await (await stack.ledger()).events({ limit: 2_000 })).filter(({ data }) => data.about === subject);

it('asks both teams about an incident, and shows in its timeline who answered, and who did not in time', async () => {
  const open = ['incident', 'open', '--cause', 'the ERP answers strangers', '--reason', 'seen', '--yes'];
  const [id = ''] = (await atb('grace', ...open)).out.split(' ');
  const { consultation_id: asked } = await askedAbout('kim', id);
  expect(await toldOf(id, 3)).toEqual([
    ['work', 'Platform-Ops', 'Security'],
    ['consultation', 'AgentAuth-Team'],
    ['consultation', 'Broker-Team'],
  ]);
  const answer = ['consultation', 'answer', String(asked), '--yes', '--reason'];
  const other = await atb('carol', ...answer, 'me too', '--role', 'security');
  expect(other).toMatchObject({ exit: EXIT.refused });
  expect(other.err).toContain('consultation_of_another_team');
  expect(await atb('alice', ...answer, 'me too')).toMatchObject({ exit: EXIT.refused, out: '' });
  const answered = await atb('kim', ...answer, 'the broker\u001b[2J is sound');
  expect(answered).toMatchObject({ exit: EXIT.done });
  expect(answered.err).toContain('SAY THAT NOTHING SPEAKS AGAINST IT as engineer');

  await new Promise((resolve) => setTimeout(resolve, ANSWER_SECONDS * 1000));
  const { out } = await eventually(
    () => atb('dave', 'incident', 'show', id),
    (shown) => shown.out.includes('did not answer in time'),
    500,
  );
  const late = await atb('leo', ...answer, 'at last');
  expect(late).toMatchObject({ exit: EXIT.refused });
  expect(late.err).toContain('the time to answer is over');
  expect(out).toMatch(/Z asked until \S+Z: AgentAuth-Team, Broker-Team$/m);
  expect(out).toMatch(
    /Z Broker-Team has nothing against it, by person\/kim \(engineer\): the broker\\u\{1B\}\[2J is sound$/m,
  );
  expect(out).toMatch(/Z AgentAuth-Team did not answer in time$/m);
  const events = await eventsAbout(id);
  expect(
    events.map(({ type, data }) => [type, data.team ?? data.teams ?? data.code ?? data.consulted]),
  ).toEqual([
    ['consultation_begun', ['AgentAuth-Team', 'Broker-Team']],
    ['consultation_refused', 'consultation_of_another_team'],
    ['consultation_answered', 'Broker-Team'],
    ['consultation_unanswered', ['AgentAuth-Team']],
  ]);
});

it('asks Legal and Security about a high request, and nothing waits for their advice', async () => {
  const issued = await stack.as('agent/finance-bot').post('/issue', PAYMENT);
  const id = String(issued.body.request_id);
  const { consultation_id: asked, title } = await askedAbout('frank', id);
  expect(title).toBe('high sap.payment.execute for spiffe://corp.example/agent/finance-bot');
  const answer = ['consultation', 'answer', String(asked), '--yes', '--reason', 'the contract ended'];
  expect((await atb('frank', ...answer, '--against')).exit).toBe(EXIT.done);
  const shown = await atb('bob', 'show', id);
  expect(shown.out).toContain('Legal advises against it, by person/frank (legal): the contract ended');
  // The agent is told nothing of it.
  expect((await stack.as('agent/finance-bot').get(`/requests/${id}`)).body).not.toHaveProperty(
    'consultation',
  );
  // Advice is not a verdict: two approvals are enough all the same.
  for (const [who, role] of [
    ['bob', 'compliance'],
    ['dave', 'security_lead'],
  ] as const) {
    const approved = await atb(who, 'approve', id, '--role', role, '--reason', 'it is right', '--yes');
    expect(approved.exit).toBe(EXIT.done);
    expect(approved.err).toContain('Legal advises against it');
  }
  expect((await stack.as('agent/finance-bot').get(`/requests/${id}`)).body.state).toBe('approved');
  expect(await toldOf(id, 3)).toEqual([
    ['work', 'AgentAuth-Team', 'Legal', 'Security'],
    ['consultation', 'Legal'],
    ['consultation', 'Security'],
  ]);
  expect((await eventsAbout(id)).map(({ type }) => type)).toEqual([
    'consultation_begun',
    'consultation_answered',
  ]);
});

it('asks both teams about a change, and the answers stand beside it', async () => {
  const file = join(folder, 'rfc.json');
  await writeFile(file, JSON.stringify(anRfc()));
  const propose = ['change', 'propose', 'asked', file, '--reason', 'it is due', '--yes', '--json'];
  const { out } = await atb('heidi', ...propose);
  const { proposal_id: id } = JSON.parse(out) as { proposal_id: string };
  const { consultation_id: asked } = await askedAbout('leo', id);
  const answer = ['consultation', 'answer', String(asked), '--yes', '--reason', 'the tests are green'];
  expect((await atb('leo', ...answer)).exit).toBe(EXIT.done);
  expect((await atb('dave', 'proposal', 'show', id)).out).toContain(
    'AgentAuth-Team has nothing against it, by person/leo (engineer): the tests are green',
  );
  expect(await toldOf(id, 3)).toEqual([
    ['work', 'Platform-Ops'],
    ['consultation', 'AgentAuth-Team'],
    ['consultation', 'Broker-Team'],
  ]);
});

it('is not answered by a signal in the Temporal UI, which is recorded', async () => {
  const issued = await stack.as('agent/finance-bot').post('/issue', PAYMENT);
  const id = String(issued.body.request_id);
  const { consultation_id: asked } = await askedAbout('frank', id);
  const handle = (await stack.insider()).workflow.getHandle(consultationWorkflowId(String(asked)));
  await handle.signal('answerConsultation', { team: 'Legal', verdict: 'approve' });
  const [, rejected] = await eventually(
    () => eventsAbout(id),
    ({ length }) => length > 1,
  );
  expect(rejected).toMatchObject({
    type: 'consultation_signal_rejected',
    data: { consultation: asked, signal: 'answerConsultation' },
  });
  expect((await askedAbout('frank', id)).consultation_id).toBe(asked);
});

it('tells of it only to the teams that it concerns, and to Security; to agents nothing', async () => {
  const { body } = await stack.as('agent/finance-bot').post('/issue', PAYMENT);
  const { consultation_id: asked } = await askedAbout('frank', String(body.request_id));
  const path = `/consultations/${String(asked)}`;
  const unknown = { status: 404, body: { code: 'consultation_unknown' } };
  expect(await stack.as('person/kim').get(path)).toMatchObject(unknown);
  expect(await stack.as('agent/finance-bot').get(path)).toMatchObject(unknown);
  expect(await stack.as('agent/finance-bot').get('/consultations')).toMatchObject(unknown);
  expect(await stack.as('person/frank').get('/consultations/request.nothing.high')).toMatchObject(unknown);
  expect(await stack.as('person/frank').get('/consultations/..%2Fincident')).toMatchObject({ status: 404 });
  expect(await stack.nobody().get(path)).toMatchObject({ status: 401 });
  expect(await stack.as('person/carol').get(path)).toMatchObject({ status: 200 });
  expect(await stack.as('person/frank').post(`${path}/answers`, { statement: 'yes' })).toMatchObject({
    ...{ status: 400, body: { code: 'verdict_malformed' } },
  });
});
