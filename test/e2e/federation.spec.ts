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

const ORDER = { act: 'erp.order.create' };
const PARTNERS = {
  'both.example': { agents: true, approvers: true },
  'agents.example': { agents: true, approvers: false },
  'approvers.example': { agents: false, approvers: true },
} as const;
type Partner = keyof typeof PARTNERS;

const buyerOf = (partner: Partner) => `spiffe://${partner}/agent/buyer`;
const olgaOf = (partner: Partner) => `spiffe://${partner}/person/olga`;

const authorities = new Map<Partner, DevelopmentCa>();
let bundles: HttpsServer;
let stack: TestStack;
const callers: HttpCaller[] = [];

beforeAll(async () => {
  for (const partner of Object.keys(PARTNERS) as Partner[]) {
    authorities.set(partner, await createDevelopmentCa(partner, 1));
  }
  bundles = await HttpsServer.start();
  bundles.handler = ({ url }, response) => {
    const { certificatePem } = authorityOf(url.slice(1) as Partner);
    const x5c = [new X509Certificate(certificatePem).raw.toString('base64')];
    answerJson(response, { keys: [{ kty: 'EC', use: 'x509-svid', x5c }] });
  };
  const endpoints = Object.keys(PARTNERS).map((partner) => ({
    ...{ trust_domain: partner, url: `${bundles.url}/${partner}`, profile: 'https_web' },
    ca_file: join(bundles.directory, 'ca.pem'),
  }));
  const ATB_FEDERATION_FILE = await bundles.file('f.json', JSON.stringify({ endpoints }));
  const ATB_POLICY_DIR = await changedPolicy((data) => {
    for (const [name, may] of Object.entries(PARTNERS)) {
      const partner = name as Partner;
      data.identity.trust_domains[partner] = may;
      data.agents[buyerOf(partner)] = {
        ...{ owner: 'spiffe://corp.example/person/alice', actions: ['erp.*'] },
        ...{ state: 'active', purposes: ['*'] },
      };
      data.directory.persons[olgaOf(partner)] = { roles: ['compliance'], team: 'Legal', absent: [] };
    }
  });
  stack = await TestStack.start({ ATB_FEDERATION_FILE, ATB_POLICY_DIR });
});

afterAll(async () => {
  for (const caller of callers) caller.close();
  await stack.stop();
  await bundles.stop();
});

function authorityOf(partner: Partner): DevelopmentCa {
  const ca = authorities.get(partner);
  if (!ca) throw new Error(`${partner} is no partner`);
  return ca;
}

/** Somebody with an SVID of the partner's, or one that the partner makes up. */
async function foreigner(partner: Partner, spiffeId: string) {
  const { chainPem, privateKeyPem } = await issueSvid(authorityOf(partner), { spiffeId, ttlHours: 1 });
  const [cert, key] = [join(bundles.directory, 'f.pem'), join(bundles.directory, 'f.key')];
  writeFileSync(cert, chainPem);
  writeFileSync(key, privateKeyPem);
  const caller = HttpCaller.fromFiles(stack.stack.agentauthUrl, stack.trustBundle, { cert, key });
  callers.push(caller);
  return { as: () => caller, identity: () => ({ cert, key }), caller };
}

describe.each([
  ['its agents and its approvers', 'both.example'],
  ['its agents, and no approvers', 'agents.example'],
  ['its approvers, and no agents', 'approvers.example'],
] as const)('another trust domain of which policy lets in %s', (_, partner) => {
  const may = PARTNERS[partner];

  it('answers its agents as policy says', async () => {
    const asked = await (await foreigner(partner, buyerOf(partner))).caller.post('/issue', ORDER);
    if (!may.agents) {
      expect(asked).toMatchObject({ status: 403, body: { code: 'agent_unknown' } });
      return;
    }
    expect(asked).toMatchObject({ status: 202, body: { agent: buyerOf(partner) } });
    const id = String(asked.body.request_id);
    expect(await new Approver(stack, 'person/bob', 'compliance').give(id)).toMatchObject({ status: 200 });
    const buyer = await foreigner(partner, buyerOf(partner));
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
    const olga = await foreigner(partner, olgaOf(partner));
    const approver = new Approver(olga, olgaOf(partner), 'compliance');
    const answer = await approver.submit(id, await approver.signClaims(claims));
    const seen = await stack.as('agent/finance-bot').get(`/requests/${id}`);
    if (may.approvers) {
      expect(answer.status).toBe(200);
      expect(seen.body).toMatchObject({ state: 'approved' });
    } else {
      expect(answer.status).toBeGreaterThanOrEqual(403);
      expect(seen.body).toMatchObject({ state: 'pending' });
    }
  });

  it('has an authority that speaks for nobody of ours, or of another partner (attack 25)', async () => {
    const [other] = (Object.keys(PARTNERS) as Partner[]).filter((one) => one !== partner);
    for (const name of ['spiffe://corp.example/agent/finance-bot', buyerOf(other as Partner)]) {
      const forged = await foreigner(partner, name);
      expect(await forged.caller.post('/issue', ORDER)).toMatchObject({
        status: 401,
        body: { code: 'untrusted_svid' },
      });
    }
  });
});
