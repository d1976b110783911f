import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { signSignOff } from '../../adapters/jose/sign-off-statement';
import { PROPOSE, proposalSubject } from '../../domain/proposal';
import { proposalDigest } from '../../domain/proposal-digest';
import type { Proposed, SignOffClaims } from '../../domain/proposal';
import type { Answer } from './http';
import type { TestStack } from './stack';

/** Proposes and signs off with the key of a person of the example company, or with whatever a test wants to go wrong. */
export class Signer {
  constructor(
    private readonly stack: Pick<TestStack, 'as' | 'identity'>,
    readonly name: string,
    private readonly role: string,
  ) {}

  sign(on: string, proposed: Proposed, step: string, changes: Partial<SignOffClaims> = {}): Promise<string> {
    const { cert, key } = this.stack.identity(this.name);
    const chain = [new X509Certificate(readFileSync(cert)).raw];
    return signSignOff(createPrivateKey(readFileSync(key)), chain, {
      ...{ on, dig: proposalDigest(proposed), step, verdict: 'approve', role: this.role },
      ...{ reason: 'it is right', iat: Math.floor(Date.now() / 1000) },
      jti: randomBytes(16).toString('base64url'),
      ...changes,
    });
  }

  async propose(proposed: Proposed, changes: Partial<SignOffClaims> = {}): Promise<Answer> {
    const statement = await this.sign(proposalSubject(proposed), proposed, PROPOSE, changes);
    return this.stack.as(this.name).post('/proposals', { ...proposed, statement });
  }

  async signOff(
    id: string,
    proposed: Proposed,
    step: string,
    changes: Partial<SignOffClaims> = {},
  ): Promise<Answer> {
    return this.submit(id, await this.sign(id, proposed, step, changes));
  }

  submit(id: string, statement: string): Promise<Answer> {
    return this.stack.as(this.name).post(`/proposals/${id}/sign-offs`, { statement });
  }
}
