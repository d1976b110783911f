import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadMandateKeySet, writeNewMandateKeySet } from '../../adapters/jose/mandate-keys';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { ProcessRecord } from '../../apps/process-record';
import { MemoryLedger } from '../support/memory-ledger';

const ISSUER = 'spiffe://corp.example/agentauth';

let folder: string;
let ledger: MemoryLedger;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-record-'));
  ledger = new MemoryLedger();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A worker's start with the keys of a file; answers the events of its keys, in order. */
async function started(keySetFile: string) {
  const { signer, jwks } = await loadMandateKeySet(keySetFile);
  const verifying = jwks.keys.map(({ kid }) => kid).filter((kid) => kid !== signer.kid);
  const record = new ProcessRecord(await WasmPolicy.load('policy/dist'), ledger, {
    ...{ process: 'worker', actor: ISSUER, configuration: {} },
    keys: { active: signer.kid, verifying },
  });
  await record.close();
  const events = await ledger.events({ type: 'signing_keys_loaded', limit: 10 });
  return { jwks, kid: signer.kid, told: events.map(({ data }) => data) };
}

it('a rotation of the signing keys is told: the new one signs, the old one only verifies', async () => {
  const first = await started(await writeNewMandateKeySet(join(folder, 'first')));
  expect(first.told).toEqual([{ active: first.kid, verifying: [] }]);

  const file = await writeNewMandateKeySet(join(folder, 'second'));
  const { keys } = JSON.parse(await readFile(file, 'utf8')) as { keys: object[] };
  const [publicJwk] = first.jwks.keys;
  const both = [...keys, { kid: first.kid, status: 'verify_only', public_jwk: publicJwk }];
  await writeFile(file, JSON.stringify({ keys: both }));
  const second = await started(file);
  expect(second.kid).not.toBe(first.kid);
  expect(second.told).toEqual([
    { active: first.kid, verifying: [] },
    { active: second.kid, verifying: [first.kid] },
  ]);
});
