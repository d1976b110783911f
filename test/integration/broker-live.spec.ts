import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MandateClaims } from '../../domain/mandate';
import { TestBroker } from '../support/broker';

const CRM = 'spiffe://corp.example/agent/crm-assistant';

let test: TestBroker;
let folder: string;
let secret: unknown = 'from-vault';
const asked: { readonly url: string | undefined; readonly token: unknown }[] = [];
const vault = createServer((request, response) => {
  asked.push({ url: request.url, token: request.headers['x-vault-token'] });
  response.end(JSON.stringify({ data: { data: { key: secret } } }));
});

beforeAll(async () => {
  await new Promise<void>((listening) => vault.listen(0, '127.0.0.1', listening));
  folder = await mkdtemp(join(tmpdir(), 'atb-vault-'));
  await writeFile(join(folder, 'token'), 'vault-token\n');
  const { port } = vault.address() as AddressInfo;
  const inVault = (path: string) => ({
    vault: { url: `http://127.0.0.1:${port}`, path, field: 'key', token_file: join(folder, 'token') },
  });
  test = await TestBroker.start({
    connectors: (erp) => {
      const withCredential = (id: string, from: object) => ({
        ...{ ...erp, id },
        credentials: [{ header: 'X-Api-Key', from }],
      });
      return [
        erp,
        { ...erp, id: 'closed', state: 'closed' },
        { ...erp, id: 'draft', state: 'draft' },
        withCredential('environment', { environment: 'ATB_CREDENTIAL_TEST' }),
        withCredential('unset', { environment: 'ATB_CREDENTIAL_UNSET' }),
        withCredential('vault', inVault('kv/data/erp')),
        withCredential('empty', inVault('kv/data/nothing')),
      ];
    },
  });
});
afterAll(async () => {
  await test.stop();
  vault.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  test.seen.length = 0;
});

describe('policy is asked once more, with what is true now', () => {
  const CHANGED = { tier: 'critical' } as const;
  it.each<[string, string, Partial<MandateClaims>, string?]>([
    ['was approved at a lower tier than it has now', 'tier_raised', { tier: 'medium' }],
    ['is on a connector that was closed', 'connector_closed', {}, 'closed'],
    ['is on a connector that is not in service yet', 'connector_closed', {}, 'draft'],
    ['is of an agent that may not do it any more', 'agent_not_allowed', { sub: CRM }],
    ['is of an agent that nobody knows any more', 'agent_unknown', { sub: `${CRM}-gone` }],
    [
      'is above a limit of its own',
      'param_out_of_range',
      { con: { params: { amount: 100 }, limits: { payment_limit: 99 } } },
    ],
    [
      'has a limit that is wider than policy’s',
      'limit_wider',
      { con: { params: { amount: 100 }, limits: { payment_limit: 1e9 } } },
    ],
    ['stands on a ticket that was closed', 'ticket_not_open', { ...CHANGED, leg: { ticket: 'CHG-2' } }],
    ['stands on a ticket that there is not', 'ticket_not_open', { ...CHANGED, leg: { ticket: 'CHG-9' } }],
  ])('a mandate that %s is refused, and not used up', async (_, code, changes, connector = 'erp') => {
    const { leg } = await test.claims();
    const claims = await test.claims({ ...changes, leg: { ...leg, ...changes.leg } });
    const caller = await test.caller(claims.sub);
    const mandate = await test.keys.signer.sign(claims);
    const answer = await test.pay(mandate, { caller, connector });
    expect(answer.status).toBe(403);
    expect([answer.body.code, ...((answer.body.reasons ?? []) as string[])]).toContain(code);
    const event = await test.recorded(claims.req, 'poa_redemption_refused');
    expect(event.reasons).toContain(code);
    expect(test.seen).toEqual([]);
    expect((await test.events('poa_redeemed')).filter(({ requestId }) => requestId === claims.req)).toEqual(
      [],
    );
  });
});

describe('the credential of a connector', () => {
  it.each([
    ['environment', 'from-environment'],
    ['vault', 'from-vault'],
  ])('comes from the %s, and reaches nobody but the system', async (connector, key) => {
    const answer = await test.pay(await test.mint(), { connector });
    expect(answer.status).toBe(200);
    expect(test.seen[0]?.headers['x-api-key']).toBe(key);
    expect(JSON.stringify([answer, await test.events()])).not.toContain(key);
    if (connector === 'vault') expect(asked).toEqual([{ url: '/v1/kv/data/erp', token: 'vault-token' }]);
  });

  it.each(['unset', 'empty'])(
    'that is not to be had (%s) lets nothing out, and gives the mandate back',
    async (connector) => {
      secret = undefined;
      const claims = await test.claims();
      const answer = await test.pay(await test.keys.signer.sign(claims), { connector });
      expect(answer).toMatchObject({ status: 503, body: { code: 'credential_unavailable' } });
      expect((await test.recorded(claims.req, 'poa_given_back')).data).toMatchObject({ jti: claims.jti });
      expect(test.seen).toEqual([]);
    },
  );
});
