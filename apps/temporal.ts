import { Logger } from '@nestjs/common';
import { Connection } from '@temporalio/client';
import {
  certificatesFromFiles,
  certificatesFromSvid,
  channelCredentials,
} from '../adapters/temporal/connection-certificates';
import type { CertificateFiles, CertificateSource } from '../adapters/temporal/connection-certificates';
import { AtbError } from '../domain/error';
import type { Environment } from './environment';
import { atStart, openIdentity } from './identity';
import type { FromWorkloadApi } from './identity';

/** Where Temporal is. TLS everywhere but on loopback: the namespace's write access is ours alone. */
export interface TemporalConfiguration {
  readonly address: string;
  readonly namespace: string;
  readonly tls: CertificateFiles | FromWorkloadApi | undefined;
}

export function temporalConfiguration(environment: Environment): TemporalConfiguration {
  return {
    address: environment.required('ATB_TEMPORAL_ADDRESS'),
    namespace: environment.text('ATB_TEMPORAL_NAMESPACE', 'atb'),
    tls: tlsConfiguration(environment),
  };
}

function tlsConfiguration(environment: Environment): TemporalConfiguration['tls'] {
  switch (environment.oneOf('ATB_TEMPORAL_TLS', ['none', 'files', 'svid'], tlsUnlessTold(environment))) {
    case 'none':
      return undefined;
    case 'svid':
      return { workloadApi: environment.required('SPIFFE_ENDPOINT_SOCKET') };
    case 'files':
      return {
        certFile: environment.required('ATB_TEMPORAL_TLS_CERT_FILE'),
        keyFile: environment.required('ATB_TEMPORAL_TLS_KEY_FILE'),
        caFile: environment.required('ATB_TEMPORAL_TLS_CA_FILE'),
      };
  }
}

function tlsUnlessTold(environment: Environment): 'none' | 'files' {
  return environment.optional('ATB_TEMPORAL_TLS_CERT_FILE') === undefined ? 'none' : 'files';
}

const log = new Logger('Temporal');

/** Follows what connections to Temporal show; undefined without TLS. Throws `configuration_invalid`, `identity_unavailable`. */
export function openTemporalCertificates({
  tls,
}: Pick<TemporalConfiguration, 'tls'>): Promise<CertificateSource | undefined> {
  return atStart(async () => {
    if (tls === undefined) return undefined;
    if ('workloadApi' in tls)
      return certificatesFromSvid(
        await openIdentity({ ...tls, federationFile: undefined, ownTrustDomain: '' }),
      );
    return certificatesFromFiles(tls, (error) => {
      log.warn(error.message);
    });
  });
}

export interface ClientConnection {
  readonly connection: Connection;
  close(): Promise<void>;
}

/**
 * A client's connection, which tries for ten seconds by itself, and shows the certificates of now whenever it connects.
 * Throws `temporal_unavailable`, `configuration_invalid`, `identity_unavailable`.
 */
export async function clientConnection(configuration: TemporalConfiguration): Promise<ClientConnection> {
  const certificates = await openTemporalCertificates(configuration);
  try {
    const connection = await reaching(configuration, () =>
      Connection.connect({
        address: configuration.address,
        ...(certificates && { credentials: channelCredentials(certificates) }),
      }),
    );
    return {
      connection,
      async close() {
        await connection.close();
        certificates?.close();
      },
    };
  } catch (error) {
    certificates?.close();
    throw error;
  }
}

/** Throws `temporal_unavailable` where `connect` fails. */
export async function reaching<T>(
  { address }: Pick<TemporalConfiguration, 'address'>,
  connect: () => Promise<T>,
): Promise<T> {
  try {
    return await connect();
  } catch (cause) {
    throw new AtbError('temporal_unavailable', `Temporal cannot be reached at ${address}`, { cause });
  }
}
