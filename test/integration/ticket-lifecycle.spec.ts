import { RestTickets } from '../../adapters/ticket/rest-tickets';
import { readTicketSystem } from '../../adapters/ticket/ticket-system';
import type { PoaRequest } from '../../domain/mandate-request';
import { HttpsServer } from '../support/https-server';
import { Steps } from '../support/steps';
import { serviceNow } from '../support/ticket-products';
import type { ServiceNowChange } from '../support/ticket-products';
import { LEG } from '../support/http';

const EXPLORER = 'agent/explorer';
const BASIC = `Basic ${Buffer.from('atb:s3cret').toString('base64')}`;

/** A critical request on its way, beside a ServiceNow whose change somebody may touch meanwhile. */
describe('the ticket of a critical request (operating model §3)', () => {
  let server: HttpsServer;
  let steps: Steps;
  let change: ServiceNowChange;

  beforeEach(async () => {
    server = await HttpsServer.start();
    await server.file('password', 's3cret');
    const file = await server.file(
      'tickets.json',
      JSON.stringify({
        preset: 'servicenow',
        base_url: server.url,
        authentication: { type: 'basic', username: 'atb', password_file: 'password' },
        ca_file: 'ca.pem',
      }),
    );
    change = {
      number: 'CHG0030001',
      state: '-1',
      approval: 'approved',
      start_date: serviceNowTime(-3_600),
      end_date: serviceNowTime(3_600),
    };
    server.handler = serviceNow([change], BASIC);
    steps = await Steps.open({ tickets: new RestTickets(await readTicketSystem(file)) });
  });

  afterEach(async () => {
    await steps.close();
    await server.stop();
  });

  const rotation = (ticket = 'CHG0030001'): Promise<PoaRequest> =>
    steps.request(EXPLORER, {
      act: 'security.master_key.rotate',
      con: { params: { key_id: 'mk-1' }, limits: {} },
      leg: LEG,
      ticket,
    });

  const WRONG: readonly (readonly [string, Partial<ServiceNowChange>, string])[] = [
    ['was closed', { state: '3' }, 'ticket_not_open'],
    ['was cancelled', { state: '4' }, 'ticket_not_open'],
    ['is not approved any more', { approval: 'rejected' }, 'ticket_not_approved'],
    ['has a window that is over', { end_date: serviceNowTime(-1_800) }, 'ticket_outside_window'],
    ['has a window that has not begun', { start_date: serviceNowTime(1_800) }, 'ticket_outside_window'],
  ];

  it.each(WRONG)('stops it when it is asked, where the ticket %s', async (_, wrong, code) => {
    Object.assign(change, wrong);
    expect(await steps.activities.admitRequest(await rotation())).toMatchObject({
      effect: 'deny',
      code,
      reasons: [code],
    });
  });

  it('stops it when it is asked, where there is no such ticket', async () => {
    expect(await steps.activities.admitRequest(await rotation('CHG0099999'))).toMatchObject({
      code: 'ticket_not_open',
    });
  });

  /** Up to the release, which is not given yet. */
  async function approvedByTwo() {
    const request = await rotation();
    const assessment = await steps.admitted(request);
    const counted: string[] = [];
    for (const [person, role] of [
      ['person/bob', 'compliance'],
      ['person/dave', 'security_lead'],
    ] as const) {
      const statement = await steps.verdict(person, role, assessment);
      expect(await steps.activities.recordVerdict({ request, counted, statement })).toMatchObject({
        outcome: 'counted',
      });
      counted.push(statement);
    }
    const release = await steps.verdict('person/erin', 'ciso', assessment, { verdict: 'release' });
    return { request, counted, release };
  }

  it.each(WRONG)('stops the release, where the ticket %s meanwhile', async (_, wrong, code) => {
    const { request, counted, release } = await approvedByTwo();
    Object.assign(change, wrong);
    expect(await steps.activities.recordVerdict({ request, counted, statement: release })).toMatchObject({
      outcome: 'refused',
      code,
    });
  });

  it.each(WRONG)(
    'stops the mandate at collect, where the ticket %s after the release',
    async (_, wrong, code) => {
      const { request, counted, release } = await approvedByTwo();
      expect(await steps.activities.recordVerdict({ request, counted, statement: release })).toMatchObject({
        outcome: 'counted',
        effect: 'issue',
      });
      Object.assign(change, wrong);
      const collector = await steps.evidence(EXPLORER);
      const outcome = await steps.activities.issueMandate({
        request,
        statements: [...counted, release],
        collector,
      });
      expect(outcome).toMatchObject({ outcome: 'denied', denial: { code, reasons: [code] } });
    },
  );

  it('lets the mandate through where it is still good at collect', async () => {
    const { request, counted, release } = await approvedByTwo();
    await steps.activities.recordVerdict({ request, counted, statement: release });
    const collector = await steps.evidence(EXPLORER);
    expect(
      await steps.activities.issueMandate({ request, statements: [...counted, release], collector }),
    ).toMatchObject({ outcome: 'issued', tier: 'critical' });
  });

  it('waits, and issues nothing, while the ticket system is away at collect', async () => {
    const { request, counted, release } = await approvedByTwo();
    await steps.activities.recordVerdict({ request, counted, statement: release });
    server.handler = (_, response) => response.writeHead(503).end();
    const collector = await steps.evidence(EXPLORER);
    await expect(
      steps.activities.issueMandate({ request, statements: [...counted, release], collector }),
    ).rejects.toMatchObject({ type: 'ticket_system_unavailable', nonRetryable: false });
    server.handler = serviceNow([change], BASIC);
    expect(
      await steps.activities.issueMandate({ request, statements: [...counted, release], collector }),
    ).toMatchObject({ outcome: 'issued' });
  });
});

function serviceNowTime(fromNowSeconds: number): string {
  return new Date(Date.now() + fromNowSeconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}
