import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import Ajv from 'ajv';
import { canonicalJson } from '../../domain/canonical-json';
import type {
  Connector,
  Credential,
  CredentialReference,
  FailureReport,
  Handling,
  Route,
  ValueLocation,
} from '../../domain/connector';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json } from '../../domain/json';
import { parseSpiffeId } from '../../domain/spiffe-id';
import { parseStrictJson } from '../../domain/strict-json';
import schema from './connector.schema.json';

const DEFAULTS = {
  timeouts: { connect_ms: 2_000, first_byte_ms: 10_000, idle_ms: 10_000, total_ms: 60_000 },
  limits: { request_bytes: 64 * 1024, response_bytes: 16 * 1024 * 1024 },
} as const;

/** The definition's own words, once the schema has passed. */
interface Definition {
  readonly id: string;
  readonly title: string;
  readonly owner: string;
  readonly state: Connector['state'];
  readonly data_classification: Connector['classification'];
  readonly upstream: {
    readonly url: string;
    readonly allow_plain_http?: boolean;
    readonly ca_file?: string;
    readonly server_name?: string;
    readonly spiffe_id?: string;
    readonly client_certificate?: 'broker' | { readonly cert_file: string; readonly key_file: string };
  };
  readonly egress: {
    readonly allow: readonly { readonly host: string; readonly port: number }[];
    readonly private_addresses?: readonly string[];
  };
  readonly credentials?: readonly {
    readonly header: string;
    readonly prefix?: string;
    readonly from: {
      readonly file?: string;
      readonly environment?: string;
      readonly vault?: {
        readonly url: string;
        readonly path: string;
        readonly field: string;
        readonly token_file: string;
        readonly ca_file?: string;
      };
    };
  }[];
  readonly timeouts?: Partial<Record<keyof typeof DEFAULTS.timeouts, number>>;
  readonly limits?: Partial<Record<keyof typeof DEFAULTS.limits | 'calls_per_minute', number>>;
  readonly guardrails?: {
    readonly responses?: boolean;
    readonly secrets?: Handling;
    readonly personal_data?: Handling;
  };
  readonly idempotency_key?: Connector['idempotencyKey'];
  readonly failure_after_commitment?: {
    readonly statuses?: readonly number[];
    readonly header?: { readonly name: string; readonly value: string };
  };
  readonly routes: readonly {
    readonly method: string;
    readonly path: string;
    readonly action: string;
    readonly body?: Route['body'];
    readonly parameters?: Readonly<Record<string, readonly LocationDefinition[]>>;
    readonly unchecked?: readonly LocationDefinition[];
  }[];
}

interface LocationDefinition {
  readonly in: ValueLocation['in'];
  readonly name?: string;
  readonly pointer?: string;
  readonly type?: 'string' | 'number' | 'integer' | 'boolean';
  readonly optional?: boolean;
}

/** The mandate's, the credential's, or the connection's own: in none of them does a value of an action stand (attack 31). */
const NO_PARAMETERS = new Set([
  ...['authorization', 'dpop', 'cookie', 'host', 'x-forwarded-client-cert'],
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer', 'upgrade'],
  ...['content-length', 'content-encoding', 'transfer-encoding', 'accept-encoding', 'expect'],
]);

const isDefinition = new Ajv({ allErrors: true }).compile<Definition>(schema);

/**
 * Reads all connector definitions of a folder (`*.json`, one a file, named by its id). Paths in them are relative to
 * the file. Throws `configuration_invalid`: a broker does not start with a definition that it cannot read.
 */
export function loadConnectors(folder: string): ReadonlyMap<string, Connector> {
  const connectors = new Map<string, Connector>();
  for (const file of jsonFiles(folder)) {
    const connector = parseConnector(readFileSync(file), file);
    if (`${connector.id}.json` !== file.slice(dirname(file).length + 1)) {
      throw invalid(file, `its id is ${connector.id}: name the file so`);
    }
    connectors.set(connector.id, connector);
  }
  return connectors;
}

/** One definition; `file` is where it stands, for messages and relative paths. Throws `configuration_invalid`. */
export function parseConnector(content: Uint8Array | string, file: string): Connector {
  let json: Json;
  try {
    json = parseStrictJson(content);
  } catch (cause) {
    throw invalid(file, 'it is not strict JSON', cause);
  }
  if (!isJsonObject(json) || !isDefinition(json)) {
    const faults = (isDefinition.errors ?? []).map(
      ({ instancePath, message }) => `${instancePath} ${message ?? ''}`,
    );
    throw invalid(file, `it does not have the form of a connector: ${faults.join('; ')}`);
  }
  const at = (path: string) => resolve(dirname(file), path);
  const { upstream, egress, timeouts, limits } = json;
  return {
    id: json.id,
    title: json.title,
    owner: json.owner,
    state: json.state,
    classification: json.data_classification,
    digest: sha256Base64url(canonicalJson(json)),
    upstream: { url: upstreamUrl(upstream, file), tls: upstreamTls(upstream, file, at) },
    egress: { allow: egress.allow, privateAddresses: egress.private_addresses ?? [] },
    credentials: (json.credentials ?? []).map(({ header, prefix, from }): Credential => ({
      header: header.toLowerCase(),
      prefix: prefix ?? '',
      from: credentialReference(from, at),
    })),
    timeouts: {
      connectMs: timeouts?.connect_ms ?? DEFAULTS.timeouts.connect_ms,
      firstByteMs: timeouts?.first_byte_ms ?? DEFAULTS.timeouts.first_byte_ms,
      idleMs: timeouts?.idle_ms ?? DEFAULTS.timeouts.idle_ms,
      totalMs: timeouts?.total_ms ?? DEFAULTS.timeouts.total_ms,
    },
    limits: {
      requestBytes: limits?.request_bytes ?? DEFAULTS.limits.request_bytes,
      responseBytes: limits?.response_bytes ?? DEFAULTS.limits.response_bytes,
      callsPerMinute: limits?.calls_per_minute,
    },
    guardrails: {
      responses: json.guardrails?.responses ?? false,
      secrets: json.guardrails?.secrets,
      personalData: json.guardrails?.personal_data,
    },
    idempotencyKey: json.idempotency_key ?? 'drop',
    failureAfterCommitment: failureReport(json.failure_after_commitment),
    routes: json.routes.map((route) => ({
      method: route.method,
      path: route.path,
      action: route.action,
      parameters: Object.fromEntries(
        Object.entries(route.parameters ?? {}).map(([name, places]) => [
          name,
          places.map((place) => location(place, file)),
        ]),
      ),
      unchecked: (route.unchecked ?? []).map((place) => location(place, file)),
      body:
        route.body ??
        (Object.values(route.parameters ?? {})
          .flat()
          .some((place) => place.in === 'body')
          ? 'json'
          : 'none'),
    })),
    definition: json,
  };
}

function failureReport(report: Definition['failure_after_commitment']): FailureReport | null {
  if (!report) return null;
  const { statuses, header } = report;
  return { statuses, header: header && { name: header.name.toLowerCase(), value: header.value } };
}

function upstreamUrl({ url, allow_plain_http }: Definition['upstream'], file: string): URL {
  if (!URL.canParse(url)) throw invalid(file, 'its upstream is no URL');
  const parsed = new URL(url);
  if (parsed.protocol === 'http:' && allow_plain_http !== true) {
    throw invalid(file, 'its upstream is plain http, and allow_plain_http is not true');
  }
  if (parsed.search !== '' || parsed.hash !== '' || parsed.username !== '' || parsed.password !== '') {
    throw invalid(file, 'its upstream has more than a scheme, a host, a port and a path');
  }
  return parsed;
}

function upstreamTls(
  upstream: Definition['upstream'],
  file: string,
  at: (path: string) => string,
): Connector['upstream']['tls'] {
  const certificate = upstream.client_certificate;
  return {
    caFile: upstream.ca_file === undefined ? undefined : at(upstream.ca_file),
    serverName: upstream.server_name,
    spiffeId: upstream.spiffe_id === undefined ? undefined : systemId(upstream.spiffe_id, file),
    clientCertificate:
      typeof certificate === 'object'
        ? { certFile: at(certificate.cert_file), keyFile: at(certificate.key_file) }
        : certificate,
  };
}

function systemId(text: string, file: string): string {
  try {
    return parseSpiffeId(text).uri;
  } catch (cause) {
    throw invalid(file, 'the SPIFFE ID of its upstream is none', cause);
  }
}

function credentialReference(
  from: NonNullable<Definition['credentials']>[number]['from'],
  at: (path: string) => string,
): CredentialReference {
  if (from.file !== undefined) return { file: at(from.file) };
  if (from.environment !== undefined) return { environment: from.environment };
  const { url = '', path = '', field = '', token_file = '', ca_file } = from.vault ?? {};
  return {
    vault: {
      url,
      path,
      field,
      tokenFile: at(token_file),
      caFile: ca_file === undefined ? undefined : at(ca_file),
    },
  };
}

function location(place: LocationDefinition, file: string): ValueLocation {
  const optional = place.optional ?? false;
  if (place.in === 'body') return { in: 'body', pointer: place.pointer ?? '', type: place.type, optional };
  const name = place.in === 'header' ? (place.name ?? '').toLowerCase() : (place.name ?? '');
  if (place.in === 'header' && (NO_PARAMETERS.has(name) || !/^[a-z0-9-]+$/.test(name))) {
    throw invalid(file, `the header ${name} can carry no value of an action`);
  }
  return { in: place.in, name, type: place.type ?? 'string', optional };
}

function jsonFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map((name) => join(folder, name));
  } catch (cause) {
    throw invalid(folder, 'the folder cannot be read', cause);
  }
}

function invalid(file: string, why: string, cause?: unknown): AtbError {
  return new AtbError('configuration_invalid', `the connector ${file} cannot be used: ${why}`, { cause });
}
