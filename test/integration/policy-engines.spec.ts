import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openUnverifiedBundle, packBundle } from '../../adapters/opa/bundle';
import { policyCases } from '../../adapters/opa/policy-cases';
import type { PolicyCase } from '../../adapters/opa/policy-cases';
import { SidecarPolicy } from '../../adapters/opa/sidecar-policy';
import { startSidecar } from '../../adapters/opa/sidecar-server';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { obtainExecutable } from '../../adapters/process/executable';
import type { ServerProcess } from '../../adapters/process/server-process';
import { isJsonObject } from '../../domain/json';
import type { PolicyChange } from '../../domain/ports';
import { aDelivery, aPolicyKey, builtPolicy, signedBundle } from '../support/policy-bundle';
import { eventually } from '../support/eventually';
import { freePort } from '../support/database';

const BOB = 'spiffe://corp.example/person/bob';
const AT_ONCE = 8;
const key = aPolicyKey();
const token = randomBytes(24).toString('hex');
let executable: string;
let port: number;
let delivery: Awaited<ReturnType<typeof aDelivery>>;
let server: ServerProcess;
let sidecar: SidecarPolicy;

const url = () => `http://127.0.0.1:${port}`;
const started = () =>
  startSidecar({ ...delivery, bundle: delivery.served, executable, keyId: 'policy', token, port });
const connected = (settings: Partial<Parameters<typeof SidecarPolicy.connect>[0]> = {}) =>
  SidecarPolicy.connect({
    ...{ url: url(), token, timeoutMs: 30_000, pollSeconds: 1, mayDecide: () => true },
    ...settings,
  });

beforeAll(async () => {
  executable = await obtainExecutable('opa');
  port = await freePort();
  delivery = await aDelivery(key, await signedBundle(key));
  server = await started();
  sidecar = await connected();
});

afterAll(async () => {
  sidecar.close();
  await server.stop();
  await delivery.close();
  await rm(delivery.folder, { recursive: true, force: true });
});

describe('the same policy in two engines', () => {
  const raw = async (path: string, input: unknown): Promise<unknown> => {
    const answer = await fetch(`${url()}/v1/data/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input }),
    });
    expect(answer.status).toBe(200);
    return ((await answer.json()) as { result?: unknown }).result;
  };
  const compared = async (cases: readonly PolicyCase[]): Promise<string[]> => {
    const wasm = await WasmPolicy.of(openUnverifiedBundle(await signedBundle(key)));
    const different: string[] = [];
    const left = [...cases];
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let next = left.pop(); next; next = left.pop()) {
          const embedded = wasm.evaluate(next.input, 'atb/poa/decision');
          const asked = await raw('atb/poa/decision', next.input);
          if (!sameJson(embedded, asked)) different.push(next.name);
        }
      }),
    );
    return different;
  };

  it('decides every action of the catalogue alike, by every agent in every situation', async () => {
    const { data } = await builtPolicy();
    const cases = policyCases(data);
    expect(cases.length).toBeGreaterThan(2_000);
    expect(await compared(cases)).toEqual([]);
  }, 900_000);

  it('decides every case of the Rego tests alike', async () => {
    const cases = regoCases(executable);
    expect(cases.length).toBeGreaterThan(2);
    expect(await compared(cases)).toEqual([]);
  });

  it('knows the same people and agents', async () => {
    const { data } = await builtPolicy();
    const wasm = await WasmPolicy.of(openUnverifiedBundle(await signedBundle(key)));
    const { persons } = data.directory as { persons: object };
    for (const id of [...Object.keys(persons), 'spiffe://corp.example/agent/finance-bot', 'nobody', '']) {
      expect(await sidecar.principal(id)).toEqual(await wasm.principal(id));
    }
  });

  it('names the same revision, which is the digest of the bundle', async () => {
    expect(sidecar.revision).toBe(packBundle(await builtPolicy()).revision);
  });
});

describe("the sidecar's own API", () => {
  const call = (method: string, path: string, authorization?: string, body = '{}') =>
    fetch(`${url()}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(authorization !== undefined && { authorization }) },
      ...(method !== 'GET' && { body }),
    });
  const secret = `Bearer ${token}`;

  it.each([
    ['PUT', '/v1/policies/evil'],
    ['DELETE', '/v1/policies/atb/poa.rego'],
    ['PUT', '/v1/data/directory/persons/mallory'],
    ['PATCH', '/v1/data/tiers'],
    ['DELETE', '/v1/data/velocity'],
    ['GET', '/v1/data/directory'],
    ['POST', '/v1/data'],
    ['GET', '/v1/config'],
    ['POST', '/v1/query'],
    ['POST', '/v1/compile'],
    ['POST', '/'],
  ])('takes no %s %s, with the token or without (attack 44)', async (method, path) => {
    for (const authorization of [undefined, 'Bearer wrong', secret]) {
      expect((await call(method, path, authorization)).status).toBe(401);
    }
    expect((await sidecar.principal(BOB)).known).toBe(true);
  });

  it('answers no question without the token (attack 44)', async () => {
    for (const authorization of [
      undefined,
      'Bearer ',
      `Bearer ${token} `,
      `Basic ${token}`,
      `Bearer ${token}x`,
    ]) {
      const answer = await call('POST', '/v1/data/atb/directory/principal', authorization, '{"input":{}}');
      if (authorization === `Bearer ${token} `) continue; // HTTP trims the blank.
      expect(answer.status).toBe(401);
    }
    await expect(connected({ token: 'x'.repeat(40) })).rejects.toMatchObject({ code: 'policy_unavailable' });
  });

  it('is not asked over plain HTTP on another host (attack 16)', async () => {
    for (const elsewhere of [
      'http://opa.corp.example:8181',
      'http://10.0.0.7:8181',
      'http://127.0.0.1.evil.example',
      'ftp://127.0.0.1',
      'opa',
    ]) {
      await expect(connected({ url: elsewhere })).rejects.toMatchObject({ code: 'configuration_invalid' });
    }
  });
});

describe('a sidecar that changes, or goes away', () => {
  it('takes a new signed bundle by itself, and no step mixes two revisions', async () => {
    const changes: PolicyChange[] = [];
    const unhear = sidecar.onChange((change) => changes.push(change));
    const before = sidecar.revision;
    const step = sidecar.snapshot();
    await step.principal(BOB);
    await delivery.deliver(await signedBundle(key, { collect_within_seconds: 901 }));
    await until(() => sidecar.revision !== before);
    expect(changes).toEqual([{ change: 'loaded', revision: sidecar.revision, previous: before }]);
    await expect(step.principal(BOB)).rejects.toMatchObject({ code: 'policy_unavailable' });
    expect((await sidecar.snapshot().principal(BOB)).known).toBe(true);
    unhear();
  });

  it('keeps the last good bundle where the next one is signed by somebody else', async () => {
    const before = sidecar.revision;
    await delivery.deliver(await signedBundle(aPolicyKey(), { collect_within_seconds: 902 }));
    await sleep(4_000);
    expect((await sidecar.principal(BOB)).known).toBe(true);
    expect(sidecar.revision).toBe(before);
    await delivery.deliver(await signedBundle(key));
    await until(() => sidecar.revision !== before);
  });

  it('decides nothing by a policy that may not decide, and says so once', async () => {
    const ours = sidecar.revision;
    const guarded = await connected({ mayDecide: (revision) => revision === ours });
    const changes: PolicyChange[] = [];
    guarded.onChange((change) => changes.push(change));
    expect((await guarded.principal(BOB)).known).toBe(true);
    await delivery.deliver(await signedBundle(key, { collect_within_seconds: 903 }));
    await until(() => changes.length > 0 && sidecar.revision !== ours);
    const step = guarded.snapshot();
    await expect(guarded.principal(BOB)).rejects.toMatchObject({ code: 'policy_unavailable' });
    await expect(step.principal(BOB)).rejects.toMatchObject({ code: 'policy_unavailable' });
    expect(changes).toEqual([
      {
        ...{ change: 'refused', revision: ours, code: 'policy_not_approved' },
        reason: `OPA answers by policy ${sidecar.revision}, which was not approved`,
      },
    ]);
    await expect(connected({ mayDecide: () => false })).rejects.toMatchObject({ code: 'policy_unavailable' });
    await delivery.deliver(await signedBundle(key));
    await until(async () => (await guarded.principal(BOB)).known);
    guarded.close();
  });

  it('gives no decision while it is away, fails fast after a few, and recovers by itself', async () => {
    await server.stop();
    const unavailable = { code: 'policy_unavailable' };
    // By a clock that stands still: a slow machine makes no pause.
    const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now());
    try {
      for (let calls = 0; calls < 6; calls++)
        await expect(sidecar.principal(BOB)).rejects.toMatchObject(unavailable);
      // Nobody is asked any more.
      await expect(sidecar.principal(BOB)).rejects.toMatchObject({
        ...unavailable,
        cause: { isBrokenCircuitError: true },
      });
    } finally {
      clock.mockRestore();
    }
    server = await started();
    await until(async () => (await sidecar.principal(BOB)).known);
  });

  it('is out of reach where it is slower than allowed', async () => {
    const slow = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((listening) => slow.listen(0, '127.0.0.1', listening));
    const { port: slowPort } = slow.address() as AddressInfo;
    // It would never answer.
    await expect(connected({ url: `http://127.0.0.1:${slowPort}`, timeoutMs: 100 })).rejects.toMatchObject({
      code: 'policy_unavailable',
    });
    slow.close();
  });

  it('starts with no bundle that is altered, and nothing answers then', async () => {
    const bad = await aDelivery(key, packBundle(await builtPolicy()).bytes);
    const other = await freePort();
    const starting = startSidecar({
      ...bad,
      bundle: { file: bad.bundleFile },
      // Its server is up well before.
      healthyWithinMs: 12_000,
      executable,
      keyId: 'policy',
      token,
      port: other,
    });
    void starting.catch(() => undefined);
    await until(() => fetch(`http://127.0.0.1:${other}/health`).then(() => true));
    await expect(connected({ url: `http://127.0.0.1:${other}` })).rejects.toMatchObject({
      code: 'policy_unavailable',
    });
    await expect(starting).rejects.toMatchObject({ code: 'configuration_invalid' });
    await bad.close();
    await rm(bad.folder, { recursive: true, force: true });
  });

  it('is what opa itself verifies and runs: every file of the bundle is signed', async () => {
    const file = join(delivery.folder, 'verified.tar.gz');
    await writeFile(file, await signedBundle(key));
    const built = execFileSync(
      executable,
      [
        'build',
        '--bundle',
        file,
        '--verification-key',
        delivery.publicKeyFile,
        '--verification-key-id',
        'policy',
        '--signing-alg',
        'ES256',
        '-o',
        join(delivery.folder, 'out.tar.gz'),
      ],
      { encoding: 'utf8', stdio: 'pipe' },
    );
    expect(built).toBe('');
  });
});

/** The inputs that the Rego tests are made of: every document of a test package that has the form of a question. */
function regoCases(opa: string): PolicyCase[] {
  const output = execFileSync(
    opa,
    ['eval', '--format', 'json', '-d', 'policy/atb', '-d', 'policy/dist/data.json', 'data.atb'],
    {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  const { result } = JSON.parse(output) as {
    result: [{ expressions: [{ value: Record<string, unknown> }] }];
  };
  const cases: PolicyCase[] = [];
  const walk = (name: string, value: unknown): void => {
    if (Array.isArray(value)) for (const [index, item] of value.entries()) walk(`${name}[${index}]`, item);
    if (!isJsonObject(value)) return;
    if ('subject' in value && 'action' in value && 'context' in value) cases.push({ name, input: value });
    else for (const [member, child] of Object.entries(value)) walk(`${name}.${member}`, child);
  };
  for (const [name, document] of Object.entries(result[0].expressions[0].value)) {
    if (name.endsWith('_test')) walk(name, document);
  }
  return cases;
}

function sameJson(left: unknown, right: unknown): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, index) => sameJson(item, right[index]));
  }
  if (!isJsonObject(left) || !isJsonObject(right)) return left === right;
  const names = Object.keys(left);
  return (
    names.length === Object.keys(right).length &&
    names.every((name) => Object.hasOwn(right, name) && sameJson(left[name], right[name]))
  );
}

const until = (holds: () => boolean | Promise<boolean>) =>
  eventually(
    async () => Promise.resolve(holds()).catch(() => false),
    (held) => held,
  );
