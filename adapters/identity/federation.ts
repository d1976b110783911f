import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AtbError } from '../../domain/error';
import { readConfiguration } from '../json-schema';
import { FederatedBundles } from '../spiffe';
import type { BundleEndpoint, JwtBundleSource, SpiffeError, X509BundleSource } from '../spiffe';

/** The file as written (docs/configuration.md). */
interface FederationFile {
  readonly endpoints: readonly {
    readonly trust_domain: string;
    readonly url: string;
    readonly profile: 'https_web' | 'https_spiffe';
    /** Of https_spiffe: who must be there. */
    readonly endpoint_spiffe_id?: string;
    /** Of https_web: whose certificates count, where not those of the public authorities. */
    readonly ca_file?: string;
  }[];
  /** Where the last good bundles are kept over a restart. */
  readonly folder?: string;
}

const TEXT = { type: 'string', minLength: 1 };
const COMMON = { trust_domain: TEXT, url: { type: 'string', pattern: '^https://' } };
const SCHEMA = {
  type: 'object',
  required: ['endpoints'],
  additionalProperties: false,
  properties: {
    folder: TEXT,
    endpoints: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        required: ['trust_domain', 'url', 'profile'],
        oneOf: [
          {
            additionalProperties: false,
            properties: { ...COMMON, profile: { const: 'https_web' }, ca_file: TEXT },
          },
          {
            required: ['endpoint_spiffe_id'],
            additionalProperties: false,
            properties: { ...COMMON, profile: { const: 'https_spiffe' }, endpoint_spiffe_id: TEXT },
          },
        ],
      },
    },
  },
};

/**
 * Follows the bundles of the trust domains that a file names, beside those that are there (SPIFFE Federation). Throws
 * `configuration_invalid` for the file, and SpiffeError for what it says.
 */
export async function openFederation(
  file: string,
  {
    others,
    ownTrustDomain,
    onError,
  }: {
    readonly others: X509BundleSource & JwtBundleSource;
    readonly ownTrustDomain: string;
    readonly onError: (error: SpiffeError) => void;
  },
): Promise<FederatedBundles> {
  const { endpoints, folder } = await readConfiguration<FederationFile>(file, SCHEMA);
  if (endpoints.some(({ trust_domain }) => trust_domain === ownTrustDomain)) {
    throw new AtbError('configuration_invalid', `${file}: nobody outside says who is of ${ownTrustDomain}`);
  }
  // Paths are relative to the file.
  const path = (name: string) => resolve(dirname(file), name);
  return FederatedBundles.open({
    others,
    onError: (_, error) => {
      onError(error);
    },
    endpoints: await Promise.all(
      endpoints.map(
        async ({ trust_domain, url, profile, endpoint_spiffe_id, ca_file }): Promise<BundleEndpoint> => {
          if (profile === 'https_spiffe') {
            return {
              trustDomain: trust_domain,
              url,
              profile: { type: profile, endpointId: endpoint_spiffe_id ?? '' },
            };
          }
          const authorities = ca_file === undefined ? undefined : await readFile(path(ca_file), 'utf8');
          return {
            ...{ trustDomain: trust_domain, url },
            profile: { type: profile, ...(authorities !== undefined && { authorities }) },
          };
        },
      ),
    ),
    ...(folder !== undefined && { folder: path(folder) }),
  });
}
