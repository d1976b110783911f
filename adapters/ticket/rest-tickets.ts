import { readFile } from 'node:fs/promises';
import {
  circuitBreaker,
  ConsecutiveBreaker,
  ExponentialBackoff,
  handleWhen,
  retry,
  timeout,
  TimeoutStrategy,
  wrap,
} from 'cockatiel';
import type { IPolicy } from 'cockatiel';
import { AtbError, isAtbError } from '../../domain/error';
import type { Json } from '../../domain/json';
import { at } from '../../domain/json-pointer';
import type { TicketSystem } from '../../domain/ports';
import { parseStrictJson } from '../../domain/strict-json';
import type { TicketFact } from '../../domain/ticket';
import { exchange } from '../http/outbound';
import type { OutboundAnswer } from '../http/outbound';
import type { Expected } from './presets';
import type { TicketSystemConfiguration } from './ticket-system';

// A system that failed five times in a row is left alone for a while: whoever asks meanwhile is refused at once.
const BREAKS_AFTER_FAILURES = 5;
const TRIES_AGAIN_AFTER_MS = 5_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 400;
const MAX_DEPTH = 32;
const NOT_FOUND = 404;

/** A failure that another try may not have: the system is away, or in trouble. */
class Troubled extends Error {
  override readonly name = 'Troubled';
}

/**
 * Tickets over HTTPS, as configuration describes the system. An answer that is not exactly of the described form is
 * none: nothing is guessed about a ticket. Reading repeats harmlessly, so it is tried again.
 */
export class RestTickets implements TicketSystem {
  private readonly pattern: RegExp;
  private readonly careful: IPolicy;

  constructor(
    private readonly configuration: TicketSystemConfiguration,
    breaker: { readonly afterFailures: number; readonly pauseMs: number } = {
      afterFailures: BREAKS_AFTER_FAILURES,
      pauseMs: TRIES_AGAIN_AFTER_MS,
    },
  ) {
    this.pattern = new RegExp(`^(?:${configuration.ticketPattern})$`, 'u');
    const troubled = handleWhen((error) => error instanceof Troubled);
    this.careful = wrap(
      timeout(configuration.timeoutMs, TimeoutStrategy.Aggressive),
      retry(troubled, {
        maxAttempts: configuration.attempts - 1,
        backoff: new ExponentialBackoff({ initialDelay: FIRST_PAUSE_MS, maxDelay: LONGEST_PAUSE_MS }),
      }),
      circuitBreaker(troubled, {
        halfOpenAfter: breaker.pauseMs,
        breaker: new ConsecutiveBreaker(breaker.afterFailures),
      }),
    );
  }

  async lookUp(ticket: string): Promise<TicketFact | null> {
    // Not the name of a ticket of this system: nobody is asked.
    if (!this.pattern.test(ticket)) return null;
    const url = ticketUrl(this.configuration.url, ticket);
    if (!url) return null;
    try {
      const answer = await this.careful.execute(({ signal }) => this.ask(url, signal));
      return this.read(ticket, answer);
    } catch (error) {
      if (isAtbError(error)) throw error;
      throw unavailable('the ticket system does not answer', error);
    }
  }

  private async ask(url: URL, signal: AbortSignal): Promise<OutboundAnswer> {
    const { caFile, timeoutMs, attempts, maxResponseBytes } = this.configuration;
    const headers = { accept: 'application/json', ...(await this.credentials()) };
    const ca = caFile === undefined ? undefined : await readSecret(caFile);
    let answer: OutboundAnswer;
    try {
      answer = await exchange(url, {
        method: 'GET',
        headers,
        ca,
        signal,
        timeoutMs: Math.ceil(timeoutMs / attempts),
        maxBytes: maxResponseBytes,
      });
    } catch (cause) {
      throw new Troubled((cause as Error).message, { cause });
    }
    if (answer.status >= 500 || answer.status === 429) throw new Troubled(`it answered ${answer.status}`);
    return answer;
  }

  private async credentials(): Promise<Readonly<Record<string, string>>> {
    const { authentication } = this.configuration;
    switch (authentication.type) {
      case 'bearer':
        return { authorization: `Bearer ${await readSecret(authentication.tokenFile)}` };
      case 'basic': {
        const pair = `${authentication.username}:${await readSecret(authentication.passwordFile)}`;
        return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
      }
      case 'header':
        return { [authentication.name.toLowerCase()]: await readSecret(authentication.valueFile) };
    }
  }

  private read(ticket: string, { status, body }: OutboundAnswer): TicketFact | null {
    if (status === NOT_FOUND) return null;
    // A redirect too: the credential is for the configured host alone.
    if (status !== 200) throw unavailable(`the ticket system answered ${status}`);
    let document: Json;
    try {
      document = parseStrictJson(body, { maxDepth: MAX_DEPTH });
    } catch (cause) {
      throw unavailable('the ticket system answered with something that is not JSON', cause);
    }
    const found = this.one(document);
    return found === undefined ? null : this.fact(ticket, found);
  }

  /** The ticket in an answer; undefined where the answer is a list without any. */
  private one(document: Json): Json | undefined {
    const { results } = this.configuration;
    if (results === undefined) return document;
    const list = at(document, results);
    if (!Array.isArray(list)) throw unavailable('the ticket system answered without a list');
    if (list.length > 1) throw unavailable('the ticket system knows several tickets of that name');
    return (list as readonly Json[])[0];
  }

  private fact(ticket: string, document: Json): TicketFact {
    const { id, state, approval, window, attests } = this.configuration;
    // A system that answers about another ticket (a moved one, a loose search) does not answer about this one.
    if (at(document, id) !== ticket) throw unavailable('the ticket system answered about another ticket');
    const current = textOf(at(document, state.pointer));
    if (current === undefined) throw unavailable('the ticket system answered without a state');
    return {
      id: ticket,
      state: stateIn(state, current),
      approved: approval === undefined ? null : says(document, approval),
      window: window === undefined ? null : windowIn(document, window),
      attests: Object.entries(attests)
        .filter(([, expected]) => says(document, expected))
        .map(([fact]) => fact),
    };
  }
}

/** The URL with the id in its place, percent-encoded; undefined where that would lead elsewhere than the template. */
export function ticketUrl(template: string, ticket: string): URL | undefined {
  const encoded = encodeURIComponent(ticket).replace(/[!'()*]/g, percentEncoded);
  const text = template.replaceAll('{ticket}', encoded);
  const url = new URL(text);
  // What the parser would change (`..`, a tab) is no id.
  return url.href === text ? url : undefined;
}

function percentEncoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

function stateIn(state: TicketSystemConfiguration['state'], current: string): string {
  if (state.open.includes(current)) return 'open';
  if (state.closed.includes(current)) return 'closed';
  if (state.cancelled.includes(current)) return 'cancelled';
  // Told as it is, and never as `open`, whatever the system calls it.
  return `other: ${current}`;
}

function says(document: Json, { pointer, accepted }: Expected): boolean {
  const value = textOf(at(document, pointer));
  return value !== undefined && accepted.includes(value);
}

/** A ticket without planned times has a window that is never open. */
function windowIn(document: Json, pointers: { readonly start: string; readonly end: string }) {
  const start = epochSecondsOf(at(document, pointers.start));
  const end = epochSecondsOf(at(document, pointers.end));
  return start === undefined || end === undefined ? { start: 0, end: 0 } : { start, end };
}

/** Systems write a state as text, a number or a flag. */
function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

const MOMENT = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$/;

/** RFC 3339, the offset also without its colon (Jira), or none at all: that is UTC (ServiceNow). */
export function epochSecondsOf(value: Json | undefined): number | undefined {
  if (typeof value !== 'string') return undefined;
  const [, day, time, offset = 'Z'] = MOMENT.exec(value) ?? [];
  if (day === undefined || time === undefined) return undefined;
  const zone = offset === 'Z' || offset.includes(':') ? offset : `${offset.slice(0, 3)}:${offset.slice(3)}`;
  const milliseconds = Date.parse(`${day}T${time}${zone}`);
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

async function readSecret(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw unavailable('a secret for the ticket system cannot be read', cause);
  }
}

function unavailable(message: string, cause?: unknown): AtbError {
  return new AtbError('ticket_system_unavailable', message, cause === undefined ? {} : { cause });
}
