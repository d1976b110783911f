import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { AtbError } from '../../domain/error';
import { tokenOf } from './body';
import { Caller } from './caller';
import type { CallerIdentity } from './caller-identity';
import { PoaRequests } from './poa-requests';

/** What became of a mandate: RFC 7009 revocation, RFC 7662 introspection. */
@Controller()
export class MandatesController {
  constructor(private readonly requests: PoaRequests) {}

  /** RFC 7009 §2.2: 200 for a token that was revoked, and for one that never was any good. */
  @Post('revoke')
  @HttpCode(200)
  async revoke(@Caller() caller: CallerIdentity, @Body() form: unknown): Promise<Record<string, never>> {
    const revocation = await this.requests.revoke(tokenOf(form), caller);
    if (!revocation.done) throw new AtbError(revocation.code, revocation.message);
    return {};
  }

  /** RFC 7662 §2.2: an inactive token is inactive, and nothing more is said. */
  @Post('introspect')
  @HttpCode(200)
  async introspect(
    @Caller() caller: CallerIdentity,
    @Body() form: unknown,
  ): Promise<Record<string, unknown>> {
    const introspection = await this.requests.introspect(tokenOf(form), caller);
    if (!introspection.active) return { active: false };
    return { active: true, token_type: 'PoA', ...introspection.claims };
  }
}
