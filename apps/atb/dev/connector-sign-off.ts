import { createPrivateKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { loadConnectors } from '../../../adapters/connector/definitions';
import { signSignOff } from '../../../adapters/jose/sign-off-statement';
import { parsePemCertificates } from '../../../adapters/spiffe';
import { AtbError } from '../../../domain/error';
import { PROPOSE, proposalSubject } from '../../../domain/proposal';
import type { Proposed } from '../../../domain/proposal';
import { proposalDigest } from '../../../domain/proposal-digest';
import type { DevelopmentIdentities } from './identities';
import { JsonClient } from './json-client';

const STEPS = [
  ['dave', 'security_lead', 'egress_allowlist', 'the system of this machine, and nothing else'],
  ['frank', 'legal', 'data_classification', 'invented data only'],
  ['grace', 'platform_ops', 'activation', 'started with the stack'],
] as const;

/**
 * The example company signs its connectors off (operating model §2.4), as people would by `atb connector`: where that
 * was not done before, for exactly the definitions in the folder.
 */
export async function signOffConnectors(
  agentauthUrl: string,
  identities: DevelopmentIdentities['identities'],
  files: { readonly connectors: string; readonly caCertificate: string },
): Promise<void> {
  const ca = readFileSync(files.caCertificate, 'utf8');
  const clients = new Map<string, JsonClient>();
  const as = (name: string) => {
    const known = clients.get(name) ?? new JsonClient({ url: agentauthUrl, ca, ...pemOf(identities, name) });
    clients.set(name, known);
    return known;
  };
  try {
    const { body } = await as('grace').get('/proposals');
    const listed = Array.isArray(body.proposals) ? (body.proposals as readonly Listed[]) : [];
    for (const [name, { definition }] of loadConnectors(files.connectors)) {
      const proposed: Proposed = { kind: 'connector', name, content: definition };
      const [newest] = listed.filter((one) => one.name === name && one.state === 'approved');
      if (newest?.digest === proposalDigest(proposed)) continue;
      const word = (by: string, on: string, step: string, role: string, reason: string) =>
        signedWord(identities, by, { on, step, role, reason, dig: proposalDigest(proposed) });
      const asked = await as('grace').post('/proposals', {
        ...proposed,
        statement: await word('grace', proposalSubject(proposed), PROPOSE, 'platform_ops', 'to try it out'),
      });
      const id = String(asked.body.proposal_id);
      for (const [by, role, step, reason] of STEPS) {
        const statement = await word(by, id, step, role, reason);
        await as(by).post(`/proposals/${id}/sign-offs`, { statement });
      }
    }
  } finally {
    for (const client of clients.values()) client.close();
  }
}

interface Listed {
  readonly name?: unknown;
  readonly state?: unknown;
  readonly digest?: unknown;
}

function pemOf(identities: DevelopmentIdentities['identities'], name: string) {
  const files = identities[`person/${name}`];
  if (!files) throw new AtbError('internal', `the example company lacks ${name}`);
  return { cert: readFileSync(files.cert, 'utf8'), key: readFileSync(files.key, 'utf8') };
}

function signedWord(
  identities: DevelopmentIdentities['identities'],
  name: string,
  said: {
    readonly on: string;
    readonly step: string;
    readonly role: string;
    readonly reason: string;
    readonly dig: string;
  },
): Promise<string> {
  const { cert, key } = pemOf(identities, name);
  return signSignOff(createPrivateKey(key), parsePemCertificates(cert), {
    ...said,
    verdict: 'approve',
    iat: Math.floor(Date.now() / 1000),
    jti: randomBytes(16).toString('base64url'),
  });
}
