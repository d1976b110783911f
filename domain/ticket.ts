import type { JsonObject } from './json';

/** What a ticket system says of one ticket right now, in words that are the same for every system. */
export interface TicketFact {
  readonly id: string;
  /** `open`, `closed` or `cancelled` where the system's own state stands for one; else that state itself. */
  readonly state: string;
  /** Whether the system's approvers said yes; null where this system has no such notion. */
  readonly approved: boolean | null;
  /** When the change may be made, epoch seconds, each end inclusive; null where this system has no such notion. */
  readonly window: { readonly start: number; readonly end: number } | null;
  /** Facts of the catalogue that this ticket proves. */
  readonly attests: readonly string[];
}

/** The fact in the words of the Rego rules and of audit events. */
export function ticketFactJson({ id, state, approved, window, attests }: TicketFact): JsonObject {
  return { id, state, approved, window: window && { start: window.start, end: window.end }, attests };
}

/** The fact of such words. */
export function ticketFactOf({ id, state, approved, window, attests }: JsonObject): TicketFact {
  return {
    id: id as string,
    state: state as string,
    approved: approved as boolean | null,
    window: window as TicketFact['window'],
    attests: attests as readonly string[],
  };
}

/** The best that a ticket can be: what a forecast takes for granted, which the worker looks up. */
export function goodTicket(id: string): TicketFact {
  return {
    id,
    state: 'open',
    approved: true,
    window: { start: 0, end: Number.MAX_SAFE_INTEGER },
    attests: [],
  };
}
