import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa } from '../../adapters/spiffe/development-ca';
import { Approver } from '../support/approver';
import { HttpCaller } from '../support/http';
import { answerJson, HttpsServer } from '../support/https-server';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';

const BUYER = 'spiffe://partner.example/agent/buyer';
const OLGA = 'spiffe://partner.example/person/olga';
const ORDER = { act: 'erp.order.create' };

describe.each([
  ['its agents and its approvers', { agents: true, approvers: true }],
  ['its agents, and no approvers', { agents: true, approvers: false }],
  ['its approvers, and no agents', { agents: false, approvers: true }],
])('a second trust domain of which policy lets in %s', (_, partner) => {
  let ca: DevelopmentCa;
  let bundles: HttpsServer;
  let stack: TestStack;
  const callers: HttpCaller[] = [];

  beforeAll(async () => {
    ca = await createDevelopmentCa('partner.example', 1);
    bundles = await HttpsServer.start();
    bundles.handler = (__, response) => {
      const x5c = [new X509Certificate(ca.certificatePem).raw.toString('base64')];
      answerJson(response, { keys: [{ kty: 'EC', use: 'x509-svid', x5c }] });
    };
    const endpoint = {
      ...{ trust_domain: 'partner.example', url: bundles.url, profile: 'https_web' },
      ca_file: join(bundles.directory, 'ca.pem'),
    };
    const ATB_FEDERATION_FILE = await bundles.file('f.json', JSON.stringify({ endpoints: [endpoint] }));
    const ATB_POLICY_DIR = await changedPolicy((data) => {
      data.identity.trust_domains['partner.example'] = partner;
      data.agents[BUYER] = {
        ...{ owner: 'spiffe://corp.example/person/alice', actions: ['erp.*'] },
        ...{ state: 'active', purposes: ['*'] },
      };
      data.directory.persons[OLGA] = { roles: ['compliance'], team: 'Legal', absent: [] };
    });
    stack = await TestStack.start({ ATB_FEDERATION_FILE, ATB_POLICY_DIR });
  }, 180_000);

  afterAll(async () => {
    for (const caller of callers) caller.close();
    await stack.stop();
    await bundles.stop();
  });

  /** Somebody with an SVID of the partner's, or one that the partner makes up. */
  async function foreigner(spiffeId: string) {
    const { chainPem, privateKeyPem } = await issueSvid(ca, { spiffeId, ttlHours: 1 });
    const [cert, key] = [join(bundles.directory, 'f.pem'), join(bundles.directory, 'f.key')];
    writeFileSync(cert, chainPem);
    writeFileSync(key, privateKeyPem);
    const caller = HttpCaller.fromFiles(stack.stack.agentauthUrl, stack.trustBundle, { cert, key });
    callers.push(caller);
    return { as: () => caller, identity: () => ({ cert, key }), caller };
  }

  it('answers its agents as policy says', async () => {
    const asked = await (await foreigner(BUYER)).caller.post('/issue', ORDER);
    if (!partner.agents) {
      expect(asked).toMatchObject({ status: 403, body: { code: 'agent_unknown' } });
      return;
    }
    expect(asked).toMatchObject({ status: 202, body: { agent: BUYER } });
    const id = String(asked.body.request_id);
    expect(await new Approver(stack, 'person/bob', 'compliance').give(id)).toMatchObject({ status: 200 });
    const buyer = await foreigner(BUYER);
    expect(await buyer.caller.post(`/requests/${id}/collect`)).toMatchObject({
      status: 200,
      body: { state: 'issued' },
    });
  });

  it('counts its approvers as policy says', async () => {
    const asked = await stack.as('agent/finance-bot').post('/issue', ORDER);
    const id = String(asked.body.request_id);
    // What is signed is what one of ours sees: whether it counts is the worker's to say.
    const digest = new Approver(stack, 'person/bob', 'compliance');
    const claims = JSON.parse(
      Buffer.from((await digest.sign(id)).split('.')[1] ?? '', 'base64url').toString(),
    ) as Parameters<Approver['signClaims']>[0];
    const olga = await foreigner(OLGA);
    const approver = new Approver(olga, OLGA, 'compliance');
    const answer = await approver.submit(id, await approver.signClaims(claims));
    const seen = await stack.as('agent/finance-bot').get(`/requests/${id}`);
    if (partner.approvers) {
      expect(answer.status).toBe(200);
      expect(seen.body).toMatchObject({ state: 'approved' });
    } else {
      expect(answer.status).toBeGreaterThanOrEqual(403);
      expect(seen.body).toMatchObject({ state: 'pending' });
    }
  });

  it('has an authority that speaks for nobody of ours (attack 25)', async () => {
    const forged = await foreigner('spiffe://corp.example/agent/finance-bot');
    expect(await forged.caller.post('/issue', ORDER)).toMatchObject({
      status: 401,
      body: { code: 'untrusted_svid' },
    });
  });
});
