import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import {
  TrustBundleSet,
  checkX509Svid,
  isSpiffeError,
  parseBundleDocument,
  parsePemCertificates,
  parseTrustBundle,
  pemOf,
  validateJwtSvid,
  validateX509Svid,
} from '../../adapters/spiffe';
import { parseCertificate } from '../../adapters/spiffe/certificate';
import { cpuMsSince } from '../support/cpu-time';
import {
  NOW,
  authority,
  der,
  extension,
  leaf,
  nameConstraints,
  policies,
  root,
} from '../support/certificates';
import type { Issued } from '../support/certificates';

const refusal = (code: string): Error => expect.objectContaining({ code }) as Error;

let anchor: Issued;
let middle: Issued;
let end: Issued;
let bundles: TrustBundleSet;
beforeAll(async () => {
  anchor = await root({ uris: ['spiffe://corp.example'] });
  middle = await authority(anchor, {
    extensions: [nameConstraints([['uri', 'corp.example']], [['dns', 'bad.example']]), policies(1, 'any')],
  });
  end = await leaf(middle, {
    names: [
      { type: 'dns', value: 'a.example' },
      { type: 'ip', value: '::1' },
    ],
  });
  bundles = TrustBundleSet.of({ 'corp.example': [anchor.der] });
});

/** What is tried, and nothing else than a refusal of ours may come of it. */
function refused(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (!isSpiffeError(error)) throw error;
    return true;
  }
}

function withinTwoSeconds(run: () => void): void {
  const before = process.cpuUsage();
  run();
  expect(cpuMsSince(before)).toBeLessThan(2_000);
}

describe('bad certificates', () => {
  it('of 1 MB are refused unread: as leaf, as authority, in a bundle', async () => {
    const large = await leaf(anchor, { extensions: [extension('1.2.3.4', '', false)] });
    const bytes = Buffer.concat([large.der, Buffer.alloc(1024 * 1024)]);
    const wellFormed = der(0x30, Buffer.alloc(60_000));
    withinTwoSeconds(() => {
      for (const one of [bytes, wellFormed]) {
        expect(() => validateX509Svid([one], bundles, NOW)).toThrow(refusal('certificate_malformed'));
        expect(() => validateX509Svid([end.der, one], bundles, NOW)).toThrow(
          refusal('certificate_malformed'),
        );
        expect(() => TrustBundleSet.of({ 'corp.example': [one] })).toThrow(refusal('bundle_malformed'));
        expect(checkX509Svid([one], [anchor.der], { at: NOW, purpose: 'serverAuth' })[0]?.ok).toBe(false);
      }
    });
  });

  it('with one real extension of 1 MB are refused too', async () => {
    const megabyte = new x509.Extension('1.2.3.4', false, Buffer.alloc(1024 * 1024));
    const large = await leaf(anchor, { extensions: [megabyte] });
    expect(large.der.length).toBeGreaterThan(1024 * 1024);
    withinTwoSeconds(() => {
      expect(() => validateX509Svid([large.der], bundles, NOW)).toThrow(refusal('certificate_malformed'));
      expect(() => parseTrustBundle(pemOf([large.der])).x509Authorities?.map(parseCertificate)).toThrow(
        refusal('certificate_malformed'),
      );
    });
  });

  it('damaged at any one byte are refused, in time, and never break anything', () => {
    withinTwoSeconds(() => {
      for (const good of [end, middle]) {
        const chain = (bytes: Uint8Array) => (good === end ? [bytes, middle.der] : [end.der, bytes]);
        for (let at = 0; at < good.der.length; at++) {
          const changed = Buffer.from(good.der);
          changed.writeUInt8(changed.readUInt8(at) ^ (1 << (at % 8)), at);
          expect(refused(() => validateX509Svid(chain(changed), bundles, NOW))).toBe(true);
        }
      }
    });
  });

  it.each<[string, (bytes: Buffer, at: number) => Buffer]>([
    ['cut off', (bytes, at) => bytes.subarray(0, at)],
    ['without a byte', (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])],
    [
      'with a byte more',
      (bytes, at) => Buffer.concat([bytes.subarray(0, at), Buffer.from([0]), bytes.subarray(at)]),
    ],
    ['with zeros', (bytes, at) => Buffer.from(bytes).fill(0, at, Math.min(at + 4, bytes.length))],
    ['with ones', (bytes, at) => Buffer.from(bytes).fill(0xff, at, Math.min(at + 4, bytes.length))],
    ['with an indefinite length', (bytes, at) => Buffer.from(bytes).fill(0x80, at, at + 1)],
    [
      'with a length of gigabytes',
      (bytes, at) =>
        Buffer.concat([bytes.subarray(0, at), Buffer.from('847fffffff', 'hex'), bytes.subarray(at)]),
    ],
  ])('%s at any offset are refused, or read as what they then are', (_, damage) => {
    withinTwoSeconds(() => {
      for (let at = 0; at < end.der.length; at++) {
        const damaged = damage(Buffer.from(end.der), at);
        if (damaged.equals(end.der)) continue;
        expect(refused(() => validateX509Svid([damaged, middle.der], bundles, NOW))).toBe(true);
      }
    });
  });

  it('need no memory that stays', () => {
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 5_000; round++) {
      const changed = Buffer.from(end.der);
      changed.writeUInt8(round % 256, round % changed.length);
      refused(() => parseCertificate(changed));
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(128 * 1024 * 1024);
  });

  it('with a name that is none, the same for issuer and subject, are refused', async () => {
    const name = Buffer.from(new x509.Name('CN=Loop').toArrayBuffer());
    const loop = Buffer.from((await root({ name: 'CN=Loop' })).der);
    for (let at = 0; at < name.length; at++) {
      for (const byte of [0x00, 0x30, 0x80, 0xff]) {
        const wrong = Buffer.from(name).fill(byte, at, at + 1);
        const changed = Buffer.from(
          loop.toString('latin1').replaceAll(name.toString('latin1'), wrong.toString('latin1')),
          'latin1',
        );
        refused(() => validateX509Svid([changed], bundles, NOW));
        expect(refused(() => validateX509Svid([end.der, changed], bundles, NOW))).toBe(true);
      }
    }
  });

  it('made of anything at all are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(refused(() => parseCertificate(bytes))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('with anything at all in an extension are refused, or read', async () => {
    for (const oid of [
      '2.5.29.15',
      '2.5.29.17',
      '2.5.29.19',
      '2.5.29.30',
      '2.5.29.32',
      '2.5.29.33',
      '2.5.29.36',
      '2.5.29.37',
      '2.5.29.54',
    ]) {
      for (const hex of [
        '',
        '00',
        '30',
        '3000',
        '3080',
        '308030800000',
        '30030201',
        '0500',
        '3003020101',
        '300302ffff',
        '30' + '82ffff',
        '300430020000',
        '0480',
        '03020780',
        '0301',
        'a0'.repeat(50),
      ]) {
        if (hex.length % 2 === 1) continue;
        const odd = await leaf(anchor, {
          uris: [],
          keyUsage: null,
          basicConstraints: null,
          extensions: [extension(oid, hex)],
        });
        expect(refused(() => validateX509Svid([odd.der], bundles, NOW))).toBe(true);
      }
    }
  });
});

describe('bad chains', () => {
  const timed = (chain: readonly Issued[], trusted = bundles) => {
    let code: unknown;
    withinTwoSeconds(() => {
      try {
        validateX509Svid(
          chain.map((one) => one.der),
          trusted,
          NOW,
        );
      } catch (error) {
        code = (error as { code?: string }).code;
      }
    });
    return code;
  };

  it('of 20 certificates are refused', async () => {
    const chain = [await root()];
    while (chain.length < 19) chain.unshift(await authority(chain[0]!));
    expect(timed([await leaf(chain[0]!), ...chain])).toBe('certificate_malformed');
  });

  it('that go round in a circle are refused', async () => {
    const a = await root({ name: 'CN=A' });
    const b = await root({ name: 'CN=B' });
    const ab = await authority(a, { name: b.name, keys: b.keys });
    const ba = await authority(b, { name: a.name, keys: a.keys });
    expect(timed([await leaf(a), ab, ba, a, b])).toBe('untrusted_svid');
    expect(timed([await leaf(a), a, a, a, a])).toBe('untrusted_svid');
  });

  it('of authorities that all vouch for each other are refused', async () => {
    const all = await Promise.all(['A', 'B', 'C'].map((name) => root({ name: `CN=${name}` })));
    const crossed = await Promise.all(
      all.flatMap((by) =>
        all.filter((one) => one !== by).map(({ name, keys }) => authority(by, { name, keys })),
      ),
    );
    expect(timed([await leaf(all[0]!), ...crossed])).toBe('untrusted_svid');
  });

  it('of authorities that all have one name and are not each other are refused', async () => {
    const all = await Promise.all(Array.from({ length: 7 }, () => root({ name: 'CN=Same' })));
    const many = TrustBundleSet.of({
      'corp.example': await Promise.all(
        Array.from({ length: 50 }, async () => (await root({ name: 'CN=Same' })).der),
      ),
    });
    expect(timed([await leaf(anchor, {}), ...all], many)).toBe('untrusted_svid');
    expect(timed([await leaf(all[0]!), ...all], many)).toBe('untrusted_svid');
  });
});

describe('bad bundles', () => {
  const parse = (json: string) => () =>
    TrustBundleSet.ofDocuments([['corp.example', parseBundleDocument(json)]]);

  it.each([
    ['nothing', ''],
    ['no object', '[]'],
    ['null', 'null'],
    ['no keys', '{}'],
    ['no list of keys', '{"keys":{}}'],
    ['an empty list', '{"keys":[]}'],
    ['keys that are none', '{"keys":[1,"a",null]}'],
    [
      'unknown key types alone',
      '{"keys":[{"kty":"PQC","use":"x509-svid"},{"kty":"PQC","use":"jwt-svid","kid":"a"}]}',
    ],
    ['unknown uses alone', '{"keys":[{"kty":"EC","use":"wit-svid"},{"kty":"EC"}]}'],
    ['a certificate that is none', '{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AAAA"]}]}'],
    ['a certificate that is no text', '{"keys":[{"kty":"EC","use":"x509-svid","x5c":[7]}]}'],
    ['two certificates in one entry', '{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AAAA","AAAA"]}]}'],
    ['a sequence that is no number', '{"keys":[],"spiffe_sequence":"1"}'],
    ['a refresh hint that is negative', '{"keys":[],"spiffe_refresh_hint":-1}'],
    ['depth without end', '['.repeat(1_000_000)],
    ['1001 keys', JSON.stringify({ keys: Array.from({ length: 1001 }, () => ({ kty: 'EC' })) })],
    ['5 MB', JSON.stringify({ keys: [], padding: 'a'.repeat(5_000_000) })],
  ])('with %s are refused', (_, json) => {
    withinTwoSeconds(() => {
      expect(parse(json)).toThrow(refusal('bundle_malformed'));
    });
  });

  it('with unknown keys beside good ones are what is good of them (Trust Domain and Bundle §4.1.3)', () => {
    const x5c = [Buffer.from(anchor.der).toString('base64')];
    const keys = [
      { kty: 'PQC', use: 'x509-svid' },
      { kty: 'EC', use: 'other', x5c },
      { kty: 'EC', use: 'x509-svid', x5c },
      { kty: 'EC', use: 'x509-svid' },
    ];
    const { x509Authorities } = parseBundleDocument(JSON.stringify({ keys }));
    expect(x509Authorities).toHaveLength(1);
  });

  it.each([
    '',
    'hello',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
    '-----BEGIN CERTIFICATE-----',
  ])('in PEM are refused: %j', (text) => {
    expect(() => parsePemCertificates(text)).toThrow(refusal('bundle_malformed'));
  });

  it('of ten thousand certificates in PEM are refused', () => {
    const pem = pemOf([anchor.der]).repeat(10_000);
    withinTwoSeconds(() => {
      expect(() => parsePemCertificates(pem)).toThrow(refusal('bundle_malformed'));
    });
  });

  it('of anything at all are refused, or read', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(refused(parse(json))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

it('a JWT-SVID made of anything at all is refused', async () => {
  const part = fc.json().map((json) => Buffer.from(json).toString('base64url'));
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.tuple(part, part, part).map((parts) => parts.join('.')),
      ),
      async (token) => {
        const outcome = validateJwtSvid(token, bundles, NOW, { audience: 'a' });
        await expect(outcome).rejects.toMatchObject({ name: 'SpiffeError' });
      },
    ),
    { numRuns: 500 },
  );
});
