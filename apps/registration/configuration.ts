import { Environment } from '../environment';
import { trustConfiguration } from '../identity';
import type { TrustConfiguration } from '../identity';
import { policyConfiguration } from '../policy';
import type { PolicyConfiguration } from '../policy';

/** What the registration must be told. Every value is read once, here. */
export interface RegistrationConfiguration {
  readonly host: string;
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
  /** The authority for people's SVIDs: its certificate is in the trust bundle. */
  readonly caCertFile: string;
  readonly caKeyFile: string;
  readonly databaseUrlFile: string;
  readonly auditKeysFile: string;
  /** For the people by whose words policy was approved. */
  readonly trust: TrustConfiguration;
  readonly policy: PolicyConfiguration;
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function registrationConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): RegistrationConfiguration {
  const environment = new Environment(variables);
  const configuration: RegistrationConfiguration = {
    host: environment.text('ATB_REGISTRATION_HOST', '127.0.0.1'),
    port: environment.port('ATB_REGISTRATION_PORT', 8444),
    certFile: environment.required('ATB_TLS_CERT_FILE'),
    keyFile: environment.required('ATB_TLS_KEY_FILE'),
    caCertFile: environment.required('ATB_PERSON_CA_CERT_FILE'),
    caKeyFile: environment.required('ATB_PERSON_CA_KEY_FILE'),
    databaseUrlFile: environment.required('ATB_DATABASE_URL_FILE'),
    auditKeysFile: environment.required('ATB_AUDIT_KEYS_FILE'),
    trust: trustConfiguration(environment),
    policy: policyConfiguration(environment),
  };
  environment.finish('the registration');
  return configuration;
}
