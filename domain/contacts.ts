import { AtbError } from './error';
import { isJsonObject } from './json';
import type { JsonObject } from './json';

/**
 * Policy data by which every team that the RACI matrix names can be reached (operating model §1, §8). Throws
 * `policy_bundle_refused` with the team and the activity where one cannot.
 */
export function requireContacts({ raci, contacts }: JsonObject): void {
  const reached = isJsonObject(contacts) ? contacts : {};
  for (const [activity, row] of Object.entries(isJsonObject(raci) ? raci : {})) {
    const teams = isJsonObject(row) && isJsonObject(row.teams) ? Object.keys(row.teams) : [];
    for (const team of teams) {
      const contact = Object.hasOwn(reached, team) ? reached[team] : undefined;
      const { channel, email } = isJsonObject(contact) ? contact : {};
      if (typeof channel === 'string' && channel !== '' && typeof email === 'string' && email !== '')
        continue;
      throw new AtbError('policy_bundle_refused', `${team}, which ${activity} names, has no contact`);
    }
  }
}

/** How a team is reached (operating model §8). */
export interface Contact {
  readonly channel: string;
  readonly email: string;
}

/** Reads an answer of `atb/responsibility/reached`: by team. Throws `policy_unavailable`. */
export function parseContacts(value: unknown): ReadonlyMap<string, Contact> {
  const contacts = Object.entries(isJsonObject(value) ? value : {}).map(([team, contact]) => {
    const { channel, email } = isJsonObject(contact) ? contact : {};
    if (typeof channel !== 'string' || typeof email !== 'string') {
      throw new AtbError('policy_unavailable', 'policy answered without proper contacts');
    }
    return [team, { channel, email }] as const;
  });
  if (contacts.length === 0) throw new AtbError('policy_unavailable', 'policy answered without contacts');
  return new Map(contacts);
}
