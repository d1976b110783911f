// Verifies mandates with nothing but jose. One mandate a line on stdin; a line for each on stdout.
// node verify.js JWKS_FILE ISSUER AUDIENCE
import { readFileSync } from 'node:fs';
import { base64url, createLocalJWKSet, jwtVerify } from 'jose';
import type { JSONWebKeySet, JWTPayload } from 'jose';

const CLAIMS = ['sub', 'act', 'con', 'leg', 'tier', 'pol', 'req', 'jti', 'iat', 'nbf', 'exp', 'cnf'];

export async function verifyMandate(
  mandate: string,
  jwks: JSONWebKeySet,
  issuer: string,
  audience: string,
): Promise<JWTPayload> {
  // One spelling only: other bits in the last letter would be the same bytes, and another text.
  for (const part of mandate.split('.')) {
    if (base64url.encode(base64url.decode(part)) !== part) throw new Error('not canonical base64url');
  }
  const { payload, protectedHeader } = await jwtVerify(mandate, createLocalJWKSet(jwks), {
    algorithms: ['EdDSA'], // never what the header says
    typ: 'poa+jwt',
    issuer,
    audience,
    clockTolerance: 5,
    requiredClaims: CLAIMS,
  });
  if (Object.keys(protectedHeader).sort().join() !== 'alg,kid,typ') throw new Error('unknown header');
  if (payload.aud !== audience) throw new Error('aud is not one text');
  // Whoever brings it must hold the key that cnf names (RFC 8705, RFC 9449), and it works once: keep each jti.
  return payload;
}

if (require.main === module) {
  void (async () => {
    const [file = '', issuer = '', audience = ''] = process.argv.slice(2);
    const jwks = JSON.parse(readFileSync(file, 'utf8')) as JSONWebKeySet;
    for (const line of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
      const said = await verifyMandate(line, jwks, issuer, audience).then(
        ({ sub, act }) => `valid ${String(sub)} ${String(act)}`,
        (error: unknown) => `refused ${String(error)}`,
      );
      console.log(said.replaceAll('\n', ' '));
    }
  })();
}
