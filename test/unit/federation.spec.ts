import { createDevelopmentCa } from '../../adapters/spiffe/development-ca';
import { ORDER, WorkerSteps } from '../support/worker-steps';

const PARTNER = 'spiffe://partner.example/agent/buyer';

let steps: WorkerSteps | undefined;
afterEach(() => steps?.close());

/** A worker whose bundles are those of both trust domains; policy says what partner.example may. */
async function federated(partner: { agents: boolean; approvers: boolean } | undefined) {
  const ca = await createDevelopmentCa('partner.example', 30);
  steps = await WorkerSteps.open(
    (data) => {
      if (partner) data.identity.trust_domains['partner.example'] = partner;
      data.agents[PARTNER] = {
        owner: 'spiffe://corp.example/person/alice',
        actions: ['erp.*'],
        state: 'active',
        purposes: ['*'],
      };
      data.directory.persons['spiffe://partner.example/person/olga'] = {
        roles: ['compliance'],
        team: 'Legal',
      };
    },
    [ca],
  );
  return { steps, ca };
}

async function askedByPartner({ steps: worker, ca }: Awaited<ReturnType<typeof federated>>) {
  const { chain } = await worker.newCredential(PARTNER, {}, ca);
  return { ...(await worker.requestOf(ORDER)), evidence: worker.evidence(chain) };
}

describe('a second trust domain', () => {
  it('has agents that may ask where policy says so', async () => {
    const both = await federated({ agents: true, approvers: false });
    expect(await both.steps.activities.admitRequest(await askedByPartner(both))).toMatchObject({
      effect: 'require',
      assessment: { agent: PARTNER },
    });
  });

  it.each([undefined, { agents: false, approvers: true }])(
    'has none where policy says %p',
    async (partner) => {
      const both = await federated(partner);
      expect(await both.steps.activities.admitRequest(await askedByPartner(both))).toMatchObject({
        effect: 'deny',
        code: 'agent_unknown',
      });
    },
  );

  it.each([
    [true, 'counted'],
    [false, 'refused'],
  ])('has approvers where policy says so: %p', async (approvers, outcome) => {
    const both = await federated({ agents: true, approvers });
    const asked = await both.steps.ask(ORDER);
    const olga = await both.steps.newCredential('spiffe://partner.example/person/olga', {}, both.ca);
    const statement = await both.steps.signAs(olga, asked, 'compliance');
    expect(await both.steps.record(asked, statement)).toMatchObject({ outcome });
  });

  it('has an authority that speaks for nobody of ours (attack 25)', async () => {
    const both = await federated({ agents: true, approvers: true });
    const forged = await both.steps.newCredential('spiffe://corp.example/agent/finance-bot', {}, both.ca);
    const request = { ...(await both.steps.requestOf(ORDER)), evidence: both.steps.evidence(forged.chain) };
    expect(await both.steps.activities.admitRequest(request)).toMatchObject({ code: 'untrusted_svid' });
  });
});
