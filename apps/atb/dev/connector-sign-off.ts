import { loadConnectors } from '../../../adapters/connector/definitions';
import type { Proposed } from '../../../domain/proposal';
import type { ExamplePeople } from './sign-off';

const WORDS = [
  {
    by: 'dave',
    role: 'security_lead',
    step: 'egress_allowlist',
    reason: 'the system of this machine, and nothing else',
  },
  { by: 'frank', role: 'legal', step: 'data_classification', reason: 'invented data only' },
  { by: 'grace', role: 'platform_ops', step: 'activation', reason: 'started with the stack' },
];

/**
 * The example company signs its connectors off (operating model §2.4), as people would by `atb connector`: where that
 * was not done before, for exactly the definitions in the folder.
 */
export async function signOffConnectors(people: ExamplePeople, folder: string): Promise<void> {
  for (const [name, { definition }] of loadConnectors(folder)) {
    const proposed: Proposed = { kind: 'connector', name, content: definition };
    if (await people.haveApproved(proposed)) continue;
    await people.signOff(proposed, { by: 'grace', role: 'platform_ops', reason: 'to try it out' }, WORDS);
  }
}
