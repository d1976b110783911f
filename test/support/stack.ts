import { X509Certificate, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { freePortBase, portsFrom } from '../../apps/atb/dev/ports';
import { SILENT } from '../../apps/atb/dev/progress';
import { startStack } from '../../apps/atb/dev/stack';
import type { Stack } from '../../apps/atb/dev/stack';
import { stateFiles, writePrivate } from '../../apps/atb/dev/state';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { parsePemCertificates } from '../../adapters/spiffe';
import { createDevelopmentCa } from '../../adapters/spiffe/development-ca';
import { sealedDataConverterFrom } from '../../adapters/temporal/data-converter';
import { NAMESPACE } from '../../adapters/temporal/server-settings';
import { installTemporalSdk } from '../../apps/temporal-sdk';
import { AuditorsLedger } from './auditors-ledger';
import { KILLED_AT_MOST } from './database';
import { HttpCaller } from './http';
import { untracedEvents } from './untraced-events';

let runtimeInstalled = false;

/** A whole development stack in this process: real Temporal, real PostgreSQL, real TLS. */
export class TestStack {
  private readonly callers = new Map<string, HttpCaller>();
  private readonly cleanUp: (() => Promise<void>)[] = [];
  // One for all that asks: each has connections of its own.
  private reading: Promise<AuditorsLedger> | undefined;
  private hasInsider = false;

  private constructor(
    readonly stack: Stack,
    readonly directory: string,
  ) {}

  /** `jwtKeys` are those that sign the JWT-SVIDs of corp.example; none unless told. */
  static async start(
    environment: Record<string, string> = {},
    jwtKeys: readonly object[] = [],
  ): Promise<TestStack> {
    if (!runtimeInstalled) {
      installTemporalSdk({ level: 'ERROR' });
      runtimeInstalled = true;
    }
    const directory = await mkdtemp(join(tmpdir(), 'atb-test-'));
    const stack = await startStack({
      stateDirectory: directory,
      ports: portsFrom(await freePortBase()),
      progress: SILENT,
      postgresSettings: KILLED_AT_MOST,
      environment: {
        ...(await bundleWith(jwtKeys, directory)),
        // A slow machine is no outage, and a test that asks again and again no attack.
        ATB_DECISION_TIMEOUT_MS: '15000',
        ATB_REQUESTS_PER_MINUTE: '100000',
        ATB_POLLS_PER_INTERVAL: '100000',
        ...environment,
      },
      onFatal: (error) => {
        throw error;
      },
    });
    return new TestStack(stack, directory);
  }

  /** A caller with an identity of the example company, for example `agent/finance-bot`. */
  as(name: string): HttpCaller {
    const known = this.callers.get(name);
    if (known) return known;
    const identity = this.stack.identities[name];
    if (!identity) throw new Error(`${name} is no identity of the stack`);
    const caller = HttpCaller.fromFiles(this.stack.agentauthUrl, this.trustBundle, identity);
    this.callers.set(name, caller);
    return caller;
  }

  /** A caller that shows no certificate. */
  nobody(): HttpCaller {
    const caller = HttpCaller.fromFiles(this.stack.agentauthUrl, this.trustBundle);
    this.callers.set(randomBytes(4).toString('hex'), caller);
    return caller;
  }

  get trustBundle(): string {
    return join(this.directory, 'corp.example.pem');
  }

  identity(name: string): { readonly cert: string; readonly key: string } {
    const identity = this.stack.identities[name];
    if (!identity) throw new Error(`${name} is no identity of the stack`);
    return identity;
  }

  /** The audit log, read as an auditor would. */
  ledger(): Promise<AuditorsLedger> {
    this.reading ??= this.openLedger();
    return this.reading;
  }

  private async openLedger(): Promise<AuditorsLedger> {
    const ledger = new AuditorsLedger(
      (await readFile(join(this.directory, 'database-url'), 'utf8')).trim(),
      await readCodecKeys(join(this.directory, 'audit-keys.json')),
    );
    this.cleanUp.push(() => ledger.end());
    return ledger;
  }

  async auditTypes(requestId: string): Promise<string[]> {
    const ledger = await this.ledger();
    return (await ledger.events({ requestId, limit: 100 })).map(({ type }) => type);
  }

  /** A Temporal client with our codec's keys, as our own processes have. */
  async sealedClient(): Promise<Client> {
    this.hasInsider = true;
    const connection = await Connection.connect({ address: this.stack.temporalAddress });
    this.cleanUp.push(() => connection.close());
    const dataConverter = await sealedDataConverterFrom(join(this.directory, 'codec-keys.json'));
    return new Client({ connection, namespace: NAMESPACE, dataConverter });
  }

  /** What an insider with write access to the namespace has: a plain client, no keys. */
  async insider(): Promise<Client> {
    this.hasInsider = true;
    const connection = await Connection.connect({ address: this.stack.temporalAddress });
    this.cleanUp.push(() => connection.close());
    return new Client({ connection, namespace: NAMESPACE });
  }

  async stop(): Promise<void> {
    for (const caller of this.callers.values()) caller.close();
    const untraced = this.hasInsider ? [] : await untracedEvents(join(this.directory, 'database-url'));
    for (const step of this.cleanUp.reverse()) await step();
    await this.stack.stop();
    await rm(this.directory, { recursive: true, force: true });
    // Whatever was tested: what a call led to is found by the trace in its answer.
    if (untraced.length > 0) throw new Error(`of a call, and without its trace: ${untraced.join(', ')}`);
  }
}

/** The trust bundle with keys for JWT-SVIDs in it too, which the development stack makes none of. */
async function bundleWith(jwtKeys: readonly object[], directory: string): Promise<Record<string, string>> {
  if (jwtKeys.length === 0) return {};
  const files = await stateFiles(directory);
  const { certificatePem, privateKeyPem } = await createDevelopmentCa('corp.example', 30);
  await writePrivate(files.caCertificate, certificatePem);
  await writePrivate(files.caKey, privateKeyPem);
  const x5c = parsePemCertificates(certificatePem).map((der) => Buffer.from(der).toString('base64'));
  const { kty, crv, x, y } = new X509Certificate(certificatePem).publicKey.export({ format: 'jwk' });
  const keys = [{ kty, crv, x, y, use: 'x509-svid', x5c }, ...jwtKeys];
  const bundle = join(directory, 'bundle', 'corp.example.json');
  await mkdir(join(directory, 'bundle'));
  await writeFile(bundle, JSON.stringify({ keys }));
  return { ATB_TRUST_BUNDLE_FILE: bundle };
}
