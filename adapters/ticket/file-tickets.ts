import { readFile } from 'node:fs/promises';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { TicketSystem } from '../../domain/ports';
import type { TicketFact } from '../../domain/ticket';

/**
 * Tickets in a file, for development: `{"CHG-1001": {"state": "open", "summary": "…"}}`, and where it matters
 * `"approved": true`, `"window": {"start": 1767225600, "end": 1767229200}` (epoch seconds), `"attests": ["…"]`. Read at
 * every look-up, so that closing a ticket is an edit of the file.
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
    const { state, approved = null, window = null, attests = [] } = found;
    if (!isApproval(approved) || !isWindow(window) || !isTexts(attests))
      throw new AtbError('ticket_system_unavailable', 'the ticket is there, but not in its form');
    return { id: ticket, state, approved, window, attests };
  }
}

function isApproval(value: unknown): value is TicketFact['approved'] {
  return value === null || typeof value === 'boolean';
}

function isWindow(value: unknown): value is TicketFact['window'] {
  if (value === null) return true;
  return isJsonObject(value) && Number.isSafeInteger(value.start) && Number.isSafeInteger(value.end);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
