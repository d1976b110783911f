import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { generateSignerKey, parseSignerKey } from '../../../adapters/audit-log/note-key';
import { writeNewMandateKeySet } from '../../../adapters/jose/mandate-keys';
import { createCodecKeys } from '../../../adapters/temporal/codec-keys';
import { NAMESPACE } from '../../../adapters/temporal/server-settings';
import { AGENTAUTH_ID, BROKER_ID, EXAMPLE_TICKETS } from './example-company';
import { developmentIdentities } from './identities';
import type { DevelopmentIdentities } from './identities';
import { signedPolicy } from './policy';
import type { BuiltPolicy } from './policy';
import type { StackPorts } from './ports';
import { readOrCreate, writePrivate } from './state';
import type { StateFiles } from './state';

// The name of the example company's log, in each of its checkpoints.
const LOG_NAME = 'audit.corp.example';

/**
 * Every key, identity, ticket and policy of the example company: made once. `nextPolicy` waits for Security's approval.
 * `policyDir` stands for policy/dist.
 */
export async function developmentSettings(
  files: StateFiles,
  policyDir: string | undefined,
): Promise<DevelopmentIdentities & { readonly nextPolicy: BuiltPolicy | null }> {
  await secrets(files);
  const nextPolicy = await signedPolicy(files, policyDir);
  return { ...(await developmentIdentities(files)), nextPolicy };
}

/** The settings of AgentAuth, the worker and the log on this machine, by their ATB_* names. */
export function developmentEnvironment(
  files: StateFiles,
  ports: StackPorts,
  temporalAddress: string,
  server: { readonly cert: string; readonly key: string },
): Record<string, string> {
  return {
    ATB_TEMPORAL_ADDRESS: temporalAddress,
    ATB_TEMPORAL_NAMESPACE: NAMESPACE,
    ATB_CODEC_KEYS_FILE: files.codecKeys,
    ATB_DATABASE_URL_FILE: files.databaseUrl,
    ATB_AUDIT_KEYS_FILE: files.auditKeys,
    ATB_LOG_DIR: files.log.directory,
    ATB_LOG_KEY_FILE: files.log.key,
    // A development stack is its own company, whatever identity this machine has.
    SPIFFE_ENDPOINT_SOCKET: '',
    ATB_TRUST_BUNDLE_FILE: files.caCertificate,
    ATB_SIGNING_KEYS_FILE: mandateKeySetFile(files),
    ATB_POLICY_BUNDLE_FILE: files.policy.bundle,
    ATB_POLICY_PUBLIC_KEY_FILE: files.policy.publicKey,
    ATB_TICKETS_FILE: files.tickets,
    ATB_NOTIFICATIONS_FILE: files.notifications,
    ATB_ACCESS_LOG_STDOUT: 'false',
    ATB_ACCESS_LOG_DIR: files.accessLog,
    ATB_ISSUER: AGENTAUTH_ID,
    ATB_AUDIENCE: BROKER_ID,
    ATB_HOST: '127.0.0.1',
    ATB_PORT: String(ports.agentauth),
    ATB_ADMIN_HOST: '127.0.0.1',
    ATB_ADMIN_PORT: String(ports.agentauthAdmin),
    ATB_PUBLIC_URL: `https://localhost:${ports.agentauth}`,
    ATB_TLS_CERT_FILE: server.cert,
    ATB_TLS_KEY_FILE: server.key,
  };
}

async function secrets(files: StateFiles): Promise<void> {
  await createCodecKeys(files.codecKeys, new Date());
  await createCodecKeys(files.auditKeys, new Date());
  const logKey = await readOrCreate(files.log.key, () => `${generateSignerKey(LOG_NAME)}\n`);
  await writePrivate(files.log.vkey, `${parseSignerKey(logKey.trim()).vkey}\n`);
  if (!existsSync(mandateKeySetFile(files))) await writeNewMandateKeySet(files.keys);
  await readOrCreate(files.tickets, () => `${JSON.stringify(EXAMPLE_TICKETS, null, 2)}\n`);
}

function mandateKeySetFile(files: StateFiles): string {
  return join(files.keys, 'mandate-keys.json');
}
