import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pemOf } from '../../adapters/spiffe';
import { runAtb } from '../support/atb';
import { cpuMsSince } from '../support/cpu-time';
import { NOW, authority, extension, leaf, root } from '../support/certificates';
import type { Issued } from '../support/certificates';
import { describeVectors, reportVectors, vectorJson, vectorText } from '../support/vectors';
import type { LimboCase } from '../support/limbo';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'atb-svid-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function check(...argv: readonly string[]): Promise<{ exit: number; out: string; err: string }> {
  return runAtb(['svid', 'check', ...argv], { now: () => NOW });
}

const pem = (...certificates: readonly Issued[]) => pemOf(certificates.map(({ der }) => der));

describe('atb svid check', () => {
  let anchor: Issued;
  let chain: string;
  let bundle: string;
  beforeAll(async () => {
    anchor = await root({ uris: ['spiffe://corp.example'] });
    const middle = await authority(anchor);
    chain = file('chain.pem', pem(await leaf(middle), middle));
    bundle = file('bundle.pem', pem(anchor));
  });

  it('says rule by rule that a good one is good', async () => {
    const { exit, out } = await check(chain, '--bundle', bundle);
    expect(exit).toBe(0);
    expect(out).toContain('ok    exactly one URI among its names (X509-SVID §2, §5.2)');
    expect(out).toContain('certificate 1 → certificate 2 → authority 1 of the bundle');
    expect(out).not.toContain('FAIL');
    expect(out.trimEnd().endsWith('good')).toBe(true);
  });

  it('says everything that is wrong at once, and exits with 1', async () => {
    const bad = file(
      'bad.pem',
      pem(await leaf(anchor, { uris: [], keyUsageCritical: false, notAfter: new Date('2026-01-02') })),
    );
    const { exit, out } = await check(bad, '--bundle', bundle);
    expect(exit).toBe(1);
    expect(out).toContain('FAIL  valid still (RFC 5280 §4.1.2.5): until 2026-01-02');
    expect(out).toContain('FAIL  key usage is there, and critical (X509-SVID §4.3)');
    expect(out).toContain('FAIL  exactly one URI among its names');
    expect(out.trimEnd().endsWith('not good')).toBe(true);
  });

  it('answers as JSON', async () => {
    const { out } = await check(chain, '--bundle', bundle, '--json');
    expect(JSON.parse(out)).toMatchObject({ ok: true, findings: expect.arrayContaining([]) as unknown });
  });

  it('judges as of a time', async () => {
    expect((await check(chain, '--bundle', bundle, '--at', '2040-01-01T00:00:00Z')).exit).toBe(1);
    expect((await check(chain, '--bundle', bundle, '--at', '2026-01-01T00:00:00Z')).exit).toBe(0);
    expect((await check(chain, '--bundle', bundle, '--at', 'yesterday')).exit).toBe(64);
  });

  it("wants its own trust domain's bundle, told or as the authorities say", async () => {
    const foreign = file('foreign.pem', pem(await leaf(anchor, { uris: ['spiffe://b.example/agent/x'] })));
    const { exit, out } = await check(foreign, '--bundle', bundle);
    expect(exit).toBe(1);
    expect(out).toContain("FAIL  its own trust domain's bundle");
    expect((await check(foreign, '--bundle', bundle, '--trust-domain', 'b.example')).exit).toBe(0);
    expect((await check(chain, '--bundle', bundle, '--trust-domain', 'b.example')).exit).toBe(1);
  });

  it('leaves out what SPIFFE asks with --chain-only', async () => {
    const web = file(
      'web.pem',
      pem(await leaf(anchor, { uris: [], names: [{ type: 'dns', value: 'a.example' }] })),
    );
    expect((await check(web, '--bundle', bundle)).exit).toBe(1);
    expect((await check(web, '--bundle', bundle, '--chain-only')).exit).toBe(0);
    expect((await check(web, '--bundle', bundle, '--chain-only', '--at', '2040-01-01T00:00:00Z')).exit).toBe(
      1,
    );
    const other = file('other.pem', pem(await root({ name: 'CN=Other' })));
    expect((await check(web, '--bundle', other, '--chain-only')).exit).toBe(1);
  });

  it('wants key identifiers with --chain-only on both sides or on none', async () => {
    const identified = await root({ extensions: [extension('2.5.29.14', '0401aa', false)] });
    const names = { uris: [], names: [{ type: 'dns' as const, value: 'a.example' }] };
    const [own, key] = ['2.5.29.14', '2.5.29.35'];
    const at = async (anchorOf: Issued, ...extensions: readonly (readonly [string, string])[]) => {
      const told = extensions.map(([oid, hex]) => extension(oid, hex, false));
      const path = file('one.pem', pem(await leaf(anchorOf, { ...names, extensions: told })));
      const roots = file('its-roots.pem', pem(anchorOf));
      return (await check(path, '--bundle', roots, '--chain-only')).exit;
    };
    expect(await at(identified, [key, '30038001aa'], [own, '0401bb'])).toBe(0);
    expect(await at(identified)).toBe(1);
    expect(await at(identified, [key, '3000'])).toBe(1);
    expect(await at(await root(), [key, '30038001aa'])).toBe(1);
    expect(await at(await root())).toBe(0);
  });

  it('leaves out with --chain-only what cannot be read beside the leaf, and says so', async () => {
    const broken = { ...anchor, der: anchor.der.subarray(0, 100) };
    const mixed = file('mixed.pem', pem(await leaf(anchor), broken));
    const roots = file('roots.pem', pem(broken, anchor));
    expect((await check(mixed, '--bundle', roots)).exit).toBe(1);
    const { exit, out } = await check(mixed, '--bundle', roots, '--chain-only');
    expect(exit).toBe(0);
    expect(out).toContain('certificate 2: the certificate cannot be used');
    expect(out).toContain('certificate 1 → authority 2 of the bundle');
  });

  it('reads DER, and a SPIFFE bundle', async () => {
    const end = await leaf(anchor);
    const der = file('leaf.der', end.der);
    const x5c = [Buffer.from(anchor.der).toString('base64')];
    const json = file('bundle.json', JSON.stringify({ keys: [{ kty: 'EC', use: 'x509-svid', x5c }] }));
    expect((await check(der, '--bundle', json)).exit).toBe(0);
  });

  it.each([
    ['nothing', ''],
    ['no certificate', 'hello'],
    ['a SPIFFE bundle without keys', '{"keys":[]}'],
    ['a broken SPIFFE bundle', '{"keys":'],
    [
      'a bundle of unknown key types',
      '{"keys":[{"kty":"PQC","use":"x509-svid"},{"kty":"OKP","use":"jwt-svid","kid":"a"}]}',
    ],
  ])('refuses a bundle with %s, and a chain of it', async (_, content) => {
    const empty = file('empty', content);
    for (const args of [
      [chain, '--bundle', empty],
      [chain, '--bundle', empty, '--chain-only'],
      [empty, '--bundle', bundle],
      [empty, '--bundle', bundle, '--chain-only'],
    ]) {
      const { exit, out } = await check(...args);
      expect(exit).toBe(1);
      expect(out).toContain('FAIL');
    }
  });

  it('is a mistake of usage without a file that is there, or without a bundle', async () => {
    expect((await check(join(folder, 'missing'), '--bundle', bundle)).exit).toBe(64);
    expect((await check(chain)).exit).toBe(64);
    expect((await check(chain, '--bundle', bundle, '--purpose', 'mail')).exit).toBe(64);
  });
});

describe('atb svid check, with bad input, says so within two seconds', () => {
  const inTime = async (...args: readonly string[]) => {
    const before = process.cpuUsage();
    const { exit, out } = await check(...args);
    expect(cpuMsSince(before)).toBeLessThan(2_000);
    expect(out).toContain('FAIL');
    return exit;
  };

  it.each([[], ['--chain-only']])('with the options [%s]', async (...mode) => {
    const anchor = await root({ name: 'CN=Anchor' });
    const bundle = file('good.pem', pem(anchor));
    const megabyte = await leaf(anchor, {
      extensions: [extension('1.2.3.4', '00'.repeat(1024 * 1024), false)],
    });
    const deep = [await root()];
    while (deep.length < 19) deep.unshift(await authority(deep[0]!));
    const a = await root({ name: 'CN=A' });
    const b = await root({ name: 'CN=B' });
    const ring = [
      await authority(a, { name: b.name, keys: b.keys }),
      await authority(b, { name: a.name, keys: a.keys }),
    ];
    const chains = {
      megabyte: pem(megabyte),
      'a chain of 20': pem(await leaf(deep[0]!), ...deep),
      'a ring': pem(await leaf(a), ...ring),
      'half a certificate': Buffer.from(anchor.der.subarray(0, 200)),
      'text without end': 'a'.repeat(4 * 1024 * 1024),
      'ten thousand certificates': pem(anchor).repeat(10_000),
    };
    for (const [name, content] of Object.entries(chains)) {
      expect([name, await inTime(file('bad', content), '--bundle', bundle, ...mode)]).toEqual([name, 1]);
    }
    const good = file('good-leaf.pem', pem(await leaf(anchor)));
    const bundles = {
      megabyte: pem(megabyte),
      'ten thousand authorities': pem(a).repeat(10_000),
      'depth without end': '['.repeat(1_000_000),
      'JSON without end': `{"keys":[${'{"kty":"EC","use":"x509-svid","x5c":["AAAA"]},'.repeat(2_000)}]}`,
    };
    for (const [name, content] of Object.entries(bundles)) {
      expect([name, await inTime(good, '--bundle', file('bad-bundle', content), ...mode)]).toEqual([name, 1]);
    }
  });
});

describeVectors('x509-limbo through the command line', () => {
  const [, ...rows] = vectorText('x509-limbo', 'subset.tsv').trim().split('\n');
  const ids = rows.map((row) => row.split('\t')[0]!);
  const { testcases } = vectorJson('x509-limbo', 'limbo-canned-2023-12-02.json') as {
    testcases: LimboCase[];
  };

  it('is answered by exit codes as the suite expects', async () => {
    for (const testcase of testcases.filter(({ id }) => ids.includes(id))) {
      const { id, peer_certificate, untrusted_intermediates, trusted_certs, max_chain_depth } = testcase;
      const { exit } = await check(
        file('limbo.pem', [peer_certificate, ...untrusted_intermediates].join('\n')),
        ...['--bundle', file('limbo-roots.pem', trusted_certs.join('\n')), '--chain-only'],
        ...(testcase.validation_time === null ? [] : ['--at', testcase.validation_time]),
        ...(max_chain_depth === null ? [] : ['--max-intermediates', String(max_chain_depth)]),
      );
      expect([id, exit]).toEqual([id, testcase.expected_result === 'SUCCESS' ? 0 : 1]);
    }
    reportVectors('x509-limbo through the command line', ids.length, {});
  });
});
