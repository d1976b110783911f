import type { JwksLocation } from '../../adapters/jose/jwks-source';
import { accessLogConfiguration } from '../access-log';
import type { AccessLogConfiguration } from '../access-log';
import { Environment } from '../environment';
import { identityConfiguration } from '../identity';
import type { IdentityConfiguration } from '../identity';
import { policyConfiguration } from '../policy';
import type { PolicyConfiguration } from '../policy';
import type { ReversalPace } from './reversals';

/** What a broker must be told. Every value is read once, here. */
export interface BrokerConfiguration {
  readonly host: string;
  readonly port: number;
  /** Where agents reach the broker; `https://localhost:<port>` where it is not told. */
  readonly publicUrl: string | undefined;
  /** SPIFFE IDs of the hops that may bring calls of agents. */
  readonly trustedProxies: readonly string[];
  readonly admin: { readonly host: string; readonly port: number };
  readonly accessLog: AccessLogConfiguration;
  readonly identity: IdentityConfiguration;
  readonly issuer: string;
  readonly audience: string;
  readonly jwks: JwksLocation;
  readonly jwksRefreshSeconds: number;
  readonly jwksMaxAgeSeconds: number;
  readonly databaseUrlFile: string;
  readonly policy: PolicyConfiguration;
  readonly tickets: { readonly system: string } | { readonly file: string };
  readonly connectorsDirectory: string;
  /** Whether a connector is served only as it was signed off (operating model §2.4). */
  readonly requireConnectorSignOff: boolean;
  /** The guardrails' rule set, where it is not ours. */
  readonly guardrailsFile: string | undefined;
  readonly allowUnmandatedLowRisk: boolean;
  /** Where AgentAuth is, for requests that agents signed and bring here; undefined where none are carried. */
  readonly agentauth: { readonly url: string; readonly caFile: string } | undefined;
  /** Where a person decides about a request, with `{request_id}`. */
  readonly decideAt: string | undefined;
  /** Where Envoy asks over gRPC; undefined where that is not offered. */
  readonly extAuthzGrpcPort: number | undefined;
  readonly clockSkewSeconds: number;
  readonly revocationPollMs: number;
  readonly revocationMaxAgeMs: number;
  readonly reversals: ReversalPace;
  /** How long after the longest that a call may take its outcome is missing. */
  readonly outcomeGraceSeconds: number;
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function brokerConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): BrokerConfiguration {
  const environment = new Environment(variables);
  const configuration: BrokerConfiguration = {
    host: environment.text('ATB_BROKER_HOST', '127.0.0.1'),
    port: environment.port('ATB_BROKER_PORT', 9443),
    publicUrl: environment.optional('ATB_BROKER_PUBLIC_URL'),
    trustedProxies: environment.spiffeIds('ATB_TRUSTED_PROXIES'),
    admin: {
      host: environment.text('ATB_BROKER_ADMIN_HOST', '127.0.0.1'),
      port: environment.port('ATB_BROKER_ADMIN_PORT', 9466),
    },
    accessLog: accessLogConfiguration(environment, 'broker'),
    identity: identityConfiguration(environment, {
      ATB_BROKER_TLS_CERT_FILE: environment.optional('ATB_BROKER_TLS_CERT_FILE'),
      ATB_BROKER_TLS_KEY_FILE: environment.optional('ATB_BROKER_TLS_KEY_FILE'),
    }),
    issuer: environment.required('ATB_ISSUER'),
    audience: environment.required('ATB_AUDIENCE'),
    jwks: jwksLocation(environment),
    jwksRefreshSeconds: environment.integer('ATB_JWKS_REFRESH_SECONDS', 60, { min: 1, max: 86_400 }),
    jwksMaxAgeSeconds: environment.integer('ATB_JWKS_MAX_AGE_SECONDS', 900, { min: 1, max: 86_400 }),
    databaseUrlFile: environment.required('ATB_DATABASE_URL_FILE'),
    policy: policyConfiguration(environment),
    tickets: ticketsLocation(environment),
    connectorsDirectory: environment.required('ATB_CONNECTORS_DIR'),
    requireConnectorSignOff: environment.flag('ATB_REQUIRE_CONNECTOR_SIGN_OFF', true),
    guardrailsFile: environment.optional('ATB_GUARDRAILS_FILE'),
    allowUnmandatedLowRisk: environment.flag('ALLOW_UNMANDATED_LOW_RISK', false),
    agentauth: agentauthLocation(environment),
    decideAt: environment.optional('ATB_DECIDE_AT'),
    extAuthzGrpcPort:
      environment.optional('ATB_BROKER_GRPC_PORT') === undefined
        ? undefined
        : environment.port('ATB_BROKER_GRPC_PORT', 9444),
    clockSkewSeconds: environment.integer('ATB_CLOCK_SKEW_SECONDS', 5, { min: 0, max: 30 }),
    revocationPollMs: environment.integer('ATB_REVOCATION_POLL_MS', 400, { min: 10, max: 1_000 }),
    revocationMaxAgeMs: environment.integer('ATB_REVOCATION_MAX_AGE_MS', 3_000, { min: 100, max: 60_000 }),
    reversals: {
      callSeconds: environment.integer('ATB_REVERSAL_CALL_SECONDS', 15, { min: 1, max: 600 }),
      againAfterSeconds: environment.integer('ATB_REVERSAL_AGAIN_SECONDS', 2, { min: 1, max: 600 }),
      undecidedAfterSeconds: environment.integer('ATB_REVERSAL_UNDECIDED_SECONDS', 60, {
        min: 1,
        max: 86_400,
      }),
    },
    outcomeGraceSeconds: environment.integer('ATB_OUTCOME_GRACE_SECONDS', 300, { min: 1, max: 86_400 }),
    maxConnections: environment.integer('ATB_BROKER_MAX_CONNECTIONS', 12_000, { min: 1, max: 1_000_000 }),
    maxHeaderBytes: environment.integer('ATB_BROKER_MAX_HEADER_BYTES', 32_768, {
      min: 4_096,
      max: 262_144,
    }),
    headersTimeoutMs: environment.integer('ATB_BROKER_HEADERS_TIMEOUT_MS', 10_000, { min: 100, max: 60_000 }),
    requestTimeoutMs: environment.integer('ATB_BROKER_REQUEST_TIMEOUT_MS', 20_000, {
      min: 100,
      max: 600_000,
    }),
  };
  environment.finish('the broker');
  return configuration;
}

function agentauthLocation(environment: Environment): BrokerConfiguration['agentauth'] {
  const url = environment.optional('ATB_AGENTAUTH_URL');
  return url === undefined ? undefined : { url, caFile: environment.required('ATB_AGENTAUTH_CA_FILE') };
}

function jwksLocation(environment: Environment): JwksLocation {
  const file = environment.optional('ATB_BROKER_JWKS_FILE');
  const url = environment.optional('ATB_BROKER_JWKS_URL');
  environment.exactlyOne({ ATB_BROKER_JWKS_FILE: file, ATB_BROKER_JWKS_URL: url });
  if (url === undefined) return { file: file ?? '' };
  return { url, caFile: environment.required('ATB_BROKER_JWKS_CA_FILE') };
}

function ticketsLocation(environment: Environment): BrokerConfiguration['tickets'] {
  const system = environment.optional('ATB_TICKET_SYSTEM_FILE');
  const file = environment.optional('ATB_TICKETS_FILE');
  environment.exactlyOne({ ATB_TICKET_SYSTEM_FILE: system, ATB_TICKETS_FILE: file });
  return system === undefined ? { file: file ?? '' } : { system };
}
