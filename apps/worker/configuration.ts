import { Environment } from '../environment';
import { trustConfiguration } from '../identity';
import type { TrustConfiguration } from '../identity';
import { policyConfiguration } from '../policy';
import type { PolicyConfiguration } from '../policy';
import { temporalConfiguration } from '../temporal';
import type { TemporalConfiguration } from '../temporal';

/** What a worker must be told. Every value is read once, here. */
export interface WorkerConfiguration {
  readonly temporal: TemporalConfiguration;
  readonly codecKeysFile: string;
  readonly databaseUrlFile: string;
  readonly auditKeysFile: string;
  readonly trust: TrustConfiguration;
  readonly signingKeysFile: string;
  readonly policy: PolicyConfiguration;
  /** A ticket system over HTTPS, or the file of the development one. */
  readonly tickets: { readonly system: string } | { readonly file: string };
  /** Channels over a durable outbox, or the file of the development stack. */
  readonly notifications: { readonly system: string } | { readonly file: string };
  /** The files of access logs that it can reach, and how long they are kept. */
  readonly accessLog: { readonly directory: string; readonly days: number } | undefined;
  readonly issuer: string;
  readonly audience: string;
  readonly pendingPerAgent: number;
  readonly pendingTotal: number;
  readonly signedRequestMaxAgeSeconds: number;
  /** How long a JWT-SVID may be good for in all. */
  readonly jwtSvidMaxLifetimeSeconds: number;
  readonly maxConcurrentWorkflowTasks: number;
  readonly maxCachedWorkflows: number;
  readonly admin: { readonly host: string; readonly port: number };
  /** Where the Temporal SDK tells its own metrics; undefined where nobody asks for them. */
  readonly sdkMetrics: { readonly address: string } | undefined;
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function workerConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): WorkerConfiguration {
  const environment = new Environment(variables);
  const configuration: WorkerConfiguration = {
    temporal: temporalConfiguration(environment),
    codecKeysFile: environment.required('ATB_CODEC_KEYS_FILE'),
    databaseUrlFile: environment.required('ATB_DATABASE_URL_FILE'),
    auditKeysFile: environment.required('ATB_AUDIT_KEYS_FILE'),
    trust: trustConfiguration(environment),
    signingKeysFile: environment.required('ATB_SIGNING_KEYS_FILE'),
    policy: policyConfiguration(environment),
    tickets: ticketsConfiguration(environment),
    notifications: notificationsConfiguration(environment),
    accessLog: accessLogConfiguration(environment),
    issuer: environment.required('ATB_ISSUER'),
    audience: environment.required('ATB_AUDIENCE'),
    pendingPerAgent: environment.integer('ATB_PENDING_PER_AGENT', 50, { min: 1, max: 1_000_000 }),
    pendingTotal: environment.integer('ATB_PENDING_TOTAL', 5_000, { min: 1, max: 10_000_000 }),
    signedRequestMaxAgeSeconds: environment.integer('ATB_SIGNED_REQUEST_MAX_AGE_SECONDS', 300, {
      min: 5,
      max: 3_600,
    }),
    jwtSvidMaxLifetimeSeconds: environment.integer('ATB_JWT_SVID_MAX_LIFETIME_SECONDS', 600, {
      min: 30,
      max: 86_400,
    }),
    maxConcurrentWorkflowTasks: environment.integer('ATB_MAX_WORKFLOW_TASKS', 100, { min: 2, max: 10_000 }),
    maxCachedWorkflows: environment.integer('ATB_MAX_CACHED_WORKFLOWS', 1_000, { min: 0, max: 1_000_000 }),
    admin: {
      host: environment.text('ATB_WORKER_ADMIN_HOST', '127.0.0.1'),
      port: environment.port('ATB_WORKER_ADMIN_PORT', 9465),
    },
    sdkMetrics: sdkMetrics(environment),
  };
  environment.finish('the worker');
  return configuration;
}

function accessLogConfiguration(environment: Environment): WorkerConfiguration['accessLog'] {
  const directory = environment.optional('ATB_ACCESS_LOG_DIR');
  // Operating model §6.
  const days = environment.integer('ATB_ACCESS_LOG_DAYS', 90, { min: 1, max: 36_500 });
  return directory === undefined ? undefined : { directory, days };
}

function sdkMetrics(environment: Environment): WorkerConfiguration['sdkMetrics'] {
  const port = environment.port('ATB_WORKER_SDK_METRICS_PORT', 0);
  const host = environment.text('ATB_WORKER_ADMIN_HOST', '127.0.0.1');
  return port === 0 ? undefined : { address: `${host}:${port}` };
}

function ticketsConfiguration(environment: Environment): WorkerConfiguration['tickets'] {
  const system = environment.optional('ATB_TICKET_SYSTEM_FILE');
  const file = environment.optional('ATB_TICKETS_FILE');
  environment.exactlyOne({ ATB_TICKET_SYSTEM_FILE: system, ATB_TICKETS_FILE: file });
  return system === undefined ? { file: file ?? '' } : { system };
}

function notificationsConfiguration(environment: Environment): WorkerConfiguration['notifications'] {
  const system = environment.optional('ATB_NOTIFICATION_SYSTEM_FILE');
  const file = environment.optional('ATB_NOTIFICATIONS_FILE');
  environment.exactlyOne({ ATB_NOTIFICATION_SYSTEM_FILE: system, ATB_NOTIFICATIONS_FILE: file });
  return system === undefined ? { file: file ?? '' } : { system };
}
