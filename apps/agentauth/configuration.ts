import { accessLogConfiguration } from '../access-log';
import type { AccessLogConfiguration } from '../access-log';
import { Environment } from '../environment';
import { identityConfiguration } from '../identity';
import type { IdentityConfiguration } from '../identity';
import { policyConfiguration } from '../policy';
import type { PolicyConfiguration } from '../policy';
import { temporalConfiguration } from '../temporal';
import type { TemporalConfiguration } from '../temporal';

/** What AgentAuth must be told. Every value is read once, here. */
export interface AgentAuthConfiguration {
  readonly host: string;
  readonly port: number;
  /** Where agents reach it, for links and metadata. */
  readonly publicUrl: string;
  readonly admin: { readonly host: string; readonly port: number };
  readonly accessLog: AccessLogConfiguration;
  readonly identity: IdentityConfiguration;
  readonly issuer: string;
  readonly audience: string;
  /** SPIFFE IDs of the hops whose Client-Cert headers (RFC 9440) count. */
  readonly trustedProxies: readonly string[];
  /** SPIFFE IDs of those who may bring requests that agents signed. */
  readonly requestCarriers: readonly string[];
  /** How long a JWT-SVID may be good for in all. */
  readonly jwtSvidMaxLifetimeSeconds: number;
  /** Of POST /issue and /plan, per SPIFFE ID. */
  readonly requestsPerMinute: number;
  /** How often an agent may ask after one request within `poll_interval_seconds`. */
  readonly pollsPerInterval: number;
  /** How long POST /issue waits for a decision before it answers 503. */
  readonly decisionTimeoutMs: number;
}

/** What AgentAuth needs besides, where it is a process of its own. */
export interface AgentAuthProcessConfiguration extends AgentAuthConfiguration {
  readonly temporal: TemporalConfiguration;
  readonly codecKeysFile: string;
  /** For /plan, and to know how to wait. */
  readonly policy: PolicyConfiguration;
  /** The public keys of the mandates (RFC 7517). */
  readonly jwksFile: string;
}

export function agentAuthProcessConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): AgentAuthProcessConfiguration {
  const environment = new Environment(variables);
  const configuration = {
    ...agentAuthConfiguration(variables),
    temporal: temporalConfiguration(environment),
    codecKeysFile: environment.required('ATB_CODEC_KEYS_FILE'),
    policy: policyConfiguration(environment),
    jwksFile: environment.required('ATB_JWKS_FILE'),
  };
  environment.finish('AgentAuth');
  return configuration;
}

/** Reads ATB_* variables. Throws `configuration_invalid` naming every fault. */
export function agentAuthConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): AgentAuthConfiguration {
  const environment = new Environment(variables);
  const port = environment.port('ATB_PORT', 8443);
  const configuration: AgentAuthConfiguration = {
    host: environment.text('ATB_HOST', '127.0.0.1'),
    port,
    publicUrl: environment.text('ATB_PUBLIC_URL', `https://localhost:${port}`),
    admin: {
      host: environment.text('ATB_ADMIN_HOST', '127.0.0.1'),
      port: environment.port('ATB_ADMIN_PORT', 9464),
    },
    accessLog: accessLogConfiguration(environment, 'agentauth'),
    identity: identityConfiguration(environment, {
      ATB_TLS_CERT_FILE: environment.optional('ATB_TLS_CERT_FILE'),
      ATB_TLS_KEY_FILE: environment.optional('ATB_TLS_KEY_FILE'),
    }),
    issuer: environment.required('ATB_ISSUER'),
    audience: environment.required('ATB_AUDIENCE'),
    trustedProxies: environment.spiffeIds('ATB_TRUSTED_PROXIES'),
    requestCarriers: environment.spiffeIds('ATB_REQUEST_CARRIERS'),
    jwtSvidMaxLifetimeSeconds: environment.integer('ATB_JWT_SVID_MAX_LIFETIME_SECONDS', 600, {
      min: 30,
      max: 86_400,
    }),
    requestsPerMinute: environment.integer('ATB_REQUESTS_PER_MINUTE', 600, { min: 1, max: 100_000_000 }),
    pollsPerInterval: environment.integer('ATB_POLLS_PER_INTERVAL', 30, { min: 1, max: 1_000_000 }),
    decisionTimeoutMs: environment.integer('ATB_DECISION_TIMEOUT_MS', 5_000, { min: 100, max: 60_000 }),
  };
  environment.finish('AgentAuth');
  return configuration;
}
