import { Environment } from '../environment';
import { identityConfiguration } from '../identity';
import type { IdentityConfiguration } from '../identity';

export const SYSTEMS = ['erp', 'crm'] as const;
export type SystemName = (typeof SYSTEMS)[number];

/** What an example system must be told. Every value is read once, here. */
export interface ExampleSystemConfiguration {
  readonly system: SystemName;
  readonly host: string;
  readonly port: number;
  readonly identity: IdentityConfiguration;
  /** Who may call: the broker. */
  readonly callers: readonly string[];
  readonly credentialFile: string;
  readonly stateFile: string;
}

/** Reads ATB_* variables; docs/configuration.md lists them. Throws `configuration_invalid` naming every fault. */
export function exampleSystemConfiguration(
  variables: Readonly<Record<string, string | undefined>>,
): ExampleSystemConfiguration {
  const environment = new Environment(variables);
  // Nobody called means nobody: it has to be said who.
  environment.required('ATB_EXAMPLE_CALLERS');
  const configuration: ExampleSystemConfiguration = {
    system: environment.oneOf('ATB_EXAMPLE_SYSTEM', SYSTEMS, 'erp'),
    host: environment.text('ATB_EXAMPLE_HOST', '127.0.0.1'),
    port: environment.port('ATB_EXAMPLE_PORT', 9500),
    identity: identityConfiguration(environment, {
      ATB_EXAMPLE_TLS_CERT_FILE: environment.optional('ATB_EXAMPLE_TLS_CERT_FILE'),
      ATB_EXAMPLE_TLS_KEY_FILE: environment.optional('ATB_EXAMPLE_TLS_KEY_FILE'),
    }),
    callers: environment.spiffeIds('ATB_EXAMPLE_CALLERS'),
    credentialFile: environment.required('ATB_EXAMPLE_CREDENTIAL_FILE'),
    stateFile: environment.required('ATB_EXAMPLE_STATE_FILE'),
  };
  environment.finish('the example system');
  return configuration;
}
