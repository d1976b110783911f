import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { signDpopProof } from '../../adapters/jose/dpop';
import type { MandateClaims } from '../../domain/mandate';
import { TestBroker } from '../support/broker';
import type { Answer, HttpCaller } from '../support/http';

const HOP = 'spiffe://corp.example/gateway/edge';

let test: TestBroker;
let nobody: HttpCaller;

beforeAll(async () => {
  test = await TestBroker.start({ environment: { ATB_TRUSTED_PROXIES: HOP } });
  nobody = test.callerWith(undefined);
});
afterAll(() => test.stop());
beforeEach(() => {
  test.seen.length = 0;
});

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** A mandate that is bound to a key, as AgentAuth issues it to an agent that came with a token. */
async function boundTo(key: KeyObject, changes: Partial<MandateClaims> = {}): Promise<string> {
  const jkt = await calculateJwkThumbprint(createPublicKey(key).export({ format: 'jwk' }));
  return test.mint({ cnf: { jkt }, ...changes });
}

interface ProofChanges {
  readonly method?: string;
  readonly url?: string;
  readonly token?: string;
  readonly now?: Date;
  readonly jti?: string;
}

function proofOf(key: KeyObject, mandate: string, changes: ProofChanges = {}): Promise<string> {
  const { jti = randomBytes(16).toString('base64url'), ...expected } = changes;
  return signDpopProof(
    key,
    {
      method: 'POST',
      url: `${test.broker.url}/c/erp/payments`,
      token: mandate,
      now: new Date(),
      ...expected,
    },
    jti,
  );
}

const pay = (mandate: string, proof: string, caller = nobody): Promise<Answer> =>
  test.pay(mandate, { caller, headers: { dpop: proof } });

describe('a mandate that is bound to a key (RFC 9449)', () => {
  it('is redeemed with a proof by that key, over a connection of nobody', async () => {
    const key = newKey();
    const claims = await test.claims();
    const mandate = await boundTo(key, claims);
    const bound = await boundTo(key, { req: claims.req });
    expect(await pay(bound, await proofOf(key, bound))).toMatchObject({ status: 200 });
    expect(test.seen).toHaveLength(1);
    expect(test.seen[0]?.headers).not.toHaveProperty('dpop');
    expect(await test.recorded(claims.req, 'poa_redeemed')).toMatchObject({
      actor: claims.sub,
      data: { caller: claims.sub },
    });
    // The claims' own confirmation, a certificate, is another binding: no proof stands in for it.
    expect(await pay(mandate, await proofOf(key, mandate))).toMatchObject({
      status: 400,
      body: { code: 'credentials_ambiguous' },
    });
  });

  it('may come over the connection of its own agent, or of a hop that is trusted for it, and of nobody else', async () => {
    const key = newKey();
    for (const [caller, answer] of [
      [await test.caller(), { status: 200 }],
      [await test.caller(HOP), { status: 200 }],
      [
        await test.caller('spiffe://corp.example/agent/crm-assistant'),
        { status: 403, body: { code: 'agent_mismatch' } },
      ],
      [await test.caller(`${HOP}/`.replace(/\/$/, '2')), { status: 403, body: { code: 'agent_mismatch' } }],
    ] as const) {
      const mandate = await boundTo(key);
      expect(await pay(mandate, await proofOf(key, mandate), caller)).toMatchObject(answer);
    }
    expect(test.seen).toHaveLength(2);
    const redeemed = (await test.events('poa_redeemed')).at(-1);
    expect(redeemed?.data).toMatchObject({ caller: HOP });
  });

  const wrong: readonly [string, (key: KeyObject, mandate: string) => Promise<string>][] = [
    ['by another key', (_, mandate) => proofOf(newKey(), mandate)],
    ['for another method', (key, mandate) => proofOf(key, mandate, { method: 'PUT' })],
    [
      'for another path',
      (key, mandate) => proofOf(key, mandate, { url: `${test.broker.url}/c/erp/contacts` }),
    ],
    [
      'for another connector',
      (key, mandate) => proofOf(key, mandate, { url: `${test.broker.url}/c/crm/payments` }),
    ],
    [
      'for another host',
      (key, mandate) => proofOf(key, mandate, { url: 'https://evil.example/c/erp/payments' }),
    ],
    ['over another mandate', async (key) => proofOf(key, await boundTo(key))],
    ['that is too old', (key, mandate) => proofOf(key, mandate, { now: new Date(Date.now() - 120_000) })],
    ['from the future', (key, mandate) => proofOf(key, mandate, { now: new Date(Date.now() + 120_000) })],
    ['with a guessable id', (key, mandate) => proofOf(key, mandate, { jti: '1' })],
    ['that is none', () => Promise.resolve('nonsense')],
    [
      'whose signature does not verify',
      async (key, mandate) => {
        const [header = '', claims = ''] = (await proofOf(key, mandate)).split('.');
        return `${header}.${claims}.${randomBytes(64).toString('base64url')}`;
      },
    ],
  ];
  it.each(wrong)('is refused with a proof %s, and not used up by it (attack 39)', async (_, make) => {
    const key = newKey();
    const mandate = await boundTo(key);
    expect(await pay(mandate, await make(key, mandate))).toMatchObject({
      status: 401,
      body: { code: 'dpop_proof_invalid' },
    });
    expect(test.seen).toHaveLength(0);
    expect(await pay(mandate, await proofOf(key, mandate))).toMatchObject({ status: 200 });
  });

  it('is refused without an ath, without a proof, and with two', async () => {
    const key = newKey();
    const mandate = await boundTo(key);
    const proof = await proofOf(key, mandate);
    const noToken = { method: 'POST', url: `${test.broker.url}/c/erp/payments`, now: new Date() };
    const withoutAth = await signDpopProof(key, noToken, randomBytes(16).toString('base64url'));
    expect(await pay(mandate, withoutAth)).toMatchObject({
      status: 401,
      body: { code: 'dpop_proof_invalid' },
    });
    expect(await test.pay(mandate)).toMatchObject({ status: 401, body: { code: 'dpop_proof_invalid' } });
    expect(await test.pay(mandate, { caller: nobody })).toMatchObject({
      status: 401,
      body: { code: 'certificate_missing' },
    });
    const twice =
      `POST /c/erp/payments HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: PoA ${mandate}\r\n` +
      `dpop: ${proof}\r\ndpop: ${proof}\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{"amount":100}`;
    expect(await test.raw(twice)).toContain('"code":"parameter_ambiguous"');
    expect(test.seen).toHaveLength(0);
  });

  it('takes each proof once, in all brokers together, also where the mandate was given back', async () => {
    const other = await test.another();
    const elsewhere = test.callerWith(undefined, other.url);
    const key = newKey();
    const mandate = await boundTo(key);
    const proof = await proofOf(key, mandate, { url: `${test.broker.url}/c/erp/payments` });
    const answers = await Promise.all(Array.from({ length: 20 }, () => pay(mandate, proof)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(
      answers.filter(({ status, body }) => status === 409 && body.code === 'proof_replayed'),
    ).toHaveLength(19);
    await test.sql('update redemption set given_back_at = now() where uses = 1');
    expect(await pay(mandate, proof)).toMatchObject({ body: { code: 'proof_replayed' } });
    // The other broker has another URL here; a proof for it is one more proof, of a mandate that was used.
    const there = await proofOf(key, mandate, { url: `${other.url}/c/erp/payments` });
    expect((await pay(mandate, there, elsewhere)).status).toBe(200);
    expect(await pay(mandate, await proofOf(key, mandate))).toMatchObject({
      body: { code: 'poa_single_use_replay_blocked' },
    });
    expect(test.seen).toHaveLength(2);
  });

  it('does not believe the Host of a call', async () => {
    const key = newKey();
    const mandate = await boundTo(key);
    const proof = await proofOf(key, mandate, { url: 'https://evil.example/c/erp/payments' });
    const call =
      `POST /c/erp/payments HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\nauthorization: PoA ${mandate}\r\n` +
      `dpop: ${proof}\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{"amount":100}`;
    expect(await test.raw(call)).toContain('"code":"dpop_proof_invalid"');
    expect(test.seen).toHaveLength(0);
  });
});
