import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCertificate } from '../../adapters/spiffe/certificate';
import { createDevelopmentCa, issueSvid, writePrivateKey } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import {
  TrustBundleSet,
  X509SvidValidator,
  parseBundleDocument,
  parsePemCertificates,
  validateX509Svid,
} from '../../adapters/spiffe';
import { describeVectors, reportVectors, vectorFiles, vectorText } from '../support/vectors';

const HOUR = 3_600_000;
const BOT = 'spiffe://corp.example/agent/finance-bot';
const misconfigured: Error = expect.objectContaining({ code: 'bundle_malformed' });
const refusal = (code: string): Error => expect.objectContaining({ code }) as Error;

let ca: DevelopmentCa;
let otherCa: DevelopmentCa;
let bundles: TrustBundleSet;
let folder: string;

beforeAll(async () => {
  ca = await createDevelopmentCa('corp.example', 30);
  otherCa = await createDevelopmentCa('other.example', 30);
  bundles = TrustBundleSet.of({
    'corp.example': parsePemCertificates(ca.certificatePem),
    'other.example': parsePemCertificates(otherCa.certificatePem),
  });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atb-bundles-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function chainOf(profile: Partial<SvidProfile> = {}, issuer = ca): Promise<readonly Uint8Array[]> {
  return parsePemCertificates((await issueSvid(issuer, { spiffeId: BOT, ttlHours: 1, ...profile })).chainPem);
}
const base64 = (chain: readonly Uint8Array[]) => chain.map((der) => Buffer.from(der).toString('base64'));

describe('an X.509-SVID', () => {
  it.each(['P-256', 'P-384', 'Ed25519'] as const)(
    'with a key on %s is valid, and says who it is',
    async (keyType) => {
      const issued = await issueSvid(ca, { spiffeId: BOT, ttlHours: 1, keyType });
      const chain = parsePemCertificates(issued.chainPem);
      const svid = validateX509Svid(chain, bundles, new Date());
      const certificate = new X509Certificate(issued.chainPem);
      expect(svid).toMatchObject({
        spiffeId: BOT,
        id: { trustDomain: 'corp.example', path: '/agent/finance-bot' },
      });
      expect(svid.notAfter).toEqual(new Date(certificate.validTo));
      expect(svid.x5tS256).toBe(
        Buffer.from(certificate.fingerprint256.replaceAll(':', ''), 'hex').toString('base64url'),
      );
      expect(certificate.checkPrivateKey(createPrivateKey(issued.privateKeyPem))).toBe(true);
      expect(svid.publicKey.equals(certificate.publicKey)).toBe(true);
    },
  );

  it('of a server has its names, and is valid for both purposes', async () => {
    const profile = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', '::1'] };
    const chain = await chainOf(profile);
    expect(validateX509Svid(chain, bundles, new Date(), { purpose: 'serverAuth' }).spiffeId).toBe(BOT);
    const { subjectAltName } = new X509Certificate(chain[0]!);
    expect(subjectAltName).toContain('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1');
  });

  it('is refused when there is none', () => {
    expect(() => validateX509Svid([], bundles, new Date())).toThrow(refusal('certificate_missing'));
  });

  it('from another authority of the same name is refused', async () => {
    const chain = await chainOf({}, await createDevelopmentCa('corp.example', 1));
    expect(() => validateX509Svid(chain, bundles, new Date())).toThrow(refusal('untrusted_svid'));
  });

  it('is refused when the authority of another trust domain issued it, though that one is trusted too', async () => {
    const chain = await chainOf({ spiffeId: 'spiffe://corp.example/person/bob' }, otherCa);
    expect(() => validateX509Svid(chain, bundles, new Date())).toThrow(refusal('untrusted_svid'));
    const withRoot = [...chain, ...parsePemCertificates(otherCa.certificatePem)];
    expect(() => validateX509Svid(withRoot, bundles, new Date())).toThrow(refusal('untrusted_svid'));
  });

  it('of an unknown trust domain is refused, even with its root in the chain', async () => {
    const stranger = await createDevelopmentCa('stranger.example', 1);
    const chain = await chainOf({ spiffeId: 'spiffe://stranger.example/agent/x' }, stranger);
    const withRoot = [...chain, ...parsePemCertificates(stranger.certificatePem)];
    expect(() => validateX509Svid(withRoot, bundles, new Date())).toThrow(refusal('trust_domain_unknown'));
  });

  it('is refused before and after its time, and when there is no time', async () => {
    const [notBefore, notAfter] = [new Date(Date.now() - 2 * HOUR), new Date(Date.now() - HOUR)];
    const chain = await chainOf({ notBefore, notAfter });
    const validateAt = (at: Date) => () => validateX509Svid(chain, bundles, at);
    expect(validateAt(new Date())).toThrow(refusal('certificate_expired'));
    expect(validateAt(new Date(0))).toThrow(refusal('certificate_not_yet_valid'));
    expect(validateAt(new Date(NaN))).toThrow(refusal('certificate_not_yet_valid'));
  });

  it('is refused when the authority has expired', async () => {
    const in40Days = new Date(Date.now() + 40 * 24 * HOUR);
    const chain = await chainOf({ notAfter: new Date(Date.now() + 50 * 24 * HOUR) });
    expect(() => validateX509Svid(chain, bundles, in40Days)).toThrow(refusal('untrusted_svid'));
  });

  it.each([
    ['no URI', [], 'svid_malformed'],
    ['two URIs', [BOT, 'spiffe://corp.example/person/bob'], 'svid_malformed'],
    ['one URI twice', [BOT, BOT], 'svid_malformed'],
    ['a URI that is no SPIFFE ID', ['https://corp.example/agent/finance-bot'], 'spiffe_id_malformed'],
    ['an upper-case trust domain', ['spiffe://Corp.example/agent/finance-bot'], 'spiffe_id_malformed'],
    ['a dot segment', ['spiffe://corp.example/agent/../person/bob'], 'spiffe_id_malformed'],
    ['percent-encoding', ['spiffe://corp.example/agent%2Ffinance-bot'], 'spiffe_id_malformed'],
    ['no path', ['spiffe://corp.example'], 'spiffe_id_malformed'],
    ['a query', [`${BOT}?as=bob`], 'spiffe_id_malformed'],
  ])('with %s is refused', async (_, uriSans, code) => {
    const chain = await chainOf({ uriSans });
    expect(() => validateX509Svid(chain, bundles, new Date())).toThrow(refusal(code));
  });

  it('is refused when it is the authority itself', () => {
    const chain = parsePemCertificates(ca.certificatePem);
    expect(() => validateX509Svid(chain, bundles, new Date())).toThrow(refusal('svid_malformed'));
  });

  it('is refused with any one byte changed, or bytes added', async () => {
    const [leaf] = await chainOf();
    const at = new Date();
    for (let position = 0; position < leaf!.length; position += 7) {
      const changed = Buffer.from(leaf!);
      changed.writeUInt8(changed.readUInt8(position) ^ 0x01, position);
      expect(() => validateX509Svid([changed], bundles, at)).toThrow(
        expect.objectContaining({ name: 'SpiffeError' }) as Error,
      );
    }
    for (const wrong of [
      Buffer.concat([leaf!, Buffer.from([0])]),
      leaf!.subarray(0, -1),
      new Uint8Array(0),
    ]) {
      expect(() => validateX509Svid([wrong], bundles, at)).toThrow(refusal('certificate_malformed'));
    }
  });

  it('in a chain of nine is refused', async () => {
    const [leaf] = await chainOf();
    expect(() => validateX509Svid(Array<Uint8Array>(9).fill(leaf!), bundles, new Date())).toThrow(
      refusal('certificate_malformed'),
    );
  });
});

describe('the validator', () => {
  it('remembers a good chain, and looks at the time all the same', async () => {
    const validator = new X509SvidValidator(bundles);
    const chain = base64(await chainOf());
    const svid = validator.validate(chain, new Date());
    expect(validator.validate(chain, new Date())).toBe(svid);
    expect(() => validator.validate(chain, new Date(Date.now() + 2 * HOUR))).toThrow(
      refusal('certificate_expired'),
    );
    expect(() => validator.validate(chain, new Date(0))).toThrow(refusal('certificate_not_yet_valid'));
    expect(() => validator.validate(chain, new Date(NaN))).toThrow(refusal('certificate_not_yet_valid'));
  });

  it('forgets the one that was used longest ago', async () => {
    const validator = new X509SvidValidator(bundles, { capacity: 2 });
    const [a, b, c] = [base64(await chainOf()), base64(await chainOf()), base64(await chainOf())];
    const at = new Date();
    const [svidA, svidB] = [validator.validate(a, at), validator.validate(b, at)];
    expect(validator.validate(a, at)).toBe(svidA);
    validator.validate(c, at);
    expect(validator.validate(a, at)).toBe(svidA);
    expect(validator.validate(b, at)).not.toBe(svidB);
  });

  it('does not remember what it refused', async () => {
    const validator = new X509SvidValidator(bundles);
    const chain = base64(await chainOf({}, await createDevelopmentCa('corp.example', 1)));
    const validate = () => validator.validate(chain, new Date());
    expect(validate).toThrow(refusal('untrusted_svid'));
    expect(validate).toThrow(refusal('untrusted_svid'));
  });

  it.each(['', ' ', 'AAAA ', 'AA', 'A-_A', 'not base64'])('refuses %j in place of base64', (text) => {
    expect(() => new X509SvidValidator(bundles).validate([text], new Date())).toThrow(
      refusal('certificate_malformed'),
    );
  });

  it('refuses an empty chain', () => {
    expect(() => new X509SvidValidator(bundles).validate([], new Date())).toThrow(
      refusal('certificate_missing'),
    );
  });

  it('needs under 100 microseconds for a chain that it knows', async () => {
    const validator = new X509SvidValidator(bundles);
    const chain = base64(await chainOf());
    const at = new Date();
    const timesMs = Array.from({ length: 500 }, () => {
      const started = performance.now();
      validator.validate(chain, at);
      return performance.now() - started;
    });
    // The best of many: what else the machine does is not ours.
    expect(Math.min(...timesMs)).toBeLessThan(0.1);
  });
});

describe('the trust bundles', () => {
  it('load from one file named by its trust domain, or from a folder of them', async () => {
    writeFileSync(join(folder, 'corp.example.pem'), ca.certificatePem);
    expect(TrustBundleSet.load(join(folder, 'corp.example.pem')).trustDomains).toEqual(['corp.example']);
    const x5c = base64(parsePemCertificates(otherCa.certificatePem));
    writeFileSync(
      join(folder, 'other.example.json'),
      JSON.stringify({ keys: [{ kty: 'EC', use: 'x509-svid', x5c }] }),
    );
    const loaded = TrustBundleSet.load(folder);
    expect(loaded.trustDomains).toEqual(['corp.example', 'other.example']);
    expect(validateX509Svid(await chainOf(), loaded, new Date()).spiffeId).toBe(BOT);
  });

  it('do not load where there is nothing: that would be open, or closed to all', () => {
    expect(() => TrustBundleSet.load(folder)).toThrow(misconfigured);
    expect(() => TrustBundleSet.load(join(folder, 'missing.pem'))).toThrow(misconfigured);
    expect(() => TrustBundleSet.of({})).toThrow(misconfigured);
    expect(() => TrustBundleSet.of({ 'corp.example': [] })).toThrow(misconfigured);
    writeFileSync(join(folder, 'corp.example.pem'), '');
    expect(() => TrustBundleSet.load(folder)).toThrow(misconfigured);
  });

  it('do not load under a name that is no trust domain, twice, with a key, or with what is no authority', async () => {
    const authority = parsePemCertificates(ca.certificatePem);
    expect(() => TrustBundleSet.of({ 'Corp.Example': authority })).toThrow(misconfigured);
    const leaf = await chainOf();
    expect(() => TrustBundleSet.of({ 'corp.example': leaf })).toThrow(misconfigured);
    expect(() => parsePemCertificates(ca.certificatePem + ca.privateKeyPem)).toThrow(misconfigured);
    writeFileSync(join(folder, 'corp.example.pem'), ca.certificatePem);
    writeFileSync(join(folder, 'corp.example.json'), '{"keys":[]}');
    expect(() => TrustBundleSet.load(folder)).toThrow(misconfigured);
  });
});

describe('the development authority', () => {
  it('writes keys for their owner only, over wider ones too', () => {
    const path = join(folder, 'deep', 'key.pem');
    writePrivateKey(path, ca.privateKeyPem);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const wide = join(folder, 'wide.pem');
    writeFileSync(wide, '', { mode: 0o644 });
    writePrivateKey(wide, ca.privateKeyPem);
    expect(statSync(wide).mode & 0o777).toBe(0o600);
  });

  it('is for a trust domain', async () => {
    await expect(createDevelopmentCa('Corp Example', 1)).rejects.toThrow(refusal('spiffe_id_malformed'));
  });
});

describeVectors('go-spiffe: SVIDs and bundles', () => {
  const SVIDS = ['go-spiffe', 'svid', 'x509svid', 'testdata'];
  const SPIFFE_BUNDLES = ['go-spiffe', 'bundle', 'spiffebundle', 'testdata'];
  const PEM_BUNDLES = ['go-spiffe', 'bundle', 'x509bundle', 'testdata'];
  const svid = (file: string) =>
    (vectorText(...SVIDS, file).match(/-----BEGIN CERT[^]*?END CERTIFICATE-----/g) ?? []).map(
      (pem) => parsePemCertificates(pem)[0]!,
    );
  const anyBundle = () => TrustBundleSet.of({ 'example.org': parsePemCertificates(ca.certificatePem) });
  let ran = 0;
  afterEach(() => {
    ran++;
  });
  afterAll(() => {
    reportVectors('go-spiffe', ran, {
      'key-pkcs8-ecdsa.pem, key-pkcs8-rsa.pem, corrupt-key.pem': 'keys without a certificate',
    });
  });

  // Their roots were not published, so a good one fails for its trust and nothing else.
  it.each([
    'good-cert-and-key.pem',
    'good-key-and-cert.pem',
    'good-leaf-and-intermediate.pem',
    'good-leaf-only.pem',
  ])('%s has the form of an SVID', (file) => {
    const chain = svid(file);
    const { notBefore } = parseCertificate(chain[0]!);
    expect(() => validateX509Svid(chain, anyBundle(), notBefore)).toThrow(refusal('untrusted_svid'));
  });

  it('good-leaf-and-intermediate.pem is signed by its intermediate', () => {
    const [leaf, intermediate] = svid('good-leaf-and-intermediate.pem').map(parseCertificate);
    expect(leaf!.isSignedBy(intermediate!)).toBe(true);
    const { spiffeId } = validateX509Svid(
      [leaf!.der],
      TrustBundleSet.of({ 'example.org': [intermediate!.der] }),
      leaf!.notBefore,
    );
    expect(spiffeId).toBe('spiffe://example.org/workload-1');
  });

  it.each([
    ['wrong-leaf-ca-true.pem', 'svid_malformed'],
    ['wrong-leaf-cert-sign.pem', 'svid_malformed'],
    ['wrong-leaf-crl-sign.pem', 'svid_malformed'],
    ['wrong-leaf-no-digital-signature.pem', 'svid_malformed'],
    ['wrong-leaf-empty-id.pem', 'svid_malformed'],
  ])('%s is refused', (file, code) => {
    const chain = svid(file);
    expect(() => validateX509Svid(chain, anyBundle(), new Date('2021-01-01'))).toThrow(refusal(code));
  });

  it.each(['wrong-intermediate-no-ca.pem', 'wrong-intermediate-no-key-cert-sign.pem'])(
    '%s leads nowhere',
    (file) => {
      const chain = svid(file);
      expect(() => validateX509Svid(chain, anyBundle(), new Date('2021-01-01'))).toThrow(
        refusal('untrusted_svid'),
      );
    },
  );

  it.each(['corrupt-cert.pem', 'not-pem'])('%s is no certificate', (file) => {
    expect(() => parsePemCertificates(vectorText(...SVIDS, file))).toThrow(misconfigured);
  });

  it.each(vectorFiles(...SPIFFE_BUNDLES))('%s loads where it has good authorities', (file) => {
    const load = () =>
      TrustBundleSet.ofDocuments([['domain.test', parseBundleDocument(vectorText(...SPIFFE_BUNDLES, file))]]);
    if (/no_keys|multiple_x509|missing_kid/.test(file)) expect(load).toThrow(misconfigured);
    else expect(load().trustDomains).toEqual(['domain.test']);
  });

  it.each([
    ['cert.pem', 1],
    ['certs.pem', 2],
  ])("%s has certificates, but of version 1, which are nobody's authority", (file, count) => {
    const certificates = parsePemCertificates(vectorText(...PEM_BUNDLES, file));
    expect(certificates).toHaveLength(count);
    expect(() => TrustBundleSet.of({ 'domain.test': certificates })).toThrow(misconfigured);
  });

  it.each(['corrupted.pem', 'empty.pem', 'key.pem', 'not-pem.pem'])('%s is no bundle', (file) => {
    expect(() => parsePemCertificates(vectorText(...PEM_BUNDLES, file))).toThrow(misconfigured);
  });
});
