import { createPublicKey } from 'node:crypto';
import type { JsonWebKey } from 'node:crypto';
import fc from 'fast-check';
import { calculateJwkThumbprint } from 'jose';
import { importMandateJwks } from '../../adapters/jose/mandate-keys';
import { algorithmOf, isSignedBy } from '../../adapters/jose/signature';
import { decodeBase64url, parseCompactJws } from '../../domain/compact-jws';
import { describeVectors, reportVectors, vectorJson } from '../support/vectors';

const FORM = { typ: 'test+jwt', headerParameters: ['kid'], maxLength: 500, code: 'mandate_invalid' } as const;
const refused: Error = expect.objectContaining({ code: 'mandate_invalid' });
const b64 = (text: string) => Buffer.from(text).toString('base64url');
const HEADER = '{"alg":"EdDSA","typ":"test+jwt","kid":"k"}';

describe('base64url', () => {
  it('decodes what was encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(Buffer.from(decodeBase64url(Buffer.from(bytes).toString('base64url'))!)).toEqual(
          Buffer.from(bytes),
        );
      }),
    );
  });

  it('has one spelling for each content', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 6, unit: fc.constantFrom(...'ABQgwxyz-_+/= \u0101'.split('')) }),
        (text) => {
          const bytes = decodeBase64url(text);
          if (bytes) expect(Buffer.from(bytes).toString('base64url')).toBe(text);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it.each(['A', 'AAAAA', 'AB', 'AAB', 'AA==', 'AA=', 'A+', 'A/', 'A A', ' AA', 'AA\n', 'ÁA'])(
    'is not %j',
    (text) => {
      expect(decodeBase64url(text)).toBeUndefined();
    },
  );
});

describe('a compact JWS', () => {
  it('is taken apart into header, claims and signature', () => {
    const jws = `${b64(HEADER)}.${b64('{"a":1}')}.${b64('sig')}`;
    expect(parseCompactJws(jws, FORM)).toEqual({
      header: { alg: 'EdDSA', typ: 'test+jwt', kid: 'k' },
      claims: { a: 1 },
      signature: new TextEncoder().encode('sig'),
      signingInput: `${b64(HEADER)}.${b64('{"a":1}')}`,
    });
  });

  it.each([
    ['two parts', `${b64(HEADER)}.${b64('{}')}`],
    ['four parts', `${b64(HEADER)}.${b64('{}')}.${b64('s')}.`],
    ['no signature', `${b64(HEADER)}.${b64('{}')}.`],
    ['no header', `.${b64('{}')}.${b64('s')}`],
    ['a trailing line', `${b64(HEADER)}.${b64('{}')}.${b64('s')}\n`],
    ['padding', `${b64(HEADER)}=.${b64('{}')}.${b64('s')}`],
    ['bits beyond the last byte', `${b64(HEADER)}.${b64('{}')}.AB`],
    ['a header that is a list', `${b64('[]')}.${b64('{}')}.${b64('s')}`],
    ['a payload that is no object', `${b64(HEADER)}.${b64('"text"')}.${b64('s')}`],
    ['a payload that is not JSON', `${b64(HEADER)}.${b64('text')}.${b64('s')}`],
    ['a claim twice', `${b64(HEADER)}.${b64('{"a":1,"a":2}')}.${b64('s')}`],
    ['another typ', `${b64(HEADER.replace('test+', 'other+'))}.${b64('{}')}.${b64('s')}`],
    ['a typ in other case', `${b64(HEADER.replace('test+', 'TEST+'))}.${b64('{}')}.${b64('s')}`],
    ['no typ', `${b64('{"alg":"EdDSA","kid":"k"}')}.${b64('{}')}.${b64('s')}`],
    ['no alg', `${b64('{"typ":"test+jwt","kid":"k"}')}.${b64('{}')}.${b64('s')}`],
    ['no kid', `${b64('{"alg":"EdDSA","typ":"test+jwt"}')}.${b64('{}')}.${b64('s')}`],
    ['alg twice', `${b64(HEADER.replace('{', '{"alg":"none",'))}.${b64('{}')}.${b64('s')}`],
    ['crit', `${b64(HEADER.replace('{', '{"crit":["b64"],'))}.${b64('{}')}.${b64('s')}`],
    ['jwk', `${b64(HEADER.replace('{', '{"jwk":{},'))}.${b64('{}')}.${b64('s')}`],
    ['jku', `${b64(HEADER.replace('{', '{"jku":"https://x.example",'))}.${b64('{}')}.${b64('s')}`],
    ['too much', `${b64(HEADER)}.${b64(`{"a":"${'a'.repeat(500)}"}`)}.${b64('s')}`],
  ])('is refused with %s', (_, jws) => {
    expect(() => parseCompactJws(jws, FORM)).toThrow(refused);
  });
});

interface WycheproofGroup {
  publicKeyJwk: JsonWebKey;
  tests: { tcId: number; msg: string; sig: string; result: string }[];
}

describeVectors('Wycheproof: Ed25519 signatures', () => {
  it('verify exactly where the vector says valid', () => {
    const { testGroups } = vectorJson('wycheproof', 'ed25519_test.json') as { testGroups: WycheproofGroup[] };
    let ran = 0;
    const wrong: number[] = [];
    for (const { publicKeyJwk, tests } of testGroups) {
      const key = createPublicKey({ key: publicKeyJwk, format: 'jwk' });
      for (const { tcId, msg, sig, result } of tests) {
        if (isSignedBy(key, Buffer.from(msg, 'hex'), Buffer.from(sig, 'hex')) !== (result === 'valid'))
          wrong.push(tcId);
        ran++;
      }
    }
    reportVectors('wycheproof ed25519', ran);
    expect(wrong).toEqual([]);
    expect(ran).toBe(151);
  });
});

describeVectors('Wycheproof: JSON Web Keys', () => {
  it('none of them is a mandate key: those have one type and one algorithm', () => {
    const { testGroups } = vectorJson('wycheproof', 'json_web_key_test.json') as {
      testGroups: { public?: unknown; private: unknown; tests: { tcId: number }[] }[];
    };
    let ran = 0;
    for (const { public: publicKeys, private: privateKeys, tests } of testGroups) {
      expect(() => importMandateJwks(publicKeys ?? privateKeys)).toThrow(
        expect.objectContaining({ code: 'configuration_invalid' }) as Error,
      );
      ran += tests.length;
    }
    reportVectors('wycheproof json_web_key', ran);
    expect(ran).toBe(26);
  });
});

describeVectors('JOSE cookbook', () => {
  interface Example {
    input: { payload: string; key: JsonWebKey };
    signing: { 'sig-input': string; sig: string };
  }
  const ed25519 = vectorJson('jose-cookbook', 'curve25519', 'jws.json') as Example;
  afterAll(() => {
    reportVectors('jose-cookbook', 3, {
      'jws/4_1, 4_2, 4_3':
        'RS256, PS384, ES512: ATB signs with EdDSA, ES256 and ES384 only; run as JWT-SVIDs',
      'jws/4_4': 'HS256: no secret is shared with anybody',
      'jws/4_5': 'detached content: the payload is always in the statement',
      'jws/4_6': 'JSON serialization: compact only',
      'jws/4_7': 'JSON serialization: compact only',
      'jws/4_8': 'several signatures: one only',
      'curve25519/ecdh-es': 'encryption',
      'jwk/3_3 to 3_6': 'RSA and symmetric keys: a mandate key is Ed25519',
    });
  });

  it("RFC 8037's example signature verifies, and not over other content", () => {
    const { kty, crv, x } = ed25519.input.key as { kty: string; crv: string; x: string };
    const key = createPublicKey({ key: { kty, crv, x }, format: 'jwk' });
    const signature = decodeBase64url(ed25519.signing.sig)!;
    const input = Buffer.from(ed25519.signing['sig-input']);
    expect(algorithmOf(key)).toBe('EdDSA');
    expect(isSignedBy(key, input, signature)).toBe(true);
    expect(isSignedBy(key, input.subarray(1), signature)).toBe(false);
  });

  it("RFC 8037's example key has the thumbprint that the RFC gives", async () => {
    // RFC 8037 appendix A.3.
    expect(await calculateJwkThumbprint(ed25519.input.key)).toBe(
      'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
    );
  });

  it('a key on P-521 has no algorithm here', () => {
    const jwk = vectorJson('jose-cookbook', 'jwk', '3_1.ec_public_key.json') as JsonWebKey;
    expect(algorithmOf(createPublicKey({ key: jwk, format: 'jwk' }))).toBeUndefined();
  });
});
