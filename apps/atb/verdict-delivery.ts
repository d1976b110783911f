import { randomBytes } from 'node:crypto';
import { signVerdict } from '../../adapters/jose/verdict-statement';
import type { JsonObject } from '../../domain/json';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import type { Svid } from './identity';
import { standingInWords } from './presentation';
import { requestPath } from './session';
import type { Session } from './session';
import { parseStanding } from './standing';
import type { Signable } from './to-approve';
import { deliverByTemporal } from './verdict-signal';
import type { SignedStatement } from './verdict-signal';
import type { Intent } from './words';

/** The verdict over exactly what was shown, signed with the key of one's own SVID. */
export async function signedVerdict(
  svid: Svid,
  { content, digest }: Signable,
  { word, role, reason, attests }: Intent,
  now: Date,
): Promise<SignedStatement> {
  const jti = randomBytes(16).toString('base64url');
  const statement = await signVerdict(svid.privateKey, svid.chain, {
    req: content.req,
    dig: digest,
    verdict: word,
    role,
    reason,
    attests: [...attests],
    iat: Math.floor(now.getTime() / 1000),
    jti,
  });
  return { requestId: content.req, jti, statement };
}

export async function deliverVerdict(
  session: Session,
  signed: SignedStatement,
  via: 'http' | 'temporal',
): Promise<{ readonly exit: ExitCode; readonly document: JsonObject; readonly text: string }> {
  const client = session.client();
  if (via === 'temporal') return await deliverByTemporal(session, client, signed);
  const path = `${requestPath(signed.requestId)}/verdicts`;
  const { body } = await client.post(path, { verdict: signed.statement });
  return { exit: EXIT.done, document: body, text: standingInWords(parseStanding(body), session.now) };
}
