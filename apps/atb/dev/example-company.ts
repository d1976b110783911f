/** The identities of the example company (trust domain corp.example) that a development stack issues SVIDs to. */
export const TRUST_DOMAIN = 'corp.example';

export const AGENTAUTH_ID = `spiffe://${TRUST_DOMAIN}/agentauth`;
export const BROKER_ID = `spiffe://${TRUST_DOMAIN}/broker`;

/** The systems behind the broker, by the names of their connectors. */
export const EXAMPLE_SYSTEMS = ['erp', 'crm'] as const;

const AGENTS = ['crm-assistant', 'finance-bot', 'hr-helper', 'explorer'];
const PEOPLE = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'kim', 'leo'];

/** Names as dev.json and the command line's `--as` use them, for example `agent/finance-bot`. */
export const IDENTITY_NAMES: readonly string[] = [
  ...AGENTS.map((name) => `agent/${name}`),
  ...PEOPLE.map((name) => `person/${name}`),
];

export function spiffeIdOf(name: string): string {
  return `spiffe://${TRUST_DOMAIN}/${name}`;
}

/** What the development ticket system knows at first; the file may be edited while the stack runs. */
export const EXAMPLE_TICKETS = {
  'CHG-1001': { state: 'open', summary: 'Rotate the master key in the quarterly window' },
  'CHG-1002': { state: 'closed', summary: 'A change that is over' },
} as const;
