import { Client } from 'pg';
import { AtbError } from '../../domain/error';
import type { StandingOrders } from '../../domain/redemption';
import type { StopScope } from '../../domain/stop';

export interface RevocationWatchOptions {
  /** How often all is read again, whether a bell rang or not. */
  readonly pollMs: number;
  /** What is older than this counts for nothing. */
  readonly maxAgeMs: number;
}

/** Mandates live five minutes at most, and clocks may differ a little: older revocations concern nobody. */
const ORDERS = `
  select 'mandate' as what, jti as value from revocation where revoked_at > now() - interval '20 minutes'
  union all select scope, value from stop where lifted_at is null`;

const RECONNECT_MS = 250;

/**
 * What was revoked and stopped, as every broker knows it: read when a bell rings (LISTEN), and every so often in case
 * one was not heard. A broker that cannot read for too long refuses.
 */
export class RevocationWatch implements StandingOrders {
  private client: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private orders = new Map<string, ReadonlySet<string>>();
  private readAt = Number.NEGATIVE_INFINITY;
  private reading: Promise<void> | undefined;
  private again = false;
  private ended = false;

  private constructor(
    private readonly url: string,
    private readonly options: RevocationWatchOptions,
  ) {}

  /** Answers once the first reading is done. Throws where the database cannot be reached. */
  static async start(url: string, options: RevocationWatchOptions): Promise<RevocationWatch> {
    const watch = new RevocationWatch(url, options);
    await watch.connect();
    await watch.refresh();
    watch.schedule(options.pollMs);
    return watch;
  }

  against(use: Parameters<StandingOrders['against']>[0]): { readonly what: 'mandate' | StopScope } | null {
    if (!this.isFresh) {
      throw new AtbError('revocation_unavailable', 'it cannot be known whether this was revoked; try again');
    }
    const concerned = [
      ['everything', '*'],
      ['tier', use.tier],
      ['connector', use.connector],
      ['agent', use.agent],
      ['request', use.requestId],
      ['mandate', use.jti],
    ] as const;
    for (const [what, value] of concerned) {
      if (value !== null && this.orders.get(what)?.has(value) === true) return { what };
    }
    return null;
  }

  get isFresh(): boolean {
    return performance.now() - this.readAt <= this.options.maxAgeMs;
  }

  async end(): Promise<void> {
    this.ended = true;
    clearTimeout(this.timer);
    await this.reading?.catch(() => undefined);
    await this.client?.end().catch(() => undefined);
  }

  private async connect(): Promise<Client> {
    const client = new Client({
      connectionString: this.url,
      connectionTimeoutMillis: 2_000,
      query_timeout: 2_000,
      keepAlive: true,
    });
    // A connection that breaks says so here; the next reading makes a new one.
    client.on('error', () => {
      if (this.client === client) this.client = undefined;
    });
    client.on('end', () => {
      if (this.client === client) this.client = undefined;
    });
    client.on('notification', () => {
      void this.refresh().catch(() => undefined);
    });
    try {
      await client.connect();
      await client.query('listen atb_revocation');
    } catch (error) {
      // A standby lets in, and refuses to LISTEN: what is not used is not kept.
      void client.end().catch(() => undefined);
      throw error;
    }
    this.client = client;
    return client;
  }

  /** A bell that rings while we read is answered by reading once more: what it tells may be newer than our snapshot. */
  private refresh(): Promise<void> {
    if (this.reading) {
      this.again = true;
      return this.reading;
    }
    this.reading = this.read().finally(() => {
      this.reading = undefined;
      if (this.again && !this.ended) {
        this.again = false;
        void this.refresh().catch(() => undefined);
      }
    });
    return this.reading;
  }

  private async read(): Promise<void> {
    const client = this.client ?? (await this.connect());
    const startedAt = performance.now();
    const { rows } = await client.query<{ what: string; value: string }>(ORDERS);
    const orders = new Map<string, Set<string>>();
    for (const { what, value } of rows) {
      const known = orders.get(what);
      if (known) known.add(value);
      else orders.set(what, new Set([value]));
    }
    this.orders = orders;
    this.readAt = startedAt;
  }

  private schedule(delayMs: number): void {
    this.timer = setTimeout(() => {
      this.refresh().then(
        () => {
          if (!this.ended) this.schedule(this.options.pollMs);
        },
        () => {
          // Not heard of: after the age that is allowed, everything is refused.
          void this.client?.end().catch(() => undefined);
          this.client = undefined;
          if (!this.ended) this.schedule(RECONNECT_MS);
        },
      );
    }, delayMs);
  }
}
