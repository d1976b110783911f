import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { TrustBundleSet, checkX509Svid, validateX509Svid } from '../../adapters/spiffe';
import { NOW, authority, leaf, nameConstraints, root } from '../support/certificates';
import type { Issued, Profile } from '../support/certificates';

const BOT = 'spiffe://corp.example/agent/finance-bot';
const {
  keyCertSign,
  cRLSign,
  digitalSignature,
  keyEncipherment,
  keyAgreement,
  nonRepudiation,
  dataEncipherment,
} = x509.KeyUsageFlags;
const { serverAuth, clientAuth, codeSigning } = x509.ExtendedKeyUsage;

let anchor: Issued;
beforeAll(async () => {
  anchor = await root({ uris: ['spiffe://corp.example'] });
});

/** The code of the refusal; undefined where it is valid. What the check says of it must be the same. */
function refusalOf(
  chain: readonly Issued[],
  roots: readonly Issued[] = [anchor],
  at = NOW,
): string | undefined {
  const ders = chain.map(({ der }) => der);
  const authorities = roots.map(({ der }) => der);
  const good = checkX509Svid(ders, authorities, { at, purpose: 'clientAuth' }).every(({ ok }) => ok);
  try {
    validateX509Svid(ders, TrustBundleSet.of({ 'corp.example': authorities }), at);
    expect(good).toBe(true);
    return undefined;
  } catch (error) {
    expect(good).toBe(false);
    return (error as { code?: string }).code;
  }
}

describe("a leaf's SPIFFE ID (X509-SVID §2, §3.1, §5.2)", () => {
  it.each<[string, Profile]>([
    ['one URI', {}],
    [
      'one URI beside names of other forms',
      {
        names: [
          { type: 'dns', value: 'bot.corp.example' },
          { type: 'email', value: 'a@b.example' },
        ],
      },
    ],
    ['one URI and no subject, where the names are critical', { name: '' }],
    ['128 names in all', { names: names(127) }],
  ])('is there with %s', async (_, profile) => {
    expect(refusalOf([await leaf(anchor, profile)])).toBeUndefined();
  });

  it.each<[string, Profile, string]>([
    ['no name at all', { uris: [] }, 'svid_malformed'],
    [
      'names of other forms alone',
      { uris: [], names: [{ type: 'dns', value: 'a.example' }] },
      'svid_malformed',
    ],
    ['two SPIFFE IDs', { uris: [BOT, 'spiffe://corp.example/agent/b'] }, 'svid_malformed'],
    ['another URI beside', { uris: [BOT, 'https://corp.example/'] }, 'svid_malformed'],
    ['the same one twice', { uris: [BOT, BOT] }, 'svid_malformed'],
    [
      '200 URIs',
      { uris: Array.from({ length: 200 }, (_, n) => `spiffe://corp.example/a/${n}`) },
      'svid_malformed',
    ],
    ['200 names', { names: names(199) }, 'svid_malformed'],
    ['another scheme', { uris: ['https://corp.example/agent'] }, 'spiffe_id_malformed'],
    ['the scheme in capitals', { uris: ['SPIFFE://corp.example/agent'] }, 'spiffe_id_malformed'],
    ['no path', { uris: ['spiffe://corp.example'] }, 'spiffe_id_malformed'],
    ['the root path', { uris: ['spiffe://corp.example/'] }, 'spiffe_id_malformed'],
    ['no trust domain', { uris: ['spiffe:///agent'] }, 'spiffe_id_malformed'],
    ['a port', { uris: ['spiffe://corp.example:443/agent'] }, 'spiffe_id_malformed'],
    ['a user', { uris: ['spiffe://me@corp.example/agent'] }, 'spiffe_id_malformed'],
    ['2049 bytes', { uris: [`spiffe://corp.example/${'a'.repeat(2049 - 22)}`] }, 'spiffe_id_malformed'],
    [
      'no subject, and names that are not critical',
      { name: '', namesCritical: false },
      'certificate_malformed',
    ],
  ])('is not there with %s', async (_, profile, code) => {
    expect(refusalOf([await leaf(anchor, profile)])).toBe(code);
  });

  it('may have 2048 bytes', async () => {
    const uris = [`spiffe://corp.example/${'a'.repeat(2048 - 22)}`];
    expect(refusalOf([await leaf(anchor, { uris })])).toBeUndefined();
  });
});

describe('a leaf is no authority (X509-SVID §4.1, §4.3, §5.2)', () => {
  it.each<[string, Profile]>([
    ['digital signatures', { keyUsage: digitalSignature }],
    ['digital signatures and encipherment of keys', { keyUsage: digitalSignature | keyEncipherment }],
    ['digital signatures and agreement of keys', { keyUsage: digitalSignature | keyAgreement }],
    ['all three', { keyUsage: digitalSignature | keyEncipherment | keyAgreement }],
  ])('its key is for %s', async (_, profile) => {
    expect(refusalOf([await leaf(anchor, profile)])).toBeUndefined();
  });

  it('and need have no basic constraints to say so', async () => {
    expect(refusalOf([await leaf(anchor, { basicConstraints: null })])).toBeUndefined();
  });

  it.each<[string, Profile]>([
    ['the CA flag', { isCa: true, keyUsage: digitalSignature }],
    ['no key usage', { keyUsage: null }],
    ['a key usage that is not critical', { keyUsageCritical: false }],
    ['a key that is not for signatures', { keyUsage: keyEncipherment }],
    ['a key that signs certificates', { keyUsage: digitalSignature | keyCertSign }],
    ['a key that signs revocation lists', { keyUsage: digitalSignature | cRLSign }],
    ['a key that is for non-repudiation too', { keyUsage: digitalSignature | nonRepudiation }],
    ['a key that is for encipherment of data too', { keyUsage: digitalSignature | dataEncipherment }],
  ])('so it is refused with %s', async (_, profile) => {
    expect(refusalOf([await leaf(anchor, profile)])).toBe('svid_malformed');
  });
});

describe('extended key usage (X509-SVID §4.4)', () => {
  it.each([[undefined], [[serverAuth, clientAuth]], [[clientAuth, serverAuth, codeSigning]]])(
    'may be %j in a leaf',
    async (extendedKeyUsage) => {
      const profile = extendedKeyUsage === undefined ? {} : { extendedKeyUsage };
      expect(refusalOf([await leaf(anchor, profile)])).toBeUndefined();
    },
  );

  it.each([[[serverAuth]], [[clientAuth]], [[codeSigning]], [['2.5.29.37.0']]])(
    'may not be %j in a leaf',
    async (extendedKeyUsage) => {
      expect(refusalOf([await leaf(anchor, { extendedKeyUsage })])).toBe('svid_malformed');
    },
  );
});

describe('who signs (X509-SVID §3.2, §4.1, §4.2, §4.3)', () => {
  const below = async (ca: Profile, end: Profile = {}) => {
    const middle = await authority(anchor, ca);
    return [await leaf(middle, end), middle];
  };

  it.each<[string, Profile]>([
    ['an authority without a SPIFFE ID', {}],
    ['an authority with the SPIFFE ID of its trust domain', { uris: ['spiffe://corp.example'] }],
    ['an authority with that of another trust domain', { uris: ['spiffe://mother.example'] }],
    ['an authority for certificates alone', { keyUsage: keyCertSign }],
    [
      'an authority that may sign for its trust domain alone',
      { extensions: [nameConstraints([['uri', 'corp.example']])] },
    ],
    ['an authority with nobody below it', { pathLength: 0 }],
  ])('is %s', async (_, profile) => {
    expect(refusalOf(await below(profile))).toBeUndefined();
  });

  it.each<[string, Profile]>([
    ['whoever is no authority', { isCa: false }],
    ['an authority that does not say what its key is for', { keyUsage: null }],
    ['an authority whose key usage is not critical', { keyUsageCritical: false }],
    ['an authority whose key is not for certificates', { keyUsage: digitalSignature | cRLSign }],
    ['an authority with the SPIFFE ID of a workload', { uris: ['spiffe://corp.example/ca'] }],
    ['an authority with the root path', { uris: ['spiffe://corp.example/'] }],
    ['an authority with two URIs', { uris: ['spiffe://corp.example', 'spiffe://b.example'] }],
    [
      'an authority that may sign for another trust domain alone',
      { extensions: [nameConstraints([['uri', 'b.example']])] },
    ],
    [
      'an authority that may not sign for it',
      { extensions: [nameConstraints([], [['uri', 'corp.example']])] },
    ],
    ['an authority for another purpose', { extendedKeyUsage: [codeSigning] }],
  ])('is not %s', async (_, profile) => {
    expect(refusalOf(await below(profile))).toBe('untrusted_svid');
  });

  it('is not a workload with an SVID of its own', async () => {
    const workload = await leaf(anchor);
    expect(refusalOf([await leaf(workload, { name: 'O=b' }), workload])).toBe('untrusted_svid');
  });

  it('is held to the same in the bundle: what is no authority there makes it no bundle', async () => {
    const end = await leaf(anchor);
    expect(refusalOf([end], [anchor, await leaf(anchor)])).toBe('bundle_malformed');
    const loose = await root({ name: 'CN=Loose', keyUsageCritical: false });
    expect(refusalOf([await leaf(loose)], [loose])).toBe('untrusted_svid');
  });
});

describe('a chain', () => {
  it('of 8 certificates is read, of 9 and of 20 is not', async () => {
    const chainOf = async (length: number) => {
      const chain = [anchor];
      while (chain.length < length) chain.unshift(await authority(chain[0]!, { name: 'CN=Root' }));
      return [await leaf(chain[0]!), ...chain].slice(0, length);
    };
    expect(refusalOf(await chainOf(8))).toBeUndefined();
    expect(refusalOf(await chainOf(9))).toBe('certificate_malformed');
    expect(refusalOf(await chainOf(20))).toBe('certificate_malformed');
  });

  it('with something unreadable in it is refused', async () => {
    const broken = { ...anchor, der: anchor.der.subarray(1) };
    expect(refusalOf([await leaf(anchor), broken])).toBe('certificate_malformed');
  });

  it('of nothing is refused', () => {
    expect(refusalOf([])).toBe('certificate_missing');
  });
});

function names(count: number): x509.JsonGeneralNames {
  return Array.from({ length: count }, (_, n) => ({ type: 'dns' as const, value: `h${n}.example` }));
}
