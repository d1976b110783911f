import { atbIn } from './atb';

const GROUND = [
  ...['--jurisdiction', 'EU', '--accountable', 'employee:emp-100'],
  ...['--basis', 'LI', '--ref', 'LI-1'],
];

/** Reads a contact by way of the broker; answers the code of the refusal, or `called`. */
export async function contactCall(stateDirectory: string): Promise<string> {
  const argv = ['call', 'crm', 'GET', '/contacts/C-42', '--as', 'agent/crm-assistant', ...GROUND, '--json'];
  const { exit, out } = await atbIn(stateDirectory, argv);
  const { code } = JSON.parse(out) as { code?: string };
  return exit === 0 ? 'called' : (code ?? `exit ${exit}`);
}
