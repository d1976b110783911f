import { FileTickets } from '../adapters/ticket/file-tickets';
import { RestTickets } from '../adapters/ticket/rest-tickets';
import { readTicketSystem } from '../adapters/ticket/ticket-system';
import { portSpans } from '../adapters/tracing/port-spans';
import type { TicketSystem } from '../domain/ports';

/** The ticket system that is configured: one over HTTPS, or the file of the development one. */
export async function openTickets(
  configured: { readonly system: string } | { readonly file: string },
): Promise<TicketSystem> {
  const tickets =
    'file' in configured
      ? new FileTickets(configured.file)
      : new RestTickets(await readTicketSystem(configured.system));
  return portSpans<TicketSystem>('tickets', tickets, ['lookUp']);
}
