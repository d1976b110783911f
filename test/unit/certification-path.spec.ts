import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { parseCertificate } from '../../adapters/spiffe/certificate';
import { searchCertificationPath } from '../../adapters/spiffe/certification-path';
import type { PathOptions } from '../../adapters/spiffe/certification-path';
import { readDer } from '../../adapters/spiffe/der';
import { readName, sameName } from '../../adapters/spiffe/distinguished-name';
import { cpuMsSince } from '../support/cpu-time';
import {
  ED25519,
  NAME_CONSTRAINTS,
  NOW,
  P256,
  P384,
  authority,
  der,
  extension,
  inhibitAnyPolicy,
  leaf,
  nameConstraints,
  policies,
  policyConstraints,
  policyMappings,
  root,
  rsa,
} from '../support/certificates';
import type { Issued, Profile } from '../support/certificates';

const LONG_AGO = new Date('2020-01-01T00:00:00Z');
const { keyCertSign, cRLSign, digitalSignature } = x509.KeyUsageFlags;

let anchor: Issued;
beforeAll(async () => {
  anchor = await root();
});

/** Why there is no path; undefined where there is one. The first is the leaf, roots are apart. */
function obstacleOf(
  [first, ...others]: readonly Issued[],
  roots: readonly Issued[] = [anchor],
  options: Partial<PathOptions> & { readonly at?: Date } = {},
): string | undefined {
  const parse = ({ der: bytes }: Issued) => parseCertificate(bytes);
  const { at = NOW, ...rest } = options;
  const { path, obstacles } = searchCertificationPath(
    parse(first!),
    others.map(parse),
    roots.map(parse),
    at,
    { purpose: 'serverAuth', ...rest },
  );
  return path ? undefined : obstacles.join('; ');
}

/** A leaf below an authority below the anchor. */
async function below(ca: Profile, end: Profile = {}): Promise<readonly Issued[]> {
  const middle = await authority(anchor, ca);
  return [await leaf(middle, end), middle];
}

describe('a certification path (RFC 5280 §6.1)', () => {
  it('leads from the leaf through authorities to the anchor, in whatever order they come', async () => {
    const a = await authority(anchor);
    const b = await authority(a);
    const c = await authority(b);
    const end = await leaf(c);
    for (const order of [
      [c, b, a],
      [a, b, c],
      [b, a, c, anchor],
    ]) {
      expect(obstacleOf([end, ...order])).toBeUndefined();
    }
    expect(obstacleOf([end, c, a])).toContain(
      'nothing in the chain or the bundle has the name of its issuer',
    );
    expect(obstacleOf([end, c, b, a], [await root({ name: 'CN=Other' })])).toBeDefined();
    expect(obstacleOf([end, c, b, a], [])).toBeDefined();
  });

  it('ends at an authority of the bundle that is no root itself', async () => {
    const a = await authority(anchor);
    expect(obstacleOf([await leaf(a)], [a])).toBeUndefined();
  });

  it('is not deceived by a root of the same name with another key', async () => {
    const impostor = await root();
    expect(obstacleOf([await leaf(impostor)])).toContain('it has the name of the issuer, and did not sign');
    expect(obstacleOf([await leaf(impostor), impostor])).toBeDefined();
    expect(obstacleOf([await leaf(anchor)], [impostor, anchor])).toBeUndefined();
  });

  it.each([
    ['P-256', P256, { name: 'ECDSA', hash: 'SHA-256' }],
    ['P-256 with SHA-512', P256, { name: 'ECDSA', hash: 'SHA-512' }],
    ['P-384', P384, { name: 'ECDSA', hash: 'SHA-384' }],
    ['Ed25519', ED25519, { name: 'Ed25519' }],
    ['RSA', rsa(2048), rsa(2048)],
    ['RSA with SHA-384', rsa(2048, 'SHA-384'), rsa(2048, 'SHA-384')],
    ['RSASSA-PSS', rsa(2048, 'SHA-256', 'RSA-PSS'), { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 }],
    [
      'RSASSA-PSS with SHA-512',
      rsa(2048, 'SHA-512', 'RSA-PSS'),
      { name: 'RSA-PSS', hash: 'SHA-512', saltLength: 64 },
    ],
  ])('may be signed with %s', async (_, key, signature) => {
    const own = await root({ key, signature });
    expect(obstacleOf([await leaf(own, { key: P256, signature })], [own])).toBeUndefined();
  });

  it.each([
    ['RSA and SHA-1', rsa(2048, 'SHA-1'), rsa(2048, 'SHA-1')],
    [
      'RSASSA-PSS and SHA-1',
      rsa(2048, 'SHA-1', 'RSA-PSS'),
      { name: 'RSA-PSS', hash: 'SHA-1', saltLength: 20 },
    ],
    ['ECDSA and SHA-1', P256, { name: 'ECDSA', hash: 'SHA-1' }],
  ])('may not be signed with %s', async (_, key, signature) => {
    const own = await root({ key, signature });
    expect(obstacleOf([await leaf(own, { signature })], [own])).toContain('weak algorithm');
  });

  it('asks nothing of how an anchor signed itself: it is trusted for what it is', async () => {
    const own = await root({ signature: { name: 'ECDSA', hash: 'SHA-1' } });
    expect(obstacleOf([await leaf(own)], [own])).toBeUndefined();
  });

  it.each([
    ['RSA with 1024 bits', rsa(1024)],
    ['P-521, which is good', { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' }],
  ])('has no weak key anywhere: %s', async (name, key) => {
    const weak = !name.includes('good');
    const signature = key.name === 'ECDSA' ? { name: 'ECDSA', hash: 'SHA-256' } : undefined;
    for (const chain of [
      await below({}, { key: key as never }),
      await below({ key: key }, signature ? { signature } : {}),
    ]) {
      if (weak) expect(obstacleOf(chain)).toContain('smaller than 2048 bits');
      else expect(obstacleOf(chain)).toBeUndefined();
    }
  });

  it('is valid from the first second to the last of each certificate', async () => {
    const ends = { notBefore: new Date(NOW.getTime() - 60_000), notAfter: new Date(NOW.getTime() + 60_000) };
    const own = await root(ends);
    for (const [chain, roots] of [
      [await below({}, ends), [anchor]],
      [await below(ends), [anchor]],
      [[await leaf(own)], [own]],
    ] as const) {
      const at = (milliseconds: number) =>
        obstacleOf(chain, roots, { at: new Date(NOW.getTime() + milliseconds) });
      expect(at(-60_001)).toContain('not valid yet');
      expect(at(-60_000)).toBeUndefined();
      expect(at(60_000)).toBeUndefined();
      // Certificates have whole seconds: the last is good until it has passed.
      expect(at(60_999)).toBeUndefined();
      expect(at(61_000)).toContain('expired');
      expect(obstacleOf(chain, roots, { at: new Date(NaN) })).toContain('not valid yet');
    }
  });

  it.each([
    [
      'an authority without the CA flag',
      { basicConstraints: new x509.BasicConstraintsExtension(false, undefined, true) },
    ],
    ['an authority without basic constraints', { basicConstraints: null }],
    ['an authority whose key may not sign certificates', { keyUsage: digitalSignature | cRLSign }],
    ['an authority for another purpose', { extendedKeyUsage: [x509.ExtendedKeyUsage.codeSigning] }],
    ['an authority with an unknown critical extension', { extensions: [extension('1.2.3.4', '0500')] }],
    ['an authority with a serial number of 21 bytes', { serialNumber: '01'.repeat(21) }],
  ])('does not go through %s', async (_, profile) => {
    expect(obstacleOf(await below(profile))).toBeDefined();
  });

  it.each([
    ['without key usage', { keyUsage: null }],
    ['with a key usage that is not critical', { keyUsage: keyCertSign, keyUsageCritical: false }],
    [
      'with basic constraints that are not critical',
      { basicConstraints: new x509.BasicConstraintsExtension(true, undefined, false) },
    ],
    ['for any purpose', { extendedKeyUsage: ['2.5.29.37.0'] }],
    ['with an unknown extension that is not critical', { extensions: [extension('1.2.3.4', '0500', false)] }],
  ])('goes through an authority %s', async (_, profile) => {
    expect(obstacleOf(await below(profile))).toBeUndefined();
  });

  it.each([
    ['an unknown critical extension', { extensions: [extension('1.2.3.4', '0500')] }, 'critical extension'],
    ['a key that signs certificates, and no CA flag', { keyUsage: keyCertSign }, 'no authority'],
    [
      'a path length, and no CA flag',
      { basicConstraints: extension('2.5.29.19', '3003020100') },
      'a path length',
    ],
    ['another purpose', { extendedKeyUsage: [x509.ExtendedKeyUsage.clientAuth] }, 'not for serverAuth'],
    ['name constraints', { extensions: [nameConstraints([['dns', 'a']])] }, 'constrains names'],
    ['neither subject nor critical names', { name: '', namesCritical: false }, 'subject is empty'],
  ])('does not begin with %s', async (_, profile, obstacle) => {
    expect(obstacleOf([await leaf(anchor, profile)])).toContain(obstacle);
  });

  it('counts what may stand below an authority, and self-issued ones not (§6.1.4 (l))', async () => {
    const zero = await authority(anchor, { pathLength: 0 });
    expect(obstacleOf([await leaf(zero), zero])).toBeUndefined();
    const more = await authority(zero);
    expect(obstacleOf([await leaf(more), more, zero])).toContain('more certificates below it than it allows');
    const renewed = await authority(zero, { name: zero.name });
    expect(obstacleOf([await leaf(renewed), renewed, zero])).toBeUndefined();
    const wide = await authority(zero, { pathLength: 9 });
    const end = await authority(wide);
    expect(obstacleOf([await leaf(end), end, wide, zero])).toBeDefined();
  });

  it('is as long as the caller wants at most', async () => {
    const a = await authority(anchor);
    const b = await authority(a);
    const end = await leaf(b);
    expect(obstacleOf([end, b, a], [anchor], { maxIntermediates: 2 })).toBeUndefined();
    expect(obstacleOf([end, b, a], [anchor], { maxIntermediates: 1 })).toContain('more than 1');
    expect(obstacleOf([await leaf(anchor)], [anchor], { maxIntermediates: 0 })).toBeUndefined();
  });
});

describe('where several ways lead on', () => {
  it('every one is tried: the first may have expired, be weak, be no authority, or lead nowhere', async () => {
    const good = await authority(anchor, { name: 'CN=Crossed' });
    const twin = (profile: Profile, by = anchor) =>
      authority(by, { name: good.name, keys: good.keys, ...profile });
    const stranger = await root({ name: 'CN=Stranger' });
    const end = await leaf(good);
    for (const bad of [
      await twin({ notAfter: LONG_AGO, notBefore: new Date('2019-01-01T00:00:00Z') }),
      await twin({ signature: { name: 'ECDSA', hash: 'SHA-1' } }),
      await twin({ isCa: false }),
      await twin({ pathLength: 0, extensions: [nameConstraints([['uri', 'elsewhere.example']])] }),
      await twin({ extendedKeyUsage: [x509.ExtendedKeyUsage.emailProtection] }),
      await twin({}, stranger),
    ]) {
      expect(obstacleOf([end, bad, good])).toBeUndefined();
      expect(obstacleOf([end, good, bad])).toBeUndefined();
      expect(obstacleOf([end, bad])).toBeDefined();
    }
  });

  it('an authority that two roots vouch for is good by either', async () => {
    const other = await root({ name: 'CN=Other root' });
    const one = await authority(anchor, { name: 'CN=Crossed' });
    const two = await authority(other, { name: one.name, keys: one.keys });
    const end = await leaf(one);
    for (const roots of [[anchor], [other], [anchor, other]]) {
      expect(obstacleOf([end, one, two], roots)).toBeUndefined();
      expect(obstacleOf([end, two, one], roots)).toBeUndefined();
    }
  });

  it('a root that was signed by an older one is an anchor all the same', async () => {
    const old = await root({
      name: 'CN=Old',
      notAfter: LONG_AGO,
      notBefore: new Date('2015-01-01T00:00:00Z'),
    });
    const crossed = await authority(old, { name: anchor.name, keys: anchor.keys });
    const a = await authority(anchor);
    expect(obstacleOf([await leaf(a), a, crossed], [old, anchor])).toBeUndefined();
    expect(obstacleOf([await leaf(a), a, crossed], [old])).toBeDefined();
  });

  it('a ring of authorities leads nowhere, and that soon', async () => {
    const a = await root({ name: 'CN=A' });
    const b = await root({ name: 'CN=B' });
    const ring = [
      await authority(a, { name: b.name, keys: b.keys }),
      await authority(b, { name: a.name, keys: a.keys }),
    ];
    expect(obstacleOf([await leaf(a), ...ring, a, b])).toBeDefined();
  });

  it('authorities that all vouch for each other are not gone through for ever', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, (_, n) => root({ name: `CN=${n}` })));
    const crossed: Issued[] = [];
    for (const by of all) {
      for (const one of all) {
        if (one !== by) crossed.push(await authority(by, { name: one.name, keys: one.keys }));
      }
    }
    const end = await leaf(all[0]!);
    const before = process.cpuUsage();
    expect(obstacleOf([end, ...crossed], [anchor], { maxIntermediates: 32 })).toContain('too many');
    expect(obstacleOf([end, ...crossed], [all[5]!], { maxIntermediates: 32 })).toBeUndefined();
    expect(cpuMsSince(before)).toBeLessThan(2_000);
  });
});

describe('names are one whatever they are written as (RFC 5280 §7.1)', () => {
  const commonName = (tag: number, text: string | Uint8Array) =>
    der(0x30, der(0x31, der(0x30, der(0x06, Uint8Array.from([0x55, 4, 3])), der(tag, text))));

  it.each([
    ['another string type', commonName(0x13, 'Root'), commonName(0x0c, 'Root')],
    ['other case', commonName(0x13, 'Root'), commonName(0x13, 'rOOT')],
    ['spaces that do not count', commonName(0x13, 'My  Root '), commonName(0x0c, ' my root')],
    ['wide characters', commonName(0x13, 'Root'), commonName(0x1e, Buffer.from('\0R\0o\0o\0t', 'latin1'))],
  ])('%s', (_, subject, issuer) => {
    expect(sameName(readName(readDer(subject)), readName(readDer(issuer)))).toBe(true);
  });

  it.each([
    ['another text', commonName(0x13, 'Root'), commonName(0x13, 'Roots')],
    ['a space that counts', commonName(0x13, 'Root'), commonName(0x13, 'Ro ot')],
    [
      'more parts',
      commonName(0x13, 'Root'),
      der(0x30, commonName(0x13, 'Root').subarray(2), commonName(0x13, 'x').subarray(2)),
    ],
    ['a text that looks like another attribute', commonName(0x0c, 'a","5504'), commonName(0x0c, 'a')],
  ])('but not %s', (_, subject, issuer) => {
    expect(sameName(readName(readDer(subject)), readName(readDer(issuer)))).toBe(false);
  });
});

describe('name constraints (RFC 5280 §4.2.1.10)', () => {
  type Names = Parameters<typeof nameConstraints>[0];
  const check = async (permitted: Names, excluded: Names, end: Profile) =>
    obstacleOf(await below({ extensions: [nameConstraints(permitted, excluded)] }, { uris: [], ...end }));
  const dns = (value: string): Profile => ({ names: [{ type: 'dns', value }] });
  const email = (value: string): Profile => ({ names: [{ type: 'email', value }] });
  const uri = (value: string): Profile => ({ uris: [value] });
  const ip = (value: string): Profile => ({ names: [{ type: 'ip', value }] });
  const bytes = (...values: number[]) => Buffer.from(values).toString('latin1');

  it.each<[string, Names[number], Profile]>([
    ['a host', ['dns', 'host.example'], dns('host.example')],
    ['a host in other case', ['dns', 'HOST.example'], dns('host.EXAMPLE')],
    ['a host below', ['dns', 'example'], dns('a.b.example')],
    ['a wildcard below', ['dns', 'example'], dns('*.example')],
    ['every host', ['dns', ''], dns('host.example')],
    ['a mailbox', ['email', 'bob@corp.example'], email('bob@CORP.example')],
    ['every mailbox of a host', ['email', 'corp.example'], email('bob@corp.example')],
    ['every mailbox below a domain', ['email', '.corp.example'], email('bob@mail.corp.example')],
    ['a trust domain', ['uri', 'corp.example'], uri('spiffe://corp.example/agent/a')],
    ['a URI with a port and a user', ['uri', 'corp.example'], uri('https://me@corp.example:443/?a#b')],
    ['a trust domain below', ['uri', '.corp.example'], uri('spiffe://prod.corp.example/agent/a')],
    ['an address', ['ip', bytes(10, 0, 0, 0, 255, 0, 0, 0)], ip('10.1.2.3')],
    [
      'an address of IPv6',
      ['ip', bytes(0x20, 1, ...Array<number>(14).fill(0), 255, 255, ...Array<number>(14).fill(0))],
      ip('2001::1'),
    ],
    ['a mailbox in quotes', ['email', 'corp.example'], email('"a@b"@corp.example')],
    ['names of other forms', ['dns', 'example'], uri('spiffe://corp.example/agent/a')],
  ])('permit %s', async (_, constraint, end) => {
    expect(await check([constraint], [], end)).toBeUndefined();
  });

  it.each<[string, Names[number], Profile]>([
    ['a host beside', ['dns', 'host.example'], dns('hosts.example')],
    ['a host that ends the same', ['dns', 'example.com'], dns('badexample.com')],
    ['a wildcard above', ['dns', 'a.example'], dns('*.example')],
    ['another mailbox', ['email', 'bob@corp.example'], email('eve@corp.example')],
    ['a mailbox whose name is in other case', ['email', 'bob@corp.example'], email('Bob@corp.example')],
    ['a mailbox below a host', ['email', 'corp.example'], email('bob@mail.corp.example')],
    ['a mailbox with two signs', ['email', 'corp.example'], email('a@b@corp.example')],
    ['a mailbox of a domain itself', ['email', '.corp.example'], email('bob@corp.example')],
    ['another trust domain', ['uri', 'corp.example'], uri('spiffe://evil.example/agent/a')],
    ['a trust domain below one', ['uri', 'corp.example'], uri('spiffe://prod.corp.example/agent/a')],
    [
      'a trust domain itself where only those below are',
      ['uri', '.corp.example'],
      uri('spiffe://corp.example/a'),
    ],
    ['a URI that only has the host in it', ['uri', 'corp.example'], uri('https://evil.example/corp.example')],
    ['a URI with the host as its user', ['uri', 'corp.example'], uri('https://corp.example@evil.example/')],
    ['a URI without a host', ['uri', 'corp.example'], uri('urn:corp.example')],
    ['a URI of an address', ['uri', 'corp.example'], uri('https://10.0.0.1/')],
    ['an address outside', ['ip', bytes(10, 0, 0, 0, 255, 0, 0, 0)], ip('11.0.0.1')],
    ['an address of IPv6 by one of IPv4', ['ip', bytes(10, 0, 0, 0, 255, 0, 0, 0)], ip('::1')],
    ['a host that is none', ['dns', 'example'], dns('.example')],
  ])('do not permit %s', async (_, constraint, end) => {
    expect(await check([constraint], [], end)).toMatch(/is not permitted|cannot be compared/);
  });

  it.each<[string, Names[number], Profile]>([
    ['a host below', ['dns', 'example'], dns('a.example')],
    ['a wildcard that stands for it', ['dns', 'bad.example'], dns('*.example')],
    ['a mailbox', ['email', 'corp.example'], email('bob@corp.example')],
    ['a trust domain', ['uri', 'corp.example'], uri('spiffe://corp.example/agent/a')],
    ['an address', ['ip', bytes(10, 0, 0, 0, 255, 0, 0, 0)], ip('10.1.2.3')],
    ['a name that cannot be read, for safety', ['dns', 'example'], dns('a..b')],
  ])('exclude %s', async (_, constraint, end) => {
    expect(await check([], [constraint], end)).toMatch(/is excluded|cannot be compared/);
  });

  it('exclude even what they permit, and a wildcard that stands for another passes', async () => {
    expect(await check([['dns', 'example']], [['dns', 'bad.example']], dns('bad.example'))).toContain(
      'excluded',
    );
    expect(await check([], [['dns', 'a.bad.example']], dns('*.example'))).toBeUndefined();
  });

  it('bind e-mail addresses in the subject too', async () => {
    const name = 'CN=Bob, E=bob@evil.example';
    expect(await check([['email', 'corp.example']], [], { name })).toContain('email');
    expect(
      await check([['email', 'corp.example']], [], { name: 'CN=Bob, E=bob@corp.example' }),
    ).toBeUndefined();
  });

  it('bind the subject, by its first parts', async () => {
    const organisation = (name: string) => new x509.Name(name).toArrayBuffer();
    const directory = (list: number, name: string) =>
      new x509.Extension(
        NAME_CONSTRAINTS,
        true,
        der(0x30, der(list, der(0x30, der(0xa4, new Uint8Array(organisation(name)))))),
      );
    const at = async (list: number, name: string, end: string) =>
      obstacleOf(await below({ extensions: [directory(list, name)] }, { name: end }));
    expect(await at(0xa0, 'O=Corp', 'O=corp, CN=Bob')).toBeUndefined();
    expect(await at(0xa0, 'O=Corp', 'O=Evil, CN=Bob')).toContain('directory');
    expect(await at(0xa0, 'O=Corp', 'CN=Bob, O=Corp')).toContain('directory');
    expect(await at(0xa1, 'O=Corp', 'O=Corp, CN=Bob')).toContain('directory');
    expect(await at(0xa1, 'O=Corp', 'O=Other')).toBeUndefined();
  });

  it('of each authority hold, so that those below can only narrow', async () => {
    const wide = await authority(anchor, { extensions: [nameConstraints([['uri', 'corp.example']])] });
    const wider = await authority(wide, { extensions: [nameConstraints([['uri', 'evil.example']])] });
    for (const uris of [['spiffe://corp.example/a'], ['spiffe://evil.example/a']]) {
      expect(obstacleOf([await leaf(wider, { uris }), wider, wide])).toContain('not permitted');
    }
  });

  it('of an anchor hold too', async () => {
    const own = await root({ extensions: [nameConstraints([['uri', 'corp.example']])] });
    expect(obstacleOf([await leaf(own)], [own])).toBeUndefined();
    const uris = ['spiffe://evil.example/a'];
    expect(obstacleOf([await leaf(own, { uris })], [own])).toContain('not permitted');
  });

  it('do not bind a self-issued authority, as at a change of keys', async () => {
    const constrained = await authority(anchor, {
      name: 'CN=Same',
      extensions: [
        new x509.Extension(
          NAME_CONSTRAINTS,
          true,
          der(
            0x30,
            der(0xa0, der(0x30, der(0xa4, new Uint8Array(new x509.Name('O=corp.example').toArrayBuffer())))),
          ),
        ),
      ],
    });
    const renewed = await authority(constrained, { name: 'CN=Same' });
    expect(obstacleOf([await leaf(renewed), renewed, constrained])).toBeUndefined();
  });

  it.each([
    ['that are empty', '3000'],
    ['with an empty list', '3002a000'],
    ['with a distance', '3010a00e300c820761' + '2e62' + '2e63' + '2e64' + '800101'],
    ['with a mask that has holes', '300ea00c300a8708' + '0a000000ff00ff00'],
    ['with half an address', '300aa00830068704' + '0a0000ff'],
  ])('%s make the certificate malformed', async (_, hex) => {
    const chain = await below({ extensions: [extension(NAME_CONSTRAINTS, hex)] });
    expect(() => obstacleOf(chain)).toThrow('cannot be used');
  });

  it.each([
    ['dns', '*.example'],
    ['dns', '.example'],
    ['dns', 'a..example'],
    ['email', 'a@b@example'],
    ['email', ''],
    ['uri', 'https://corp.example'],
    ['uri', ''],
  ] as const)('to the %s name %j make the certificate malformed', async (form, text) => {
    const chain = await below({ extensions: [nameConstraints([[form, text]])] });
    expect(() => obstacleOf(chain)).toThrow('cannot be used');
  });

  it('that are not critical make the certificate unusable', async () => {
    const chain = await below({ extensions: [nameConstraints([['uri', 'corp.example']], [], false)] });
    expect(obstacleOf(chain)).toContain('not critical');
  });
});

describe('certificate policies (RFC 5280 §6.1)', () => {
  const chain = async (...extensions: readonly (readonly x509.Extension[])[]) => {
    let issuer = anchor;
    const path: Issued[] = [];
    for (const [index, own] of extensions.entries()) {
      const isLast = index === extensions.length - 1;
      issuer = isLast
        ? await leaf(issuer, { extensions: own })
        : await authority(issuer, { extensions: own });
      path.unshift(issuer);
    }
    return obstacleOf(path);
  };
  const required = policyConstraints({ explicit: 0 });
  const NONE = 'no policy is left';

  it('do not matter where none is required', async () => {
    expect(await chain([policies(1)], [policies(2)])).toBeUndefined();
    expect(await chain([], [policies(2)])).toBeUndefined();
    expect(await chain([policies(1)], [])).toBeUndefined();
  });

  it('must be there all the way once one is required', async () => {
    expect(await chain([required, policies(1)], [policies(1)])).toBeUndefined();
    expect(await chain([required, policies(1, 2)], [policies(2, 3)])).toBeUndefined();
    expect(await chain([required, policies('any')], [policies(3)])).toBeUndefined();
    expect(await chain([required, policies(1)], [policies('any')])).toBeUndefined();
    expect(await chain([required, policies(1)], [policies(2)])).toContain(NONE);
    expect(await chain([required, policies(1)], [])).toContain(NONE);
    expect(await chain([required], [policies(1)])).toContain(NONE);
    expect(await chain([policies(1)], [policyConstraints({ explicit: 0 })])).toContain(NONE);
  });

  it('are required after as many certificates as is said', async () => {
    const later = (explicit: number) => [policyConstraints({ explicit }), policies(1)];
    expect(await chain(later(1), [], [])).toContain(NONE);
    expect(await chain(later(3), [], [])).toBeUndefined();
    expect(await chain(later(5), [policyConstraints({ explicit: 0 })], [])).toContain(NONE);
  });

  it('are mapped to those of others, unless that is forbidden', async () => {
    expect(await chain([required, policies(1), policyMappings([1, 2])], [policies(2)])).toBeUndefined();
    expect(await chain([required, policies(1), policyMappings([1, 2])], [policies(1)])).toContain(NONE);
    expect(await chain([required, policies('any'), policyMappings([1, 2])], [policies(2)])).toBeUndefined();
    const forbidden = policyConstraints({ explicit: 0, inhibitMapping: 0 });
    expect(
      await chain([forbidden, policies(1)], [policies(1), policyMappings([1, 2])], [policies(2)]),
    ).toContain(NONE);
  });

  it('are never mapped from or to any', async () => {
    for (const pair of [
      ['any', 1],
      [1, 'any'],
    ] as const) {
      await expect(chain([policies(1), policyMappings(pair)], [policies(1)])).rejects.toThrow(
        'cannot be used',
      );
    }
  });

  it('are not any where that is inhibited', async () => {
    const inhibited = [required, policies(1), inhibitAnyPolicy(0)];
    expect(await chain(inhibited, [policies('any')])).toContain(NONE);
    expect(await chain(inhibited, [policies(1)])).toBeUndefined();
    expect(
      await chain([required, policies(1), inhibitAnyPolicy(1)], [policies('any')], [policies(1)]),
    ).toBeUndefined();
    expect(
      await chain([required, policies(1), inhibitAnyPolicy(1)], [policies(1)], [policies('any')]),
    ).toContain(NONE);
  });

  it('that are many cost little: mappings do not multiply', async () => {
    const many = Array.from({ length: 60 }, (_, n) => n + 1);
    const all = many.flatMap((from) => many.slice(0, 20).map((to) => [from, to] as const));
    const step = [policies(...many), policyMappings(...all)];
    const before = process.cpuUsage();
    expect(await chain([required, ...step], step, step, [policies(1)])).toBeUndefined();
    expect(cpuMsSince(before)).toBeLessThan(2_000);
  });
});
