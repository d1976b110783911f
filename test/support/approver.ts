import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { signVerdict } from '../../adapters/jose/verdict-statement';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import type { VerdictClaims } from '../../domain/verdict';
import type { Answer } from './http';
import type { TestStack } from './stack';

/** Signs verdicts with the key of a person of the example company, or with whatever a test wants to go wrong. */
export class Approver {
  constructor(
    private readonly stack: Pick<TestStack, 'as' | 'identity'>,
    readonly name: string,
    private readonly role: string,
  ) {}

  /** The statement over what GET /requests/:id shows; `changes` make it a wrong one. */
  async sign(requestId: string, changes: Partial<VerdictClaims> = {}): Promise<string> {
    const seen = await this.stack.as(this.name).get(`/requests/${requestId}`);
    const content = seen.body.to_approve ?? {};
    return this.signClaims({
      req: requestId,
      dig: sha256Base64url(canonicalJson(content)),
      verdict: 'approve',
      role: this.role,
      reason: 'it is right',
      attests: [],
      iat: Math.floor(Date.now() / 1000),
      jti: randomBytes(16).toString('base64url'),
      ...changes,
    });
  }

  signClaims(claims: VerdictClaims): Promise<string> {
    const { cert, key } = this.stack.identity(this.name);
    const chain = [new X509Certificate(readFileSync(cert)).raw];
    return signVerdict(createPrivateKey(readFileSync(key)), chain, claims);
  }

  async submit(requestId: string, statement: string): Promise<Answer> {
    return this.stack.as(this.name).post(`/requests/${requestId}/verdicts`, { verdict: statement });
  }

  async give(requestId: string, changes: Partial<VerdictClaims> = {}): Promise<Answer> {
    return this.submit(requestId, await this.sign(requestId, changes));
  }
}
