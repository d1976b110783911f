import { readFileSync } from 'node:fs';
import { AtbError } from '../../../domain/error';
import { JsonClient } from './json-client';
import type { DevelopmentIdentities } from './identities';

/** One low-tier request by a real agent over mTLS. Throws when it brings no mandate; answers what happened, in words. */
export async function selfCheck(
  url: string,
  identities: DevelopmentIdentities['identities'],
  caFile: string,
): Promise<string> {
  const agent = identities['agent/crm-assistant'];
  if (!agent) throw new AtbError('internal', 'the example company lacks its agent');
  const client = new JsonClient({
    url,
    cert: readFileSync(agent.cert, 'utf8'),
    key: readFileSync(agent.key, 'utf8'),
    ca: readFileSync(caFile, 'utf8'),
  });
  try {
    const start = performance.now();
    const { status, body } = await client.post('/issue', {
      act: 'crm.contact.read',
      con: { params: { contact_id: 'self-check' } },
      leg: {
        jurisdiction: 'EU',
        accountable_party: { type: 'team', id: 'Platform-Ops' },
        basis: 'LI',
        ref: 'self-check',
      },
    });
    if (status !== 201 || typeof body.mandate !== 'string') {
      throw new AtbError('internal', `the self-check got ${status} and no mandate`);
    }
    const took = Math.round(performance.now() - start);
    return `${agent.spiffe_id} got mandate ${String(body.jti)} for crm.contact.read in ${took} ms`;
  } finally {
    client.close();
  }
}
