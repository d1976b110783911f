import { Logger } from '@nestjs/common';
import { NativeConnection } from '@temporalio/worker';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import type { CertificateSource } from '../../adapters/temporal/connection-certificates';
import { openTemporalCertificates, reaching } from '../temporal';
import type { TemporalConfiguration } from '../temporal';

const TRY_AGAIN_MS = 5_000;
const FIRST_TRIES = 8;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;

/** Moves what it has on the process's connection to another one, and is done when nothing needs the one of before. */
export type Move = (connection: NativeConnection) => Promise<void>;

/**
 * The process's one connection to Temporal: a client on the same object makes eager start possible. A native connection
 * shows for ever what it was made with, so for a renewed certificate another one is made, and takes over.
 */
export class TemporalConnection {
  private readonly log = new Logger(TemporalConnection.name);
  private readonly moves = new Set<Move>();
  private renewing: Promise<void> = Promise.resolve();
  private again: NodeJS.Timeout | undefined;
  private waiting = false;
  private closed = false;

  private constructor(
    private readonly address: string,
    private readonly certificates: CertificateSource | undefined,
    private connection: NativeConnection,
  ) {
    certificates?.onChange(() => {
      this.renew();
    });
  }

  /**
   * Throws `configuration_invalid`, `identity_unavailable`, and `temporal_unavailable` where Temporal is not to be had
   * within some ten seconds.
   */
  static async open({
    address,
    tls,
  }: Pick<TemporalConfiguration, 'address' | 'tls'>): Promise<TemporalConnection> {
    const certificates = await openTemporalCertificates({ tls });
    try {
      const patiently = retry(handleAll, {
        maxAttempts: FIRST_TRIES - 1,
        backoff: new ExponentialBackoff({ initialDelay: FIRST_PAUSE_MS, maxDelay: LONGEST_PAUSE_MS }),
      });
      const connection = await reaching({ address }, () =>
        patiently.execute(() => connect(address, certificates)),
      );
      return new TemporalConnection(address, certificates, connection);
    } catch (error) {
      certificates?.close();
      throw error;
    }
  }

  get current(): NativeConnection {
    return this.connection;
  }

  /** Called for each connection that takes over, until the function that it answers is called. */
  onRenewal(move: Move): () => void {
    this.moves.add(move);
    return () => this.moves.delete(move);
  }

  /** After the workers on it have stopped. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.again);
    this.certificates?.close();
    await this.renewing;
    await this.connection.close();
  }

  private renew(): void {
    clearTimeout(this.again);
    // One that has not begun yet will show what there is by then.
    if (this.waiting) return;
    this.waiting = true;
    this.renewing = this.renewing.then(() => this.takeOver());
  }

  private async takeOver(): Promise<void> {
    this.waiting = false;
    if (this.closed) return;
    try {
      const renewed = await connect(this.address, this.certificates);
      for (const move of this.moves) await move(renewed);
      const before = this.connection;
      this.connection = renewed;
      await before.close();
    } catch (error) {
      this.log.warn(`the renewed certificate is not in use yet, trying again: ${String(error)}`);
      this.again = setTimeout(() => {
        this.renew();
      }, TRY_AGAIN_MS).unref();
    }
  }
}

function connect(address: string, certificates: CertificateSource | undefined): Promise<NativeConnection> {
  const now = certificates?.now();
  return NativeConnection.connect({
    address,
    ...(now && {
      tls: {
        serverRootCACertificate: now.authorities,
        clientCertPair: { crt: now.certificate, key: now.privateKey },
      },
    }),
  });
}
