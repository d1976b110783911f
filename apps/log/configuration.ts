import { Environment } from '../environment';

/** What the log must be told. Every value is read once, here. */
export interface LogConfiguration {
  readonly databaseUrlFile: string;
  /** Where the sealed log lies. */
  readonly directory: string;
  /** The signer key of the log's checkpoints (C2SP signed-note). */
  readonly keyFile: string;
  /** How often is looked for new events. */
  readonly checkpointSeconds: number;
  /** How many events there are between two checkpoints at the most. */
  readonly checkpointEvents: number;
  /** Who is asked to cosign each checkpoint: `<verifier key> <URL>`. */
  readonly witnesses: readonly string[];
  /** Who stamps a checkpoint now and then (RFC 3161); undefined where nobody does. */
  readonly timestamping: TimestampingConfiguration | undefined;
  /** Where the copy under a WORM lock lies; undefined where there is none. */
  readonly mirror: MirrorConfiguration | undefined;
  readonly admin: { readonly host: string; readonly port: number };
}

export interface TimestampingConfiguration {
  readonly url: string;
  /** The certificates that its own must lead to, PEM. */
  readonly certificateFile: string;
  readonly seconds: number;
}

interface MirrorConfiguration {
  /** s3://bucket/prefix */
  readonly url: string;
  /** How often the copy is brought up to date. */
  readonly seconds: number;
  /** How long everything is kept there after its event (operating model §6). */
  readonly retentionYears: number;
  /** With what every S3 client reads: AWS_*. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function logConfiguration(variables: Readonly<Record<string, string | undefined>>): LogConfiguration {
  const environment = new Environment(variables);
  const mirrorUrl = environment.optional('ATB_LOG_MIRROR');
  const mirror = {
    seconds: environment.integer('ATB_LOG_MIRROR_SECONDS', 60, { min: 1, max: 86_400 }),
    retentionYears: environment.integer('ATB_LOG_RETENTION_YEARS', 7, { min: 1, max: 100 }),
    environment: variables,
  };
  const timestampUrl = environment.optional('ATB_LOG_TSA_URL');
  const timestampSeconds = environment.integer('ATB_LOG_TSA_SECONDS', 3_600, { min: 1, max: 86_400 });
  const configuration: LogConfiguration = {
    databaseUrlFile: environment.required('ATB_DATABASE_URL_FILE'),
    directory: environment.required('ATB_LOG_DIR'),
    keyFile: environment.required('ATB_LOG_KEY_FILE'),
    checkpointSeconds: environment.integer('ATB_LOG_CHECKPOINT_SECONDS', 2, { min: 1, max: 3_600 }),
    checkpointEvents: environment.integer('ATB_LOG_CHECKPOINT_EVENTS', 1_000, { min: 1, max: 1_000_000 }),
    witnesses: environment.list('ATB_LOG_WITNESSES'),
    timestamping:
      timestampUrl === undefined
        ? undefined
        : {
            url: timestampUrl,
            certificateFile: environment.required('ATB_LOG_TSA_CERT_FILE'),
            seconds: timestampSeconds,
          },
    mirror: mirrorUrl === undefined ? undefined : { ...mirror, url: mirrorUrl },
    admin: {
      host: environment.text('ATB_LOG_ADMIN_HOST', '127.0.0.1'),
      port: environment.port('ATB_LOG_ADMIN_PORT', 9468),
    },
  };
  environment.finish('the log');
  return configuration;
}
