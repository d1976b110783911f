import { randomBytes } from 'node:crypto';
import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import type { IssuerUse } from '../domain/identity-mapping';
import type { JsonObject } from '../domain/json';
import { TOKEN_PATH } from '../domain/token-exchange';
import type { TokenExchange, TokenExchangeRequest } from '../domain/token-exchange';
import { epochSeconds } from './assessment';
import type { ActivityPorts } from './ports';

const JTI_BYTES = 16;

/**
 * An agent that a platform hosts is one known agent here: the platform's token says who it is, policy's data whom that
 * names. It is given a token of ours, bound to its DPoP key and no longer good than the platform's. Recorded first.
 */
export async function exchangeToken(
  ports: ActivityPorts,
  { subjectToken, proof, url }: TokenExchangeRequest,
): Promise<TokenExchange> {
  const now = ports.clock();
  if (!URL.canParse(url) || new URL(url).pathname !== TOKEN_PATH) {
    throw new AtbError('dpop_proof_invalid', `the DPoP proof is not for ${TOKEN_PATH}`);
  }
  const { jkt } = ports.dpop.verify(proof, { method: 'POST', url, now });
  const { spiffeId, issuer, claims, ttlSeconds } = await mappedIdentity(
    ports,
    'platforms',
    subjectToken,
    now,
  );
  if ((await ports.policy.principal(spiffeId)).kind !== 'agent') {
    throw new AtbError('identity_unmapped', 'the one whom this token names is no agent of the directory');
  }
  const iat = epochSeconds(now);
  const exp = Math.min(iat + ttlSeconds, Number(claims.exp));
  const jti = randomBytes(JTI_BYTES).toString('base64url');
  await ports.ledger.append({
    id: `identity_token_issued/${jti}`,
    type: 'identity_token_issued',
    time: now,
    requestId: null,
    actor: spiffeId,
    subject: spiffeId,
    action: null,
    tier: null,
    reasons: [],
    data: {
      ...{ jti, jkt, exp, platform: issuer, platform_subject: claims.sub ?? null },
      platform_token_digest: sha256Base64url(subjectToken),
    },
  });
  const token = await ports.identityTokens.sign({
    ...{ iss: ports.issuer, aud: ports.issuer, sub: spiffeId },
    ...{ iat, exp, jti, cnf: { jkt } },
  });
  return { token, spiffeId, expiresInSeconds: exp - iat };
}

interface MappedIdentity {
  readonly spiffeId: string;
  readonly issuer: string;
  readonly claims: JsonObject;
  readonly ttlSeconds: number;
}

/** Whom another issuer's token names. Throws `token_invalid`, `identity_unmapped`, `identity_unavailable`. */
export async function mappedIdentity(
  ports: Pick<ActivityPorts, 'policy' | 'issuerTokens'>,
  use: IssuerUse,
  token: string,
  at: Date,
): Promise<MappedIdentity> {
  const issuer = ports.issuerTokens.issuerOf(token);
  const { issuer: trusted } = await ports.policy.identity({ use, issuer, claims: null });
  if (!trusted) throw new AtbError('token_invalid', 'policy does not know the issuer of this token');
  const claims = await ports.issuerTokens.verify(token, issuer, trusted, at);
  const [spiffeId, ...more] = (await ports.policy.identity({ use, issuer, claims })).spiffeIds;
  if (spiffeId === undefined || more.length > 0) {
    throw new AtbError(
      'identity_unmapped',
      'policy says of nobody, or of several, that this token is theirs',
    );
  }
  return { spiffeId, issuer, claims, ttlSeconds: trusted.ttlSeconds };
}
