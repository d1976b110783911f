import { readFileSync } from 'node:fs';
import { AtbError } from '../../../domain/error';
import { JsonClient } from './json-client';
import type { DevelopmentIdentities } from './identities';

/**
 * One low-tier request by a real agent over mTLS, and the call that it is for. Throws where either brings nothing;
 * answers what happened, in words.
 */
export async function selfCheck(
  agentauthUrl: string,
  brokerUrl: string,
  identities: DevelopmentIdentities['identities'],
  caFile: string,
): Promise<string> {
  const agent = identities['agent/crm-assistant'];
  if (!agent) throw new AtbError('internal', 'the example company lacks its agent');
  const identity = {
    cert: readFileSync(agent.cert, 'utf8'),
    key: readFileSync(agent.key, 'utf8'),
    ca: readFileSync(caFile, 'utf8'),
  };
  const agentauth = new JsonClient({ url: agentauthUrl, ...identity });
  const broker = new JsonClient({ url: brokerUrl, ...identity });
  try {
    const start = performance.now();
    const { status, body } = await agentauth.post('/issue', {
      act: 'crm.contact.list',
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
    const issued = performance.now();
    const answer = await broker.get('/c/crm/contacts', { authorization: `PoA ${body.mandate}` });
    if (answer.status !== 200) {
      throw new AtbError('internal', `the self-check got ${answer.status} from the system behind the broker`);
    }
    const took = (from: number, to: number) => `${Math.round(to - from)} ms`;
    return (
      `${agent.spiffe_id} got mandate ${String(body.jti)} for crm.contact.list in ${took(start, issued)}, ` +
      `and listed the contacts with it in ${took(issued, performance.now())}`
    );
  } finally {
    agentauth.close();
    broker.close();
  }
}
