import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../../adapters/process/project-root';
import { AtbError } from '../../../domain/error';
import { isJsonObject } from '../../../domain/json';
import type { Json } from '../../../domain/json';
import { exampleSystemConfiguration } from '../../example-systems/configuration';
import { startExampleSystem } from '../../example-systems/server';
import { BROKER_ID, EXAMPLE_SYSTEMS, spiffeIdOf } from './example-company';
import type { IdentityFiles } from './identities';
import type { StackPorts } from './ports';
import { readOrCreate, writePrivate } from './state';
import type { StateFiles } from './state';

/** The connectors of the compose file, with the places of this machine. */
export async function writeConnectors(ports: StackPorts, files: StateFiles): Promise<void> {
  await mkdir(files.connectors, { recursive: true });
  await readOrCreate(files.systemCredential, () => `${randomBytes(24).toString('base64url')}\n`);
  for (const name of EXAMPLE_SYSTEMS) {
    const text = await readFile(join(projectRoot(), 'deploy', 'connectors', `${name}.json`), 'utf8');
    const shipped = JSON.parse(text) as Json;
    if (!isJsonObject(shipped)) throw new AtbError('internal', `the connector ${name} is no object`);
    const definition = {
      ...shipped,
      upstream: {
        url: `https://localhost:${ports[name]}`,
        ca_file: files.caCertificate,
        spiffe_id: spiffeIdOf(`system/${name}`),
        client_certificate: 'broker',
      },
      egress: {
        allow: [{ host: 'localhost', port: ports[name] }],
        private_addresses: ['127.0.0.0/8', '::1/128'],
      },
      credentials: [{ header: 'Authorization', prefix: 'Bearer ', from: { file: files.systemCredential } }],
    };
    await writePrivate(join(files.connectors, `${name}.json`), `${JSON.stringify(definition, null, 2)}\n`);
  }
}

/** Starts the systems behind the broker; answers how to stop them. What they remember stays. */
export async function startExampleSystems(
  ports: StackPorts,
  files: StateFiles,
  identities: Readonly<Record<string, IdentityFiles>>,
): Promise<() => Promise<void>> {
  await mkdir(files.systems, { recursive: true });
  const running = await Promise.all(
    EXAMPLE_SYSTEMS.map((name) =>
      startExampleSystem(
        exampleSystemConfiguration({
          ATB_EXAMPLE_SYSTEM: name,
          ATB_EXAMPLE_PORT: String(ports[name]),
          ATB_EXAMPLE_TLS_CERT_FILE: identities[name]?.cert,
          ATB_EXAMPLE_TLS_KEY_FILE: identities[name]?.key,
          ATB_TRUST_BUNDLE_FILE: files.caCertificate,
          ATB_EXAMPLE_CALLERS: BROKER_ID,
          ATB_EXAMPLE_CREDENTIAL_FILE: files.systemCredential,
          ATB_EXAMPLE_STATE_FILE: join(files.systems, `${name}.json`),
        }),
      ),
    ),
  );
  return async () => {
    for (const system of running) await system.close();
  };
}

export function brokerEnvironment(
  ports: StackPorts,
  files: StateFiles,
  broker: IdentityFiles,
): Record<string, string> {
  return {
    ATB_BROKER_HOST: '127.0.0.1',
    ATB_BROKER_PORT: String(ports.broker),
    ATB_BROKER_ADMIN_HOST: '127.0.0.1',
    ATB_BROKER_ADMIN_PORT: String(ports.brokerAdmin),
    ATB_BROKER_TLS_CERT_FILE: broker.cert,
    ATB_BROKER_TLS_KEY_FILE: broker.key,
    ATB_BROKER_JWKS_URL: `https://localhost:${ports.agentauth}/.well-known/jwks.json`,
    ATB_BROKER_JWKS_CA_FILE: files.caCertificate,
    ATB_CONNECTORS_DIR: files.connectors,
    ATB_AGENTAUTH_URL: `https://localhost:${ports.agentauth}`,
    ATB_AGENTAUTH_CA_FILE: files.caCertificate,
    // AgentAuth takes from it what agents signed.
    ATB_REQUEST_CARRIERS: BROKER_ID,
  };
}
