import { readFile } from 'node:fs/promises';
import { Connection } from '@temporalio/client';
import { AtbError } from '../domain/error';
import type { Environment } from './environment';

/** Where Temporal is. TLS everywhere but on loopback: the namespace's write access is ours alone. */
export interface TemporalConfiguration {
  readonly address: string;
  readonly namespace: string;
  readonly tls: { readonly certFile: string; readonly keyFile: string; readonly caFile: string } | undefined;
}

export function temporalConfiguration(environment: Environment): TemporalConfiguration {
  const certFile = environment.optional('ATB_TEMPORAL_TLS_CERT_FILE');
  return {
    address: environment.required('ATB_TEMPORAL_ADDRESS'),
    namespace: environment.text('ATB_TEMPORAL_NAMESPACE', 'atb'),
    tls:
      certFile === undefined
        ? undefined
        : {
            certFile,
            keyFile: environment.required('ATB_TEMPORAL_TLS_KEY_FILE'),
            caFile: environment.required('ATB_TEMPORAL_TLS_CA_FILE'),
          },
  };
}

/** A client's connection, which tries for ten seconds by itself. Throws `temporal_unavailable`. */
export async function clientConnection(configuration: TemporalConfiguration): Promise<Connection> {
  const options = await connectionOptions(configuration);
  return reaching(configuration, () => Connection.connect(options));
}

/** Throws `temporal_unavailable` where `connect` fails. */
export async function reaching<T>({ address }: TemporalConfiguration, connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (cause) {
    throw new AtbError('temporal_unavailable', `Temporal cannot be reached at ${address}`, { cause });
  }
}

/** The options of a connection, for a client's and a worker's alike. */
export async function connectionOptions({ address, tls }: TemporalConfiguration) {
  if (!tls) return { address };
  return {
    address,
    tls: {
      serverRootCACertificate: await readFile(tls.caFile),
      clientCertPair: { crt: await readFile(tls.certFile), key: await readFile(tls.keyFile) },
    },
  };
}
