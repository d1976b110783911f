import { readFile } from 'node:fs/promises';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { TicketFact, TicketSystem } from '../../domain/ports';

/**
 * Tickets in a file, for development: `{"CHG-1001": {"state": "open", "summary": "…"}}`. Read at every look-up, so
 * that closing a ticket is an edit of the file.
 */
export class FileTickets implements TicketSystem {
  constructor(private readonly file: string) {}

  async lookUp(ticket: string): Promise<TicketFact | null> {
    let tickets: unknown;
    try {
      tickets = JSON.parse(await readFile(this.file, 'utf8'));
    } catch (cause) {
      throw new AtbError('ticket_system_unavailable', 'the tickets cannot be read', { cause });
    }
    if (!isJsonObject(tickets))
      throw new AtbError('ticket_system_unavailable', 'the tickets are no JSON object');
    // Own members only: a ticket called `constructor` is nobody's.
    if (!Object.hasOwn(tickets, ticket)) return null;
    const found = tickets[ticket];
    if (!isJsonObject(found) || typeof found.state !== 'string')
      throw new AtbError('ticket_system_unavailable', 'the ticket is there, but not its state');
    return { id: ticket, state: found.state };
  }
}
