import { randomBytes } from 'node:crypto';
import { openSignedRequest, signRequest } from '../../adapters/jose/signed-request';
import { createDevelopmentCa } from '../../adapters/spiffe/development-ca';
import type { IdentityEvidence, PoaRequest } from '../../domain/mandate-request';
import { collectPath, ISSUE_PATH } from '../../domain/signed-request';
import type { SignedRequestClaims } from '../../domain/signed-request';
import { ORDER, WorkerSteps } from '../support/worker-steps';
import type { Credential } from '../support/worker-steps';
import { wellGrounded } from '../support/http';

/** Policy's data here: from medium on an agent signs. */
const SIGNING_TIERS = ['medium', 'high', 'critical'];
const READ = { act: 'crm.contact.read', con: { params: { contact_id: 'C-42' } } };

let steps: WorkerSteps;
let bot: Credential;

beforeEach(async () => {
  steps = await WorkerSteps.open((data) => {
    data.identity.signed_request_tiers = SIGNING_TIERS;
  });
  bot = await steps.credential('agent/finance-bot');
});
afterEach(() => steps.close());

const claims = (changes: Partial<SignedRequestClaims> = {}): SignedRequestClaims => ({
  aud: 'spiffe://corp.example/agentauth',
  method: 'POST',
  path: ISSUE_PATH,
  body: { act: ORDER.act },
  iat: Math.floor(steps.now.getTime() / 1000),
  jti: randomBytes(16).toString('base64url'),
  ...changes,
});

async function evidence(
  changes: Partial<SignedRequestClaims> = {},
  by: Credential = bot,
): Promise<IdentityEvidence> {
  const { body, ...rest } = claims(changes);
  const path = changes.path ?? ISSUE_PATH;
  const whole = (path === ISSUE_PATH ? wellGrounded(body) : body) as typeof body;
  const statement = await signRequest(by.key, by.chain, { ...rest, body: whole });
  return { kind: 'signed_request', statement, presentedAt: claims().iat };
}

async function requested(proof: IdentityEvidence): Promise<PoaRequest> {
  return { ...(await steps.requestOf(ORDER)), evidence: proof };
}

const admit = async (proof: IdentityEvidence) => steps.activities.admitRequest(await requested(proof));
const denied = (code: string): unknown => expect.objectContaining({ effect: 'deny', code });

describe('a signed request', () => {
  it('is admitted, and the mandate is bound to the certificate whose key signed', async () => {
    const request = await requested(await evidence());
    const admission = await steps.activities.admitRequest(request);
    if (admission.effect === 'deny') throw new Error(admission.code);
    const asked = { request, assessment: admission.assessment };
    const statements = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const collector = await evidence({ path: collectPath(request.requestId), body: {} });
    const outcome = await steps.activities.issueMandate({ request, statements, collector });
    if (outcome.outcome !== 'issued') throw new Error(JSON.stringify(outcome));
    expect((await steps.ports.mandates.open(outcome.mandate)).sub).toBe(
      'spiffe://corp.example/agent/finance-bot',
    );
  });

  it('fills in what it leaves out as an unsigned one does', async () => {
    const request = await steps.requestOf({ by: 'crm-assistant', act: READ.act, params: READ.con.params });
    const by = await steps.credential('agent/crm-assistant');
    const outcome = await steps.activities.issueAtOnce({
      ...request,
      evidence: await evidence({ body: READ }, by),
    });
    expect(outcome.issuance).toMatchObject({ outcome: 'issued' });
  });

  it('says that policy wants one', async () => {
    const asked = await requested(await evidence());
    const admission = await steps.activities.admitRequest(asked);
    expect(admission).toMatchObject({ assessment: { requirement: { signedRequest: true } } });
  });
});

describe('a compromised AgentAuth, with the chain of a real agent, cannot invent a request:', () => {
  it('without a signature', async () => {
    expect(await steps.activities.issueAtOnce(await steps.requestOf(ORDER))).toEqual({
      admission: denied('signed_request_required'),
      issuance: null,
    });
  });

  it('with a signature that came before', async () => {
    const replayed = await evidence();
    expect(await admit(replayed)).toMatchObject({ effect: 'require' });
    expect(await admit(replayed)).toEqual(denied('proof_replayed'));
  });

  it('not even with two at the same instant', async () => {
    const replayed = await evidence();
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => admit(replayed)));
    expect(outcomes.filter(({ effect }) => effect === 'require')).toHaveLength(1);
  });

  it.each([
    ['another action', { act: 'erp.order.cancel' }],
    ['another parameter', { act: ORDER.act, con: { params: { amount: 1 } } }],
    ['an approver', { act: ORDER.act, approvers: ['spiffe://corp.example/person/bob'] }],
    ['a longer life', { act: ORDER.act, ttl_seconds: 300 }],
  ])('with %s than was signed', async (_, body) => {
    expect(await admit(await evidence({ body }))).toEqual(denied('signed_request_mismatch'));
  });

  it('with a field that the worker does not know', async () => {
    expect(await admit(await evidence({ body: { act: ORDER.act, dry_run: true } }))).toEqual(
      denied('unknown_field'),
    );
  });

  it.each([
    ['another AgentAuth', { aud: 'spiffe://other.example/agentauth' }],
    ['another call', { path: '/plan' }],
  ])('with one that was signed for %s', async (_, changes) => {
    expect(await admit(await evidence(changes))).toEqual(denied('signed_request_mismatch'));
  });

  it('with one that was signed too long ago, or in the future', async () => {
    // The certificate is older than the oldest of these.
    steps.later(1_000);
    const now = claims().iat;
    expect(await admit(await evidence({ iat: now - 301 }))).toEqual(denied('signed_request_stale'));
    expect(await admit(await evidence({ iat: now + 11 }))).toEqual(denied('signed_request_stale'));
    expect(await admit(await evidence({ iat: now - 299 }))).toMatchObject({ effect: 'require' });
  });

  it('with a certificate of its own making', async () => {
    const ca = await createDevelopmentCa('corp.example', 1);
    const by = await steps.newCredential('spiffe://corp.example/agent/finance-bot', {}, ca);
    expect(await admit(await evidence({}, by))).toEqual(denied('untrusted_svid'));
  });

  it("with a signature by somebody else's key under the agent's chain", async () => {
    const [header = '', payload = ''] = (await signRequest(bot.key, bot.chain, claims())).split('.');
    const other = await steps.credential('agent/explorer');
    const [, , signature = ''] = (await signRequest(other.key, other.chain, claims())).split('.');
    const proof: IdentityEvidence = {
      kind: 'signed_request',
      statement: `${header}.${payload}.${signature}`,
      presentedAt: claims().iat,
    };
    expect(await admit(proof)).toEqual(denied('signed_request_invalid'));
  });

  it('with the certificate alone when it collects, or with what was signed for asking', async () => {
    const asking = await evidence();
    const request = await requested(asking);
    const admission = await steps.activities.admitRequest(request);
    if (admission.effect === 'deny') throw new Error(admission.code);
    const asked = { request, assessment: admission.assessment };
    const statements = await steps.counted(asked, await steps.statement(asked, 'bob', 'compliance'));
    const collect = (collector: IdentityEvidence) =>
      steps.activities.issueMandate({ request, statements, collector });
    expect(await collect(steps.evidence(bot.chain))).toMatchObject({ code: 'signed_request_required' });
    expect(await collect(asking)).toMatchObject({ code: 'signed_request_mismatch' });
    const another = await evidence({ path: collectPath('another-request'), body: {} });
    expect(await collect(another)).toMatchObject({ code: 'signed_request_mismatch' });
    expect((await steps.ledger.recordOf(request.requestId)).mandate).toBeNull();
  });

  it('and a request that was recorded is not too old when it is looked at again', async () => {
    const request = await requested(await evidence());
    await steps.activities.admitRequest(request);
    steps.later(3_600);
    expect(await steps.activities.admitRequest(request)).toMatchObject({ effect: 'require' });
  });
});

describe('the form of a signed request', () => {
  it('is read back as it was signed', async () => {
    const said = claims();
    expect(openSignedRequest(await signRequest(bot.key, bot.chain, said)).claims).toEqual(said);
  });

  it.each([
    ['no body', { body: undefined }],
    ['a body that is a list', { body: [] }],
    ['another method', { method: 'GET' }],
    ['a path with dots', { path: '/requests/../issue' }],
    ['no audience', { aud: '' }],
    ['a short jti', { jti: 'x' }],
    ['a time as text', { iat: '1' }],
    ['a claim that does not belong there', { admin: true }],
  ])('with %s is not even signed', async (_, changes) => {
    const wrong = JSON.parse(JSON.stringify({ ...claims(), ...changes })) as SignedRequestClaims;
    await expect(signRequest(bot.key, bot.chain, wrong)).rejects.toMatchObject({
      code: 'signed_request_malformed',
    });
  });

  it("is refused for a key that is not the certificate's", async () => {
    const other = await steps.credential('agent/explorer');
    await expect(signRequest(other.key, bot.chain, claims())).rejects.toMatchObject({
      code: 'configuration_invalid',
    });
  });

  it.each(['', 'a.b', 'a.b.c', '...', 'x'.repeat(70_000)])('refuses %.20s', (text) => {
    expect(() => openSignedRequest(text)).toThrow(
      expect.objectContaining({ code: 'signed_request_malformed' }) as Error,
    );
  });
});
