import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reportIncident } from '../../apps/incident-report';
import { issueSvid } from '../../adapters/spiffe/development-ca';
import type { IncidentMatter } from '../../domain/incident';
import { incidentId } from '../../domain/incident-digest';
import { incidentSightedSignal, incidentWorkflowId } from '../../workflows/contract';
import { HttpCaller } from '../support/http';
import type { Answer } from '../support/http';
import { incidentWord, openingWord } from '../support/incident-word';
import type { Speaker } from '../support/incident-word';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

let stack: TestStack;
let alertmanager: HttpCaller;

beforeAll(async () => {
  stack = await TestStack.start();
  const ca = {
    trustDomain: 'corp.example',
    certificatePem: readFileSync(stack.trustBundle, 'utf8'),
    privateKeyPem: readFileSync(join(stack.directory, 'ca-key.pem'), 'utf8'),
  };
  const spiffeId = 'spiffe://corp.example/alertmanager';
  const { chainPem, privateKeyPem } = await issueSvid(ca, { spiffeId, ttlHours: 1 });
  const identity = { cert: chainPem, key: privateKeyPem };
  alertmanager = new HttpCaller(stack.stack.agentauthUrl, ca.certificatePem, identity);
});

afterAll(async () => {
  alertmanager.close();
  await stack.stop();
});

/** As Alertmanager sends it, version 4. */
const message = (changes: Record<string, unknown> = {}) => ({
  version: '4',
  groupKey: '{}:{alertname="ATBSecurityPolicyDenialSpike"}',
  truncatedAlerts: 0,
  status: 'firing',
  receiver: 'atb',
  groupLabels: { alertname: 'ATBSecurityPolicyDenialSpike' },
  commonLabels: { alertname: 'ATBSecurityPolicyDenialSpike', severity: 'critical' },
  commonAnnotations: {},
  externalURL: 'http://alertmanager.corp.example',
  alerts: [
    {
      status: 'firing',
      labels: { alertname: 'ATBSecurityPolicyDenialSpike' },
      annotations: {},
      startsAt: '2026-11-26T05:00:00Z',
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: '',
      fingerprint: 'c2e1b6a0f3d4e5a6',
    },
  ],
  ...changes,
});

/** Another alert of the same group. */
const alertAgain = (groupKey: string) =>
  message({ groupKey, alerts: message().alerts.map((one) => ({ ...one, fingerprint: 'another' })) });

const speaker = (name: string, role: string): Speaker => {
  const { cert, key } = stack.identity(name);
  const chain = [new X509Certificate(readFileSync(cert)).raw];
  return { key: createPrivateKey(readFileSync(key)), chain, role, at: new Date() };
};

async function say(
  { body }: Answer,
  name: string,
  role: string,
  step: string,
  changes: Parameters<typeof incidentWord>[3] = {},
): Promise<Answer> {
  const id = String(body.incident_id);
  const of = { id, openedAt: Number(body.opened_at_seconds) };
  const statement = await incidentWord(speaker(name, role), of, step, changes);
  return stack.as(name).post(`/incidents/${id}/words`, { statement, about: changes.about ?? null });
}

it('goes from an alert over a signed acknowledgement to its review, and the log proves all of it', async () => {
  const opened = await alertmanager.post('/incidents/alerts', message());
  expect(opened).toMatchObject({ status: 202, body: { severity: 'P1', state: 'open', count: 1 } });
  // Sent again, replayed or not, it is the same incident, and counts no more.
  expect(await alertmanager.post('/incidents/alerts', message())).toMatchObject({
    status: 202,
    body: { incident_id: opened.body.incident_id, count: 1 },
  });

  // The first rung is told beside the answer.
  await eventually(
    () => stack.as('person/dave').get(`/incidents/${String(opened.body.incident_id)}`),
    ({ body }) => (body.told as readonly string[]).includes('on_call'),
  );
  const refused = await say(opened, 'person/alice', 'on_call', 'acknowledge');
  expect(refused).toMatchObject({ status: 403, body: { code: 'verdict_role_not_held' } });
  expect(await say(opened, 'person/carol', 'on_call', 'acknowledge')).toMatchObject({
    status: 200,
    body: { state: 'acknowledged' },
  });
  const listed = await eventually(
    () => stack.as('person/dave').get('/incidents'),
    ({ body }) => (body.incidents as readonly unknown[]).length > 0,
  );
  expect(listed.body).toMatchObject({ incidents: [{ state: 'acknowledged', told: ['on_call'] }] });
  const asked = await say(opened, 'person/carol', 'security', 'follow_up');
  const [about = ''] = asked.body.open_follow_ups as string[];
  expect(await say(opened, 'person/carol', 'security', 'resolve')).toMatchObject({ status: 200 });
  expect(await say(opened, 'person/dave', 'security_lead', 'review')).toMatchObject({
    status: 409,
    body: { code: 'incident_not_due' },
  });
  expect(await say(opened, 'person/carol', 'security', 'follow_up_close', { about })).toMatchObject({
    status: 200,
    body: { open_follow_ups: [] },
  });
  expect(await say(opened, 'person/dave', 'security_lead', 'review')).toMatchObject({
    status: 200,
    body: { state: 'closed' },
  });
  const events = await (await stack.ledger()).events({ limit: 1_000 });
  const told = events.filter(({ data }) => data.incident === opened.body.incident_id);
  expect(told.map(({ type }) => type)).toEqual([
    ...['incident_opened', 'incident_escalated', 'incident_word_refused'],
    ...['incident_word_recorded', 'incident_word_recorded', 'incident_word_recorded'],
    ...['incident_word_refused', 'incident_word_recorded', 'incident_word_recorded', 'incident_closed'],
  ]);
});

it('is opened by a person with a signed word, and joined by whoever reports the same', async () => {
  const matter: IncidentMatter = { kind: 'manual', cause: 'the ERP answers strangers', severity: 'P2' };
  const open = async (name: string, role: string) =>
    stack
      .as(name)
      .post('/incidents', { ...matter, statement: await openingWord(speaker(name, role), matter) });
  const first = await open('person/grace', 'platform_ops');
  expect(first).toMatchObject({
    status: 201,
    body: { severity: 'P2', opened_by: 'spiffe://corp.example/person/grace' },
  });
  expect(await open('person/heidi', 'team_lead')).toMatchObject({
    status: 201,
    body: { incident_id: first.body.incident_id, count: 2 },
  });
});

it('refuses alerts of anybody but the reporters of policy, and of nobody', async () => {
  for (const caller of [stack.as('agent/finance-bot'), stack.as('person/carol')]) {
    expect(await caller.post('/incidents/alerts', message({ groupKey: 'forged' }))).toMatchObject({
      status: 403,
      body: { code: 'incident_reporter_unknown' },
    });
  }
  expect(await stack.nobody().post('/incidents/alerts', message())).toMatchObject({ status: 401 });
  expect(await stack.as('agent/finance-bot').get('/incidents')).toMatchObject({ status: 403 });
});

it.each([
  ['of another version', { version: '3' }],
  ['without a group', { groupKey: '' }],
  ['without alerts', { alerts: 'none' }],
  ['with an alert that is none', { alerts: [1] }],
  ['with a name that is none', { groupLabels: { alertname: '../..' } }],
])('refuses a message %s', async (_, changes) => {
  expect(await alertmanager.post('/incidents/alerts', message(changes))).toMatchObject({
    status: 400,
    body: { code: 'incident_malformed' },
  });
});

it.each([
  ['the gravest label of its group', 'ATBAuditEventsUnrecorded', ['P3', 'P1'], 'P1'],
  ['its label', 'ATBProcessDown', ['P2'], 'P2'],
  ['policy says of any, where its label is of another scale', 'DiskFull', ['critical'], 'P3'],
  ['policy says of its kind, whatever its label', 'ATBSecurityPolicyDenialSpike', ['P4'], 'P1'],
])('is as grave as %s: %s', async (_, alertname, severities, expected) => {
  const [alert] = message().alerts;
  const alerts = severities.map((severity) => ({
    ...alert,
    ...{ labels: { alertname, severity }, fingerprint: severity },
  }));
  // What is over is not grave any more.
  const over = { ...alert, status: 'resolved', labels: { alertname, severity: 'P1' }, fingerprint: 'over' };
  const group = { groupKey: `as grave as ${alertname}`, groupLabels: { alertname }, commonLabels: {} };
  const opened = await alertmanager.post(
    '/incidents/alerts',
    message({ ...group, alerts: [...alerts, over] }),
  );
  expect(opened).toMatchObject({ status: 202, body: { kind: alertname, severity: expected, state: 'open' } });
  const [recorded] = (await (await stack.ledger()).events({ type: 'incident_opened', limit: 100 })).filter(
    ({ data }) => data.incident === opened.body.incident_id,
  );
  expect(recorded?.data.severity).toBe(expected);
});

it('opens nothing for what is over', async () => {
  const [alert] = message().alerts;
  const over = message({ groupKey: 'over', status: 'resolved', alerts: [{ ...alert, status: 'resolved' }] });
  expect(await alertmanager.post('/incidents/alerts', over)).toMatchObject({
    status: 202,
    body: { incident_id: null },
  });
});

it('is neither acknowledged nor counted by bare signals, which are recorded, and after a while not heard', async () => {
  const opened = await alertmanager.post('/incidents/alerts', message({ groupKey: 'noise' }));
  const id = String(opened.body.incident_id);
  const handle = (await stack.insider()).workflow.getHandle(incidentWorkflowId(id));
  const signal = (name: string) => handle.signal(name, { sightings: ['forged'] });
  await signal('acknowledge');
  for (let from = 0; from < 1_500; from += 100) {
    await Promise.all(Array.from({ length: 100 }, () => signal(incidentSightedSignal.name)));
  }
  // The server calls a workflow busy that so much comes to.
  const acknowledged = await eventually(
    () => say(opened, 'person/carol', 'on_call', 'acknowledge'),
    ({ status }) => status !== 429 && status !== 503,
    500,
  );
  expect(acknowledged).toMatchObject({ status: 200, body: { state: 'acknowledged', count: 1 } });
  // What is sealed by us still counts.
  expect(await alertmanager.post('/incidents/alerts', alertAgain('noise'))).toMatchObject({
    body: { incident_id: id, count: 2 },
  });
  const events = await (await stack.ledger()).events({ type: 'incident_signal_rejected', limit: 1_000 });
  const rejected = events.filter(({ data }) => data.incident === id);
  expect(rejected.slice(0, 2).map(({ data }) => data.signal)).toEqual(['acknowledge', 'incidentSighted']);
  // Twenty each, then at each doubling, and the thousandth.
  expect(rejected).toHaveLength(26);
});

describe('what the audit log tells', () => {
  const BOT = 'spiffe://corp.example/agent/finance-bot';
  const CAUSE = { kind: 'mandate_replayed', cause: `agent ${BOT}`, severity: null };
  const issue = async (agent: string) =>
    (await stack.as(agent).post('/issue', { act: 'erp.order.list', con: { params: {} } })).body;

  it('opens one incident for a burst of replays, and suspends the agent until somebody lifts that', async () => {
    const { mandate } = await issue('agent/finance-bot');
    const identity = stack.identity('agent/finance-bot');
    const broker = HttpCaller.fromFiles(stack.stack.brokerUrl, stack.trustBundle, identity);
    const headers = { authorization: `PoA ${mandate as string}` };
    const codes = [];
    for (let n = 0; n < 7; n++) {
      codes.push((await broker.send('GET', '/c/erp/orders', undefined, headers)).body.code);
    }
    broker.close();
    expect(codes).toEqual([undefined, ...Array.from({ length: 6 }, () => 'poa_single_use_replay_blocked')]);

    const id = incidentId(CAUSE);
    const shown = await eventually(
      () => stack.as('person/carol').get(`/incidents/${id}`),
      ({ body }) => body.count === 6 && body.severity !== null,
    );
    expect(shown.body).toMatchObject({
      ...{ kind: 'mandate_replayed', severity: 'P1', state: 'open' },
      containments: [{ scope: 'agent', value: BOT, by: null, lifted_at: null }],
    });
    expect(await issue('agent/finance-bot')).toMatchObject({ code: 'stopped' });
    expect((await issue('agent/explorer')).state).toBe('issued');

    const freed = await say(shown, 'person/carol', 'security', 'lift', { about: `agent:${BOT}` });
    expect(freed.body).toMatchObject({
      containments: [{ lifted_by: 'spiffe://corp.example/person/carol' }],
    });
    expect((await issue('agent/finance-bot')).state).toBe('issued');
    const events = await (await stack.ledger()).events({ limit: 1_000 });
    const told = events.filter(({ type, data }) => data.incident === id && /opened|stop/.test(type));
    expect(told.map(({ type }) => type)).toEqual(['incident_opened', 'poa_stopped', 'poa_stop_lifted']);
    expect(told[0]?.data).toMatchObject({ source: 'audit', severity: 'P1' });
  });

  it('is read by the worker itself: who has only the keys of AgentAuth opens and stops nothing by it', async () => {
    const client = await stack.sealedClient();
    const hr = 'spiffe://corp.example/agent/hr-helper';
    const matter = { ...CAUSE, cause: `agent ${hr}` };
    const id = await reportIncident(
      client,
      { matter, reporter: { source: 'audit', events: ['redemption/a/refused', 'redemption/b/refused'] } },
      ['a'],
    );
    const shown = await eventually(
      () => stack.as('person/carol').get(`/incidents/${id}`),
      ({ body }) => body.state === 'refused',
    );
    expect(shown.body).toMatchObject({ reasons: ['incident_reporter_unknown'], containments: [] });
    expect((await issue('agent/hr-helper')).code).not.toBe('stopped');
  });
});
