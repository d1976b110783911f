import { Body, Controller, Header, HttpCode, Inject, Post, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AtbError } from '../../domain/error';
import { BoundTokens } from './bound-tokens';
import { Public } from './caller';
import { PoaRequests } from './poa-requests';

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TOKEN_TYPES = ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token'];

/** RFC 8693: a token of the platform that hosts an agent, for one of ours that is bound to the agent's key. */
@Controller('token')
export class TokenController {
  constructor(
    private readonly requests: PoaRequests,
    @Inject(BoundTokens) private readonly tokens: BoundTokens,
  ) {}

  @Post()
  @HttpCode(200)
  // RFC 6749 §5.1.
  @Header('cache-control', 'no-store')
  @Public()
  async exchange(@Body() form: unknown, @Req() request: FastifyRequest): Promise<Record<string, unknown>> {
    const fields = fieldsOf(form);
    if (fields.get('grant_type') !== GRANT) throw invalid(`grant_type must be ${GRANT}`);
    if (!TOKEN_TYPES.includes(fields.get('subject_token_type') ?? '')) {
      throw invalid(`subject_token_type must be one of ${TOKEN_TYPES.join(', ')}`);
    }
    const subjectToken = fields.get('subject_token');
    if (!subjectToken) throw invalid('subject_token is missing');
    const now = new Date();
    const { proof, url } = this.tokens.proof(request, now);
    const { token, spiffeId, expiresInSeconds } = await this.requests.exchange({
      ...{ subjectToken, proof, url },
      presentedAt: Math.floor(now.getTime() / 1000),
    });
    return {
      access_token: token,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'DPoP',
      expires_in: expiresInSeconds,
      spiffe_id: spiffeId,
    };
  }
}

/** RFC 6749 §3.2: no parameter twice. */
function fieldsOf(form: unknown): ReadonlyMap<string, string> {
  if (!(form instanceof URLSearchParams)) throw invalid('the body must be a form');
  const fields = new Map<string, string>();
  for (const [name, value] of form) {
    if (fields.has(name)) throw invalid(`${name} is there twice`);
    fields.set(name, value);
  }
  return fields;
}

function invalid(why: string): AtbError {
  return new AtbError('invalid_request', why);
}
