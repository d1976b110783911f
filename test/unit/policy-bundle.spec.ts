import { gunzipSync, gzipSync } from 'node:zlib';
import { rm, writeFile } from 'node:fs/promises';
import { createTar, parseTar } from 'nanotar';
import { Registry } from 'prom-client';
import { openBundle, openUnverifiedBundle, packBundle, signBundle } from '../../adapters/opa/bundle';
import type { BundleSource } from '../../adapters/opa/bundle';
import { BundlePolicy } from '../../adapters/opa/bundle-policy';
import { openPolicy } from '../../apps/policy';
import { AtbError } from '../../domain/error';
import type { PolicyChange } from '../../domain/ports';
import { eventually } from '../support/eventually';
import { aDelivery, aPolicyKey, builtPolicy, signedBundle } from '../support/policy-bundle';

const key = aPolicyKey();
let source: BundleSource;
let signed: Buffer;

beforeAll(async () => {
  source = await builtPolicy();
  signed = await signedBundle(key);
});

interface Entry {
  name: string;
  data?: Uint8Array;
}

/** The bundle with its entries changed by somebody who does not have the key. */
function altered(change: (entries: Entry[]) => Entry[]): Buffer {
  const entries = parseTar<never, { metaOnly: false }>(gunzipSync(signed));
  return gzipSync(
    createTar(change(entries.map(({ name, data }) => ({ name, data: data ?? new Uint8Array() })))),
  );
}

const named = (entries: Entry[], name: string) => entries.find((entry) => entry.name === name)!;
const text = (value: string) => new TextEncoder().encode(value);
const refusedWith = (message: RegExp) => ({
  code: 'policy_bundle_refused',
  message: expect.stringMatching(message),
});

describe('a policy bundle', () => {
  it('has the same bytes whenever it is made of the same', () => {
    expect(packBundle(source)).toEqual(packBundle(structuredClone(source)));
  });

  it('has another revision for other data, and for other rules', () => {
    const { revision } = packBundle(source);
    expect(revision).toMatch(/^[0-9a-f]{16}$/);
    expect(packBundle({ ...source, data: { ...source.data, more: 1 } }).revision).not.toBe(revision);
    expect(packBundle({ ...source, wasm: Buffer.from('other') }).revision).not.toBe(revision);
    expect(packBundle({ ...source, rego: {} }).revision).not.toBe(revision);
  });

  it('opens with the key that signed it, and gives back what it was made of', async () => {
    const bundle = await openBundle(signed, key.publicPem);
    expect(bundle.revision).toBe(packBundle(source).revision);
    expect(bundle.data).toEqual({ ...source.data, revision: bundle.revision });
    expect(Buffer.compare(bundle.wasm, source.wasm)).toBe(0);
  });

  it('is refused unsigned', async () => {
    const { bytes } = packBundle(source);
    expect(openUnverifiedBundle(bytes).revision).toBe(packBundle(source).revision);
    await expect(openBundle(bytes, key.publicPem)).rejects.toMatchObject(refusedWith(/is not signed/));
  });

  it('is refused when another key signed it, also in place of the first signature', async () => {
    const other = aPolicyKey();
    await expect(openBundle(signed, other.publicPem)).rejects.toMatchObject(refusedWith(/another key/));
    const again = await signBundle(signed, { privateKey: other.privateKey, keyId: 'policy' });
    await expect(openBundle(again, key.publicPem)).rejects.toMatchObject(refusedWith(/another key/));
    expect(await openBundle(again, other.publicPem)).toMatchObject({
      data: { catalogue: expect.anything() },
    });
  });

  it.each<[string, (entries: Entry[]) => Entry[], RegExp]>([
    [
      'a file is changed',
      (entries) => {
        const rego = named(entries, 'atb/poa.rego');
        rego.data = Buffer.concat([rego.data!, text('\n')]);
        return entries;
      },
      /another atb\/poa.rego/,
    ],
    [
      'data is changed',
      (entries) => {
        const data = named(entries, 'data.json');
        data.data = text(Buffer.from(data.data!).toString().replace('"low"', '"lo"'));
        return entries;
      },
      /another data.json/,
    ],
    [
      'a file is added',
      (entries) => [...entries, { name: '/atb/more.rego', data: text('package atb') }],
      /not signed/,
    ],
    [
      'a file is missing',
      (entries) => entries.filter(({ name }) => name !== 'atb/poa.rego'),
      /lacks atb\/poa.rego/,
    ],
    ['a file comes twice', (entries) => [...entries, named(entries, 'policy.wasm')], /twice/],
    [
      'a file comes twice under two spellings',
      (entries) => [...entries, { ...named(entries, 'data.json'), name: '//data.json' }],
      /twice/,
    ],
    [
      'a name climbs out',
      (entries) => [...entries, { name: '/../x', data: text('x') }],
      /not signed|doubtful/,
    ],
    [
      'the signature file is empty',
      (entries) => {
        named(entries, '.signatures.json').data = text('{"signatures":[]}');
        return entries;
      },
      /exactly one signature/,
    ],
    [
      'the signature is none',
      (entries) => {
        // {"alg":"none"}, over the very digests that were signed.
        const file = named(entries, '.signatures.json');
        const { signatures } = JSON.parse(Buffer.from(file.data!).toString()) as { signatures: string[] };
        const payload = signatures[0]!.split('.')[1]!;
        file.data = text(JSON.stringify({ signatures: [`eyJhbGciOiJub25lIn0.${payload}.`] }));
        return entries;
      },
      /another key/,
    ],
  ])('is refused where %s', async (_, change, message) => {
    await expect(openBundle(altered(change), key.publicPem)).rejects.toMatchObject(refusedWith(message));
  });

  it.each([Buffer.from(''), Buffer.from('no gzip'), gzipSync(Buffer.from('no tar'))])(
    'is refused as %p',
    async (bytes) => {
      await expect(openBundle(bytes, key.publicPem)).rejects.toMatchObject({ code: 'policy_bundle_refused' });
    },
  );

  it('is refused with a revision that is not the digest of its content, whoever signed', async () => {
    const entries = parseTar<never, { metaOnly: false }>(gunzipSync(signed)).map(({ name, data }) => ({
      name,
      data:
        name === 'data.json' || name === '.manifest'
          ? text(
              Buffer.from(data!)
                .toString()
                .replaceAll(/"revision":"[0-9a-f]{16}"/g, '"revision":"0123456789abcdef"'),
            )
          : data!,
    }));
    const forged = await signBundle(gzipSync(createTar(entries)), {
      privateKey: key.privateKey,
      keyId: 'policy',
    });
    await expect(openBundle(forged, key.publicPem)).rejects.toMatchObject(
      refusedWith(/digest of its content/),
    );
  });
});

describe('the policy from a bundle', () => {
  const ALICE = 'spiffe://corp.example/person/alice';
  /** Alice leaves the company. */
  const without = async (): Promise<Buffer> => {
    const directory = structuredClone(source.data.directory) as { persons: Record<string, unknown> };
    Reflect.deleteProperty(directory.persons, ALICE);
    return signedBundle(key, { directory } as never);
  };
  const opened = async (pollSeconds = 3600) => {
    const delivery = await aDelivery(key, signed);
    const policy = await BundlePolicy.open({ ...delivery, pollSeconds });
    const changes: PolicyChange[] = [];
    policy.onChange((change) => changes.push(change));
    const changed = async (count: number) => {
      await eventually(
        () => changes,
        ({ length }) => length >= count,
        50,
      );
      expect(changes).toHaveLength(count);
    };
    return { delivery, policy, changes, changed, [Symbol.asyncDispose]: () => policy.close() };
  };

  it('is taken anew without a restart, and a step that began goes on with the one it began with', async () => {
    const { delivery, policy, changes, changed } = await opened();
    const step = policy.snapshot();
    const previous = policy.revision;
    await delivery.deliver(await without());
    await changed(1);
    expect(changes).toEqual([{ change: 'loaded', revision: policy.revision, previous }]);
    expect((await policy.principal(ALICE)).known).toBe(false);
    expect((await step.principal(ALICE)).known).toBe(true);
    expect([step.revision, policy.snapshot().revision]).toEqual([previous, policy.revision]);
    await policy.close();
  });

  it.each<[string, () => Promise<Buffer> | Buffer]>([
    ['unsigned', () => packBundle(source).bytes],
    ['signed by somebody else', () => signedBundle(aPolicyKey())],
    ['cut off', () => signed.subarray(0, signed.length / 2)],
    [
      'no policy',
      async () =>
        signBundle(packBundle({ ...source, wasm: Buffer.from('no wasm') }).bytes, {
          privateKey: key.privateKey,
          keyId: 'policy',
        }),
    ],
  ])(
    'stays the last good one when the next is %s, says so once, and takes the next good one',
    async (_, bad) => {
      const { delivery, policy, changes, changed } = await opened(1);
      const { revision } = policy;
      await delivery.deliver(await bad());
      await changed(1);
      expect(changes[0]).toMatchObject({ change: 'refused', revision });
      expect((await policy.principal(ALICE)).known).toBe(true);
      await new Promise((go) => setTimeout(go, 1_200));
      expect(changes).toHaveLength(1);
      await delivery.deliver(await without());
      await changed(2);
      expect(changes[1]).toMatchObject({ change: 'loaded', previous: revision });
      await policy.close();
    },
  );

  it('stays when the file goes away', async () => {
    const { delivery, policy, changes, changed } = await opened();
    await rm(delivery.bundleFile);
    await changed(1);
    expect(changes[0]).toMatchObject({ change: 'refused', revision: policy.revision });
    expect((await policy.principal(ALICE)).known).toBe(true);
    await policy.close();
  });

  it('does not trust another public key that is put in the place of the first', async () => {
    const { delivery, policy, changes, changed } = await opened();
    const other = aPolicyKey();
    await writeFile(delivery.publicKeyFile, other.publicPem);
    await delivery.deliver(await signedBundle(other, { x: 1 }));
    await changed(1);
    expect(changes[0]).toMatchObject({ change: 'refused' });
    await policy.close();
  });

  it('is not there at a start without a good one (attack 2)', async () => {
    const unsigned = await aDelivery(key, packBundle(source).bytes);
    const missing = { ...unsigned, bundleFile: `${unsigned.bundleFile}.none` };
    const keyless = { ...(await aDelivery(key, signed)), publicKeyFile: unsigned.bundleFile };
    for (const files of [unsigned, missing, keyless]) {
      await expect(BundlePolicy.open({ ...files, pollSeconds: 1 })).rejects.toMatchObject({
        code: 'configuration_invalid',
      });
    }
  });

  it('waits at a start for the store of approvals, and for nothing that was decided', async () => {
    const configuration = {
      ...(await aDelivery(key, signed)),
      ...{ pollSeconds: 60, recordFile: undefined, sidecar: undefined },
      ...{ candidateFile: undefined, shadowFile: undefined },
    };
    const away = new AtbError('audit_unavailable', 'the audit store cannot be reached');
    const admit = jest.fn<Promise<void>, []>().mockRejectedValueOnce(away).mockRejectedValueOnce(away);
    admit.mockResolvedValue();
    const policy = await openPolicy(configuration, new Registry(), { admit });
    expect(admit).toHaveBeenCalledTimes(3);
    await policy.close();

    const refused = jest.fn(() => Promise.reject(new AtbError('policy_not_approved', 'nobody approved it')));
    await expect(openPolicy(configuration, new Registry(), { admit: refused })).rejects.toMatchObject({
      code: 'configuration_invalid',
      message: expect.stringContaining('nobody approved it'),
    });
    expect(refused).toHaveBeenCalledTimes(1);
  });
});
