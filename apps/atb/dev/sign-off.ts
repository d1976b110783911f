import { createPrivateKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { signSignOff } from '../../../adapters/jose/sign-off-statement';
import { parsePemCertificates } from '../../../adapters/spiffe';
import { AtbError } from '../../../domain/error';
import { PROPOSE, proposalSubject } from '../../../domain/proposal';
import type { Proposed } from '../../../domain/proposal';
import { proposalDigest } from '../../../domain/proposal-digest';
import type { DevelopmentIdentities } from './identities';
import { JsonClient } from './json-client';

/** Who signs what, in which role, and why. */
export interface Word {
  readonly by: string;
  readonly role: string;
  readonly step: string;
  readonly reason: string;
}

/** The people of the example company, who sign things off with their own keys, as people would by commands. */
export class ExamplePeople {
  private readonly clients = new Map<string, JsonClient>();
  private readonly ca: string;

  constructor(
    private readonly agentauthUrl: string,
    private readonly identities: DevelopmentIdentities['identities'],
    trustBundleFile: string,
  ) {
    this.ca = readFileSync(trustBundleFile, 'utf8');
  }

  /** Whether the newest of this kind and name that was approved is exactly this. */
  async haveApproved(proposed: Proposed): Promise<boolean> {
    const { body } = await this.as('grace').get('/proposals');
    const listed = Array.isArray(body.proposals) ? (body.proposals as readonly Listed[]) : [];
    const [newest] = listed.filter(
      ({ kind, name, state }) => kind === proposed.kind && name === proposed.name && state === 'approved',
    );
    return newest?.digest === proposalDigest(proposed);
  }

  async signOff(proposed: Proposed, proposer: Omit<Word, 'step'>, words: readonly Word[]): Promise<void> {
    const statement = await this.signed(proposed, proposalSubject(proposed), { ...proposer, step: PROPOSE });
    const asked = await this.as(proposer.by).post('/proposals', { ...proposed, statement });
    const id = String(asked.body.proposal_id);
    for (const word of words) {
      await this.as(word.by).post(`/proposals/${id}/sign-offs`, {
        statement: await this.signed(proposed, id, word),
      });
    }
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }

  private as(name: string): JsonClient {
    const known =
      this.clients.get(name) ?? new JsonClient({ url: this.agentauthUrl, ca: this.ca, ...this.pemOf(name) });
    this.clients.set(name, known);
    return known;
  }

  private signed(proposed: Proposed, on: string, { by, ...said }: Word): Promise<string> {
    const { cert, key } = this.pemOf(by);
    return signSignOff(createPrivateKey(key), parsePemCertificates(cert), {
      ...said,
      on,
      dig: proposalDigest(proposed),
      verdict: 'approve',
      iat: Math.floor(Date.now() / 1000),
      jti: randomBytes(16).toString('base64url'),
    });
  }

  private pemOf(name: string) {
    const files = this.identities[`person/${name}`];
    if (!files) throw new AtbError('internal', `the example company lacks ${name}`);
    return { cert: readFileSync(files.cert, 'utf8'), key: readFileSync(files.key, 'utf8') };
  }
}

interface Listed {
  readonly kind?: unknown;
  readonly name?: unknown;
  readonly state?: unknown;
  readonly digest?: unknown;
}
