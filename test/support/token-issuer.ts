import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';

/** Another issuer of tokens: a platform that hosts agents, with its keys at a URL. */
export class TokenIssuer {
  private readonly keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  fetches = 0;

  private constructor(
    private readonly server: Server,
    readonly issuer: string,
  ) {}

  static async start(): Promise<TokenIssuer> {
    const server = createServer((_request, response) => {
      issuer.fetches++;
      const jwk = { ...issuer.keys.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: [jwk] }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const issuer: TokenIssuer = new TokenIssuer(server, `http://127.0.0.1:${port}`);
    return issuer;
  }

  /** How policy's data trusts it. */
  trusted(subjects: readonly { claims: Record<string, unknown>; spiffe_id: string }[]) {
    return {
      ...{ jwks_uri: `${this.issuer}/jwks`, audience: 'atb', algorithms: ['RS256'] },
      ...{ max_age_seconds: 600, ttl_seconds: 300, subjects },
    };
  }

  token(claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const all = { iss: this.issuer, aud: 'atb', sub: 'workload-7', iat: now, exp: now + 600, ...claims };
    return new SignJWT(JSON.parse(JSON.stringify(all)) as Record<string, unknown>)
      .setProtectedHeader({ alg: 'RS256', kid: 'k1', ...header })
      .sign(this.keys.privateKey);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
