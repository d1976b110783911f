import { dirname, resolve } from 'node:path';
import { readConfiguration } from '../json-schema';
import { ElasticDestination } from './elastic';
import type { Destination } from './exporter';
import { SplunkDestination } from './splunk';

interface DestinationsFile {
  readonly destinations: Readonly<
    Record<
      string,
      | { type: 'splunk_hec'; url: string; token_file: string; ca_file?: string; index?: string }
      | { type: 'elastic'; url: string; api_key_file: string; ca_file?: string; index: string }
    >
  >;
}

const TEXT = { type: 'string', minLength: 1 };
const HTTPS = { type: 'string', pattern: '^https://[^/?#@]+/?$' };

function store(properties: Readonly<Record<string, unknown>>, required: readonly string[]) {
  return {
    type: 'object',
    additionalProperties: false,
    required: ['type', 'url', ...required],
    properties: { url: HTTPS, ca_file: TEXT, index: TEXT, ...properties },
  };
}

const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  additionalProperties: false,
  required: ['destinations'],
  properties: {
    destinations: {
      type: 'object',
      propertyNames: { type: 'string', pattern: '^[a-z][a-z0-9-]{0,40}$' },
      additionalProperties: {
        oneOf: [
          store({ type: { const: 'splunk_hec' }, token_file: TEXT }, ['token_file']),
          store({ type: { const: 'elastic' }, api_key_file: TEXT }, ['api_key_file', 'index']),
        ],
      },
    },
  },
};

/** Reads the file that docs/access-log.md describes. Throws `configuration_invalid`. */
export async function readDestinations(file: string): Promise<readonly Destination[]> {
  const { destinations } = await readConfiguration<DestinationsFile>(file, SCHEMA);
  const beside = (path: string) => resolve(dirname(file), path);
  return Object.entries(destinations).map(([name, destination]) => {
    const { type, url, index } = destination;
    const caFile = destination.ca_file === undefined ? undefined : beside(destination.ca_file);
    if (type === 'splunk_hec') {
      return new SplunkDestination(name, { url, secretFile: beside(destination.token_file), caFile }, index);
    }
    const secretFile = beside(destination.api_key_file);
    return new ElasticDestination(name, { url, secretFile, caFile }, destination.index);
  });
}
