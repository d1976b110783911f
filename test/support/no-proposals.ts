import { openSignOff } from '../../adapters/jose/sign-off-statement';
import type { ActivityPorts } from '../../activities';

/** Where nothing was ever proposed, and nobody is suspended but whom `suspended` tells. */
export function noProposals(
  suspended: () => readonly string[] = () => [],
): Pick<ActivityPorts, 'proposals' | 'signOffs' | 'probes'> {
  return {
    proposals: { recordOf: () => Promise.resolve({ proposal: null, words: [], end: null }) },
    signOffs: { open: openSignOff },
    probes: {
      begin: () => Promise.reject(new Error('no probe was signed off')),
      suspend: () => Promise.reject(new Error('there is no probe')),
      lift: () => Promise.reject(new Error('there is no suspension')),
      suspended: () => Promise.resolve(suspended()),
    },
  };
}
