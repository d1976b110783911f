import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';

/** What signs the JWT-SVIDs of a trust domain, as a SPIFFE server does. */
export class JwtAuthority {
  constructor(
    readonly kid = 'a',
    readonly keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject } = generateKeyPairSync(
      'ec',
      {
        namedCurve: 'P-256',
      },
    ),
    private readonly alg = 'ES256',
  ) {}

  /** As it stands in a SPIFFE bundle (JWT-SVID §6.1). */
  get jwk() {
    return { ...this.keys.publicKey.export({ format: 'jwk' }), kid: this.kid, use: 'jwt-svid' };
  }

  /** A claim or header that is undefined is left out. */
  svid(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, now = new Date()) {
    const iat = Math.floor(now.getTime() / 1000);
    return new SignJWT(withoutAbsent({ iat, exp: iat + 300, ...claims }))
      .setProtectedHeader(
        withoutAbsent({ alg: this.alg, kid: this.kid, typ: 'JWT', ...header }) as { alg: string },
      )
      .sign(this.keys.privateKey);
  }
}

function withoutAbsent(values: Record<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(values)) as Record<string, unknown>;
}

/** The same token with an ES256 signature that is another and good too: (r, n − s) verifies wherever (r, s) does. */
export function otherSignatureOf(token: string): string {
  const ORDER = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
  const [head, body, signature = ''] = token.split('.');
  const hex = Buffer.from(signature, 'base64url').toString('hex');
  const s = (ORDER - BigInt(`0x${hex.slice(64)}`)).toString(16).padStart(64, '0');
  return `${head}.${body}.${Buffer.from(hex.slice(0, 64) + s, 'hex').toString('base64url')}`;
}
