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
  readonly admin: { readonly host: string; readonly port: number };
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function logConfiguration(variables: Readonly<Record<string, string | undefined>>): LogConfiguration {
  const environment = new Environment(variables);
  const configuration: LogConfiguration = {
    databaseUrlFile: environment.required('ATB_DATABASE_URL_FILE'),
    directory: environment.required('ATB_LOG_DIR'),
    keyFile: environment.required('ATB_LOG_KEY_FILE'),
    checkpointSeconds: environment.integer('ATB_LOG_CHECKPOINT_SECONDS', 2, { min: 1, max: 3_600 }),
    checkpointEvents: environment.integer('ATB_LOG_CHECKPOINT_EVENTS', 1_000, { min: 1, max: 1_000_000 }),
    admin: {
      host: environment.text('ATB_LOG_ADMIN_HOST', '127.0.0.1'),
      port: environment.port('ATB_LOG_ADMIN_PORT', 9468),
    },
  };
  environment.finish('the log');
  return configuration;
}
