import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { HttpCaller } from '../support/http';
import { incidentWord } from '../support/incident-word';
import { Approver } from '../support/approver';
import { eventually, found } from '../support/eventually';
import { INJECTIONS } from '../support/guardrail-texts';
import { lengthenLadders, policyWithClocks, withBreakGlass } from '../support/policy';
import { TestStack } from '../support/stack';
import { incidentWorkflowId, poaRequestWorkflowId } from '../../workflows/contract';

/** As policy has it: policy/data/incidents.json. */
const REJECTED_SIGNALS = 20;

/** For each of many rungs: a request that waits outlives every look at it, and glass may be broken within a test. */
const RUNG_SECONDS = 8;

let stack: TestStack;

beforeAll(async () => {
  stack = await TestStack.start({
    ATB_POLICY_DIR: await policyWithClocks(RUNG_SECONDS, 600, (data) => {
      withBreakGlass(data, ['grace', 'carol']);
      lengthenLadders(data);
      const { prompt_injection: kind } = data.incidents.kinds;
      if (kind) kind.contain = ['connector', 'tier'];
    }),
  });
});

afterAll(() => stack.stop());

const finance = () => stack.as('agent/finance-bot');

const incidentsOf = async (kind: string) => {
  const { body } = await stack.as('person/dave').get('/incidents');
  return (body.incidents as Record<string, unknown>[]).filter((one) => one.kind === kind);
};

const opened = (kind: string) =>
  found(async () => (await incidentsOf(kind)).find(({ severity }) => severity !== null));

const openingOf = async (incident: Record<string, unknown>) => {
  const events = await (await stack.ledger()).events({ type: 'incident_opened', limit: 100 });
  return events.find(({ data }) => data.incident === incident.incident_id)?.data;
};

describe('what the audit log really tells opens an incident (operating model §5)', () => {
  it('an injection that a guardrail confirmed: P1, of that agent', async () => {
    const [order = ''] = INJECTIONS;
    const issued = await stack
      .as('agent/crm-assistant')
      .post('/issue', { act: 'crm.contact.read', con: { params: { contact_id: order } } });
    const identity = stack.identity('agent/crm-assistant');
    const broker = HttpCaller.fromFiles(stack.stack.brokerUrl, stack.trustBundle, identity);
    const path = `/c/crm/contacts/${encodeURIComponent(order)}`;
    const answer = await broker.send('GET', path, undefined, {
      authorization: `PoA ${String(issued.body.mandate)}`,
    });
    broker.close();
    expect(answer).toMatchObject({ status: 403, body: { code: 'guardrail_blocked' } });
    const incident = await opened('prompt_injection');
    expect(incident).toMatchObject({
      ...{ severity: 'P1', state: 'open', count: 1 },
      cause: 'agent spiffe://corp.example/agent/crm-assistant',
    });
    expect(await openingOf(incident)).toMatchObject({ source: 'audit', severity: 'P1' });
    // What policy says of the kind is stopped at once, recorded, and has its way back.
    expect(incident).toMatchObject({
      containments: [
        { scope: 'connector', value: 'crm', by: null, lifted_at: null },
        { scope: 'tier', value: 'low', by: null, lifted_at: null },
      ],
    });
    const low = () =>
      stack
        .as('agent/explorer')
        .post('/issue', { act: 'crm.contact.read', con: { params: { contact_id: '7' } } });
    expect((await low()).body).toMatchObject({ code: 'stopped' });
    for (const about of ['connector:crm', 'tier:low']) {
      const id = String(incident.incident_id);
      const { cert, key } = stack.identity('person/dave');
      const dave = {
        key: createPrivateKey(readFileSync(key)),
        chain: [new X509Certificate(readFileSync(cert)).raw],
        ...{ role: 'security_lead', at: new Date() },
      };
      const of = { id, openedAt: Number(incident.opened_at_seconds) };
      const statement = await incidentWord(dave, of, 'lift', { about });
      const lifted = await stack.as('person/dave').post(`/incidents/${id}/words`, { statement, about });
      expect(lifted).toMatchObject({ status: 200 });
    }
    expect((await low()).body).toMatchObject({ state: 'issued' });
    const stops = (await (await stack.ledger()).events({ limit: 1_000 })).filter(
      ({ data, type }) => data.incident === incident.incident_id && /^poa_stop/.test(type),
    );
    expect(stops.map(({ type, data }) => `${type} ${data.scope as string}`)).toEqual([
      ...['poa_stopped connector', 'poa_stopped tier'],
      ...['poa_stop_lifted connector', 'poa_stop_lifted tier'],
    ]);
  });

  it('signals that nobody may send: P2, not one of them, but so many', async () => {
    const asked = await finance().post('/issue', { act: 'sap.payment.execute' });
    const id = String(asked.body.request_id);
    const noise = (await stack.insider()).workflow.getHandle(poaRequestWorkflowId(id));
    const rejected = async () =>
      (await stack.auditTypes(id)).filter((type) => type === 'poa_signal_rejected').length;
    for (let sent = 0; sent < REJECTED_SIGNALS - 1; sent++) await noise.signal('verdict', `junk ${sent}`);
    await eventually(rejected, (count) => count === REJECTED_SIGNALS - 1);
    // Longer than the log is read in.
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    expect(await incidentsOf('signals_rejected')).toEqual([]);
    await noise.signal('verdict', 'one more');
    const incident = await opened('signals_rejected');
    expect(incident).toMatchObject({ severity: 'P2', state: 'open', count: REJECTED_SIGNALS });
    expect(await openingOf(incident)).toMatchObject({ source: 'audit' });
    await finance().post(`/requests/${id}/withdraw`);
  });

  it('glass that was broken: P2, for each request', async () => {
    const asked = await finance().post('/issue', { act: 'sap.payment.execute' });
    const id = String(asked.body.request_id);
    await eventually(
      () => stack.as('person/grace').get('/approvals'),
      ({ body }) => JSON.stringify(body).includes(id),
    );
    for (const name of ['grace', 'carol']) {
      const glass = new Approver(stack, `person/${name}`, 'break_glass');
      expect((await glass.give(id, { reason: 'nobody answers' })).status).toBe(200);
    }
    const incident = await opened('break_glass');
    expect(incident).toMatchObject({ severity: 'P2', state: 'open', count: 1, cause: `request ${id}` });
    expect(await openingOf(incident)).toMatchObject({ source: 'audit' });
    expect(await incidentsOf('break_glass')).toHaveLength(1);
  });

  it('an incident whose workflow somebody ended, so that it calls nobody any more: P1', async () => {
    const silenced = await opened('break_glass');
    const id = String(silenced.incident_id);
    await (await stack.insider()).workflow.getHandle(incidentWorkflowId(id)).terminate('nothing to see');
    const incident = await opened('incident_silenced');
    expect(incident).toMatchObject({ severity: 'P1', state: 'open', count: 1 });
    expect(await openingOf(incident)).toMatchObject({ source: 'audit' });
    const lost = await (await stack.ledger()).events({ type: 'incident_workflow_lost', limit: 10 });
    expect(lost).toEqual([
      expect.objectContaining({
        reasons: ['workflow_terminated'],
        data: { incident: id, kind: 'break_glass', opened_at: silenced.opened_at_seconds },
      }),
    ]);
  });
});
