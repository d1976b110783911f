import { readFile } from 'node:fs/promises';
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
