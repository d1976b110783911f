import { readFileSync } from 'node:fs';
import type { Connection } from '@temporalio/client';
import { isAtbError } from '../../domain/error';
import { Unreachable, UsageError } from './refusal';
import { noStack } from './identity';
import type { Session } from './session';

/** A connection to Temporal, for what operators do; it closes with the work. */
export interface TemporalLink {
  readonly connection: Connection;
  readonly namespace: string;
}

const CONNECT_TIMEOUT = '5 seconds';
const SLOW_MS = 2_000;

/**
 * Connects as ATB_TEMPORAL_* or dev.json say. The packages are loaded here, for most commands need none of them.
 * Throws `UsageError` where nobody says where Temporal is, and `Unreachable` where it does not answer.
 */
export async function withTemporal<T>(
  session: Session,
  work: (link: TemporalLink) => Promise<T>,
): Promise<T> {
  const { environment } = session.surroundings;
  const { stack, stateDirectory } = session.where;
  const address = environment.ATB_TEMPORAL_ADDRESS ?? stack?.temporal?.address;
  const namespace = environment.ATB_TEMPORAL_NAMESPACE ?? stack?.temporal?.namespace ?? 'atb';
  if (address === undefined)
    throw new UsageError(`${noStack(stateDirectory, 'this')}, or set ATB_TEMPORAL_ADDRESS`);
  const { Connection: TemporalConnection } = await import('@temporalio/client');
  let connection: Connection | undefined;
  const slow = setTimeout(() => {
    session.output.note(`waiting for Temporal at ${address} …`);
  }, SLOW_MS);
  try {
    connection = await TemporalConnection.connect({
      address,
      connectTimeout: CONNECT_TIMEOUT,
      ...tls(environment),
    });
    return await work({ connection, namespace });
  } catch (error) {
    if (error instanceof UsageError || error instanceof Unreachable || isAtbError(error)) throw error;
    throw new Unreachable(`Temporal at ${address} (namespace ${namespace}): ${reason(error)}`, {
      cause: error,
    });
  } finally {
    clearTimeout(slow);
    await connection?.close();
  }
}

/** The keys that seal what goes to Temporal. Throws `UsageError`. */
export function codecKeysFile(session: Session): string {
  const { stack, stateDirectory } = session.where;
  const file = session.surroundings.environment.ATB_CODEC_KEYS_FILE ?? stack?.codecKeysFile;
  if (file !== undefined) return file;
  throw new UsageError(`${noStack(stateDirectory, '--via temporal')}, or set ATB_CODEC_KEYS_FILE`);
}

function tls(environment: Readonly<Record<string, string | undefined>>) {
  const {
    ATB_TEMPORAL_TLS_CERT_FILE: cert,
    ATB_TEMPORAL_TLS_KEY_FILE: key,
    ATB_TEMPORAL_TLS_CA_FILE: ca,
  } = environment;
  if (cert === undefined || key === undefined || ca === undefined) return {};
  return {
    tls: {
      serverRootCACertificate: readFileSync(ca),
      clientCertPair: { crt: readFileSync(cert), key: readFileSync(key) },
    },
  };
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : 'no answer';
}
