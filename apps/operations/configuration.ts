import { Environment } from '../environment';
import { trustConfiguration } from '../identity';
import type { TrustConfiguration } from '../identity';
import { policyConfiguration } from '../policy';
import type { PolicyConfiguration } from '../policy';
import { temporalConfiguration } from '../temporal';
import type { TemporalConfiguration } from '../temporal';

/** What a process that carries changes out must be told. */
export interface OperationsConfiguration {
  readonly temporal: TemporalConfiguration;
  readonly codecKeysFile: string;
  readonly databaseUrlFile: string;
  readonly auditKeysFile: string;
  readonly trust: TrustConfiguration;
  readonly policy: PolicyConfiguration;
  /** The allowlist of what may be done, and the checks. */
  readonly operationsFile: string;
  readonly admin: { readonly host: string; readonly port: number };
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function operationsConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): OperationsConfiguration {
  const environment = new Environment(variables);
  const configuration: OperationsConfiguration = {
    temporal: temporalConfiguration(environment),
    codecKeysFile: environment.required('ATB_CODEC_KEYS_FILE'),
    databaseUrlFile: environment.required('ATB_DATABASE_URL_FILE'),
    auditKeysFile: environment.required('ATB_AUDIT_KEYS_FILE'),
    trust: trustConfiguration(environment),
    policy: policyConfiguration(environment),
    operationsFile: environment.required('ATB_OPERATIONS_FILE'),
    admin: {
      host: environment.text('ATB_OPERATIONS_ADMIN_HOST', '127.0.0.1'),
      port: environment.port('ATB_OPERATIONS_ADMIN_PORT', 9469),
    },
  };
  environment.finish('the operations worker');
  return configuration;
}
