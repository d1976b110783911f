import { Logger } from '@nestjs/common';
import { openFederation } from '../adapters/identity/federation';
import { atbErrorOf } from '../adapters/identity/refusal';
import {
  BundleFiles,
  isSpiffeError,
  JwtBundleWatch,
  SvidFiles,
  WorkloadApiClient,
  X509Source,
} from '../adapters/spiffe';
import type { JwtBundleSource, OwnIdentity, SpiffeError, X509BundleSource } from '../adapters/spiffe';
import { AtbError } from '../domain/error';
import type { Environment } from './environment';

export interface FromWorkloadApi {
  /** As SPIFFE_ENDPOINT_SOCKET has it. */
  readonly workloadApi: string;
}

interface FromFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly trustBundleFile: string;
}

interface Federating {
  /** The trust domains whose bundles come from their endpoints, beside the others; none where it is not told. */
  readonly federationFile: string | undefined;
  /** For which no endpoint speaks. */
  readonly ownTrustDomain: string;
}

/** Where trust bundles come from. */
export type TrustConfiguration = Federating & (FromWorkloadApi | { readonly trustBundleFile: string });

/** Where a process has its own SVID and the trust bundles from. */
export type IdentityConfiguration = Federating & (FromWorkloadApi | FromFiles);

/** The trust bundles as they are now. */
export interface Trust extends X509BundleSource, JwtBundleSource {
  close(): void;
}

/** A process's own SVID, and the trust bundles, as they are now. */
export interface ProcessIdentity extends Trust, OwnIdentity {}

/** An agent may start after us; what starts us tries again when it is not there by then. */
const FIRST_SVID_MS = 10_000;

export function trustConfiguration(environment: Environment): TrustConfiguration {
  const workloadApi = environment.optional('SPIFFE_ENDPOINT_SOCKET');
  const trustBundleFile = environment.optional('ATB_TRUST_BUNDLE_FILE');
  environment.exactlyOne({ ATB_TRUST_BUNDLE_FILE: trustBundleFile, SPIFFE_ENDPOINT_SOCKET: workloadApi });
  const federationFile = environment.optional('ATB_FEDERATION_FILE');
  return {
    federationFile,
    ownTrustDomain: /^spiffe:\/\/([^/]*)/.exec(environment.optional('ATB_ISSUER') ?? '')?.[1] ?? '',
    ...(workloadApi === undefined ? { trustBundleFile: trustBundleFile ?? '' } : { workloadApi }),
  };
}

/** `own`: the settings that name the certificate and its key, in this order, with what they say. */
export function identityConfiguration(
  environment: Environment,
  own: Readonly<Record<string, string | undefined>>,
): IdentityConfiguration {
  const trust = trustConfiguration(environment);
  const workloadApi = 'workloadApi' in trust ? trust.workloadApi : undefined;
  for (const [name, value] of Object.entries(own)) {
    environment.exactlyOne({ [name]: value, SPIFFE_ENDPOINT_SOCKET: workloadApi });
  }
  const [certFile = '', keyFile = ''] = Object.values(own);
  return 'workloadApi' in trust ? trust : { certFile, keyFile, ...trust };
}

/** Opens the trust bundles and follows them. Throws `configuration_invalid`, `identity_unavailable`. */
export async function openTrust(configuration: TrustConfiguration): Promise<Trust> {
  const trust = await ('workloadApi' in configuration
    ? fromWorkloadApi(configuration)
    : atStart(() => BundleFiles.open(configuration.trustBundleFile, { onError: report })));
  return federated(trust, configuration);
}

/** Opens the SVID and the trust bundles, and follows them. Throws `configuration_invalid`, `identity_unavailable`. */
export async function openIdentity(configuration: IdentityConfiguration): Promise<ProcessIdentity> {
  const identity = await ('workloadApi' in configuration
    ? fromWorkloadApi(configuration)
    : fromFiles(configuration));
  return {
    get svid() {
      return identity.svid;
    },
    onChange: (listener) => identity.onChange(listener),
    ...(await federated(identity, configuration)),
  };
}

/** The same bundles, and those of the trust domains that are federated with. */
async function federated(trust: Trust, { federationFile, ownTrustDomain }: Federating): Promise<Trust> {
  try {
    const bundles =
      federationFile === undefined
        ? undefined
        : await atStart(() =>
            openFederation(federationFile, { others: trust, ownTrustDomain, onError: report }),
          );
    const source = bundles ?? trust;
    return {
      authoritiesOf: (trustDomain) => source.authoritiesOf(trustDomain),
      jwtAuthoritiesOf: (trustDomain) => source.jwtAuthoritiesOf(trustDomain),
      close() {
        bundles?.close();
        trust.close();
      },
    };
  } catch (error) {
    trust.close();
    throw error;
  }
}

function fromFiles({ certFile, keyFile, trustBundleFile }: FromFiles): Promise<ProcessIdentity> {
  return atStart(async () => {
    const bundles = await BundleFiles.open(trustBundleFile, { onError: report });
    const own = await SvidFiles.open({ certFile, keyFile, bundles, onError: report });
    return {
      get svid() {
        return own.svid;
      },
      authoritiesOf: (trustDomain) => bundles.authoritiesOf(trustDomain),
      jwtAuthoritiesOf: (trustDomain) => bundles.jwtAuthoritiesOf(trustDomain),
      onChange: (listener) => own.onChange(listener),
      close() {
        own.close();
        bundles.close();
      },
    };
  });
}

function fromWorkloadApi({ workloadApi }: FromWorkloadApi): Promise<ProcessIdentity> {
  return atStart(async () => {
    const client = new WorkloadApiClient({ address: workloadApi });
    const jwt = new JwtBundleWatch(client);
    try {
      const x509 = await X509Source.open(client, { firstTimeoutMs: FIRST_SVID_MS, onError: report });
      return {
        get svid() {
          return x509.svid;
        },
        authoritiesOf: (trustDomain) => x509.authoritiesOf(trustDomain),
        jwtAuthoritiesOf: (trustDomain) => jwt.jwtAuthoritiesOf(trustDomain),
        onChange: (listener) => x509.onChange(listener),
        close() {
          x509.close();
          client.close();
        },
      };
    } catch (error) {
      client.close();
      throw error;
    }
  });
}

/** Whether a process has an SVID that others take: without one it is not ready. */
export function hasSvid(identity: OwnIdentity, now: Date): boolean {
  try {
    return now <= identity.svid.notAfter;
  } catch (error) {
    if (!isSpiffeError(error)) throw error;
    return false;
  }
}

const log = new Logger('Identity');

function report(error: SpiffeError): void {
  log.warn(`${error.code}: ${error.message}`);
}

/** What is wrong with a file at the start is wrong with the configuration. */
export async function atStart<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const known = atbErrorOf(error);
    if (!isSpiffeError(error) || (known as AtbError).code === 'identity_unavailable') throw known;
    throw new AtbError('configuration_invalid', error.message, { cause: error });
  }
}
