import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createPrivateKey, randomBytes, sign, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Client } from 'pg';
import { loadMandateKeySet, writeNewMandateKeySet } from '../../adapters/jose/mandate-keys';
import type { MandateKeySet } from '../../adapters/jose/mandate-keys';
import { startEmbeddedPostgres } from '../../adapters/postgres/embedded';
import type { EmbeddedPostgres } from '../../adapters/postgres/embedded';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import type { Resolver } from '../../adapters/upstream/egress';
import { startBroker } from '../../apps/broker/broker';
import type { Broker } from '../../apps/broker/broker';
import { signedPolicy } from '../../apps/atb/dev/policy';
import { stateFiles } from '../../apps/atb/dev/state';
import { brokerConfiguration } from '../../apps/broker/configuration';
import type { BrokerConfiguration } from '../../apps/broker/configuration';
import type { StoredAuditEvent } from '../../domain/audit-event';
import { sha256Base64url } from '../../domain/digest';
import type { MandateClaims } from '../../domain/mandate';
import { HttpCaller } from './http';
import type { Answer, TlsIdentity } from './http';
import { freePort, KILLED_AT_MOST } from './database';
import { found } from './eventually';

const ISSUER = 'spiffe://corp.example/agentauth';
const AUDIENCE = 'spiffe://corp.example/broker';
const GIVEN_UP_AFTER_MS = 30_000;
const MOST_STARTS = 5;
/** For a connector whose system behind is to be given up. */
export const IMPATIENT = { connect_ms: 4_000, first_byte_ms: 1_500, idle_ms: 1_500, total_ms: 5_000 };
export const FINANCE_BOT = 'spiffe://corp.example/agent/finance-bot';

/** A call as the system behind saw it. */
interface SeenCall {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** The SPIFFE ID in the certificate that the broker showed. */
  readonly by: string | undefined;
}

interface TestBrokerOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Changes of the connector `erp`, or other connectors, before the broker starts. */
  readonly connectors?: (
    erp: Record<string, unknown>,
    upstreamPort: number,
  ) => readonly Record<string, unknown>[];
  readonly answer?: (request: IncomingMessage, body: string, response: ServerResponse) => void;
  readonly resolver?: Resolver;
}

/** A broker with everything real around it: PostgreSQL, TLS, signatures, a system behind it. */
export class TestBroker {
  readonly seen: SeenCall[] = [];
  readonly defects: unknown[] = [];
  answer: NonNullable<TestBrokerOptions['answer']>;
  private readonly callers: HttpCaller[] = [];
  private readonly others: Broker[] = [];
  private readonly processes: ChildProcess[] = [];
  private bot: HttpCaller | undefined;
  private privateKey: KeyObject | undefined;
  private ledger: PostgresLedger | undefined;

  private constructor(
    readonly directory: string,
    readonly ca: DevelopmentCa,
    readonly keys: MandateKeySet,
    public postgres: EmbeddedPostgres,
    private readonly identities: Map<string, Promise<TlsIdentity>>,
    options: TestBrokerOptions,
  ) {
    this.answer =
      options.answer ??
      ((_, __, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end('{"done":true}');
      });
  }

  /** What the broker's clock says. */
  now: () => Date = () => new Date();
  broker!: Broker;
  upstream!: Server;
  upstreamPort = 0;
  private options!: TestBrokerOptions;
  private environment!: Record<string, string>;

  static async start(options: TestBrokerOptions = {}): Promise<TestBroker> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-broker-'));
    const ca = await createDevelopmentCa('corp.example', 1);
    const keySetFile = await writeNewMandateKeySet(join(directory, 'keys'));
    const keys = await loadMandateKeySet(keySetFile);
    const postgres = await startEmbeddedPostgres({
      stateDirectory: join(directory, 'postgres'),
      port: await freePort(),
      settings: KILLED_AT_MOST,
    });
    const test = new TestBroker(directory, ca, keys, postgres, new Map(), options);
    test.options = options;
    try {
      await test.prepare();
      test.broker = await test.startBroker();
    } catch (error) {
      await test.stop();
      throw error;
    }
    return test;
  }

  private async prepare(): Promise<void> {
    const { directory, ca, postgres, keys, options } = this;
    const server = await this.svid(AUDIENCE, { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
    const system = await this.svid('spiffe://corp.example/system/erp', {
      dnsNames: ['localhost'],
      ipAddresses: ['127.0.0.1'],
    });
    this.upstream = createServer(
      {
        cert: system.cert,
        key: system.key,
        ca: ca.certificatePem,
        requestCert: true,
        rejectUnauthorized: true,
      },
      this.receive,
    );
    this.upstream.keepAliveTimeout = GIVEN_UP_AFTER_MS;
    this.upstreamPort = await listening(this.upstream);
    const file = async (name: string, content: string) => {
      await writeFile(join(directory, name), content);
      return join(directory, name);
    };
    const erp = erpConnector(this.upstreamPort);
    const connectors = options.connectors?.(erp, this.upstreamPort) ?? [erp];
    for (const connector of connectors) await file(`${String(connector.id)}.json`, JSON.stringify(connector));
    const folder = join(directory, 'connectors');
    const { mkdir, rename } = await import('node:fs/promises');
    await mkdir(folder);
    for (const { id } of connectors)
      await rename(join(directory, `${String(id)}.json`), join(folder, `${String(id)}.json`));
    await file('credential', 'erp-secret');
    await migrate(postgres.url);
    const state = await stateFiles(directory);
    await signedPolicy(state, undefined);
    this.environment = {
      ATB_POLICY_BUNDLE_FILE: state.policy.bundle,
      ATB_POLICY_PUBLIC_KEY_FILE: state.policy.publicKey,
      ATB_BROKER_PORT: '0',
      ATB_BROKER_ADMIN_PORT: '0',
      ATB_BROKER_TLS_CERT_FILE: await file('cert.pem', server.cert),
      ATB_BROKER_TLS_KEY_FILE: await file('key.pem', server.key),
      ATB_TRUST_BUNDLE_FILE: await file('corp.example.pem', ca.certificatePem),
      ATB_ISSUER: ISSUER,
      ATB_AUDIENCE: AUDIENCE,
      ATB_BROKER_JWKS_FILE: await file('jwks.json', JSON.stringify(keys.jwks)),
      ATB_DATABASE_URL_FILE: await file('database-url', postgres.serviceUrl),
      ATB_TICKETS_FILE: await file('tickets.json', '{"CHG-1":{"state":"open"},"CHG-2":{"state":"closed"}}'),
      ATB_CONNECTORS_DIR: folder,
      ATB_REQUIRE_CONNECTOR_SIGN_OFF: 'false',
      ATB_ACCESS_LOG_STDOUT: 'false',
      // Ages have tests of their own; here a machine that stands still for a while is no outage.
      ATB_REVOCATION_MAX_AGE_MS: '60000',
      ATB_ACCESS_LOG_DIR: join(directory, 'access-log'),
      ...options.environment,
    };
  }

  /** Another broker on the same database, as behind a load balancer. */
  async another(): Promise<Broker> {
    const broker = await this.startBroker();
    this.others.push(broker);
    return broker;
  }

  startBroker(environment: Record<string, string> = {}): Promise<Broker> {
    return this.startedWith(brokerConfiguration({ ...this.environment, ...environment }));
  }

  /** Where the machine stood still while it connected, it is started again, as what runs it in production does. */
  private async startedWith(configuration: BrokerConfiguration): Promise<Broker> {
    for (let tries = 1; ; tries++) {
      try {
        return await startBroker(configuration, {
          environment: { ATB_CREDENTIAL_TEST: 'from-environment' },
          onDefect: (error) => {
            this.defects.push(error);
          },
          ...(this.options.resolver && { resolver: this.options.resolver }),
          clock: () => this.now(),
        });
      } catch (error) {
        if (tries === MOST_STARTS || !String(error).includes('timeout expired')) throw error;
      }
    }
  }

  /** After `postgres.stop()`: the same database, at the same place. */
  async restartPostgres(): Promise<void> {
    this.postgres = await startEmbeddedPostgres({
      stateDirectory: join(this.directory, 'postgres'),
      port: Number(new URL(this.postgres.url).port),
      settings: KILLED_AT_MOST,
    });
  }

  /** After a restart of the broker: the next payment is made over a new connection. */
  forgetCaller(): void {
    this.bot = undefined;
  }

  /** A broker in a process of its own, as production has it; answers its URL. It ends with the test. */
  async brokerProcess(environment: Readonly<Record<string, string>> = {}): Promise<string> {
    // What changed since is compiled first.
    const building = `await (await import('${process.cwd()}/tools/prepare.mjs')).build(() => undefined)`;
    execFileSync(process.execPath, ['--input-type=module', '--eval', building]);
    const child = spawn(process.execPath, ['dist/apps/broker/main.js'], {
      env: { PATH: process.env.PATH, ...this.environment, ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.processes.push(child);
    return new Promise((resolve, reject) => {
      let said = '';
      let isUp = false;
      // Read to its end: a process that nobody listens to stands still when the pipe is full.
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        if (isUp) return;
        said += text;
        const url = /listens at (https:\S+)\s/.exec(said)?.[1];
        if (url === undefined) return;
        isUp = true;
        resolve(url);
      });
      child.on('exit', () => {
        reject(new Error(`the broker ended: ${said}`));
      });
    });
  }

  /** Kills the processes of `brokerProcess`, without a word to them. */
  kill(): void {
    for (const child of this.processes) child.kill('SIGKILL');
  }

  async svid(spiffeId: string, profile: Partial<SvidProfile> = {}): Promise<TlsIdentity> {
    const { chainPem, privateKeyPem } = await issueSvid(this.ca, { spiffeId, ttlHours: 1, ...profile });
    return { cert: chainPem, key: privateKeyPem };
  }

  /** The one identity of an agent in this test. */
  identity(spiffeId: string): Promise<TlsIdentity> {
    const known = this.identities.get(spiffeId) ?? this.svid(spiffeId);
    this.identities.set(spiffeId, known);
    return known;
  }

  async caller(spiffeId = FINANCE_BOT, url = this.broker.url): Promise<HttpCaller> {
    return this.callerWith(await this.identity(spiffeId), url);
  }

  callerWith(identity: TlsIdentity | undefined, url = this.broker.url): HttpCaller {
    const caller = new HttpCaller(url, this.ca.certificatePem, identity);
    this.callers.push(caller);
    return caller;
  }

  /** A mandate as AgentAuth would sign it, for a payment of 100 by finance-bot unless told otherwise. */
  async mint(changes: Partial<MandateClaims> = {}): Promise<string> {
    return this.keys.signer.sign(await this.claims(changes));
  }

  async claims(changes: Partial<MandateClaims> = {}): Promise<MandateClaims> {
    const sub = changes.sub ?? FINANCE_BOT;
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: ISSUER,
      aud: AUDIENCE,
      sub,
      act: 'sap.payment.execute',
      con: { params: { amount: 100 }, limits: { payment_limit: 100_000 } },
      leg: {
        jurisdiction: 'CH',
        accountable_party: { type: 'employee', id: 'emp-100' },
        basis: 'CONTRACT',
        ref: 'MSA-1',
        description: 'Pay invoice 1',
      },
      tier: 'high',
      pol: 'test',
      req: randomBytes(12).toString('base64url'),
      jti: randomBytes(24).toString('base64url'),
      iat: now,
      nbf: now,
      exp: now + 120,
      cnf: this.boundTo(await this.identity(sub)),
      salt: randomBytes(24).toString('base64url'),
      ...changes,
    };
  }

  /** A payment with a mandate, by finance-bot unless told otherwise. */
  async pay(
    mandate: string,
    {
      body = { amount: 100 },
      headers = {},
      caller,
      connector = 'erp',
    }: {
      readonly body?: unknown;
      readonly headers?: Record<string, string>;
      readonly caller?: HttpCaller | undefined;
      readonly connector?: string;
    } = {},
  ): Promise<Answer> {
    this.bot ??= await this.caller();
    return (caller ?? this.bot).post(`/c/${connector}/payments`, body, {
      authorization: `PoA ${mandate}`,
      ...headers,
    });
  }

  /** A compact JWS with any header over any claims, truly signed by the mandate key unless told otherwise. */
  forge(
    header: object,
    claims: unknown,
    signed: (input: Buffer) => Buffer = (input) => this.signature(input),
  ): string {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const input = `${part(header)}.${part(claims)}`;
    return `${input}.${signed(Buffer.from(input)).toString('base64url')}`;
  }

  /** By the mandate key, over whatever. */
  signature(input: string | Buffer): Buffer {
    this.privateKey ??= createPrivateKey(
      readFileSync(join(this.directory, 'keys', `mandate-key-${this.keys.signer.kid}.pem`)),
    );
    return sign(null, Buffer.from(input), this.privateKey);
  }

  /** The claim that binds a mandate to a certificate (RFC 8705 §3.1). */
  boundTo({ cert }: TlsIdentity): MandateClaims['cnf'] {
    return { 'x5t#S256': sha256Base64url(new X509Certificate(cert).raw) };
  }

  /**
   * Sends bytes as they are over mTLS, and answers all that comes back until the connection ends, or is quiet for so long
   * after so many whole answers, one unless told.
   */
  async raw(
    bytes: string | Buffer,
    {
      identity,
      quietMs = 300,
      answers = 1,
      url = this.broker.url,
    }: {
      readonly identity?: TlsIdentity;
      readonly quietMs?: number;
      readonly answers?: number;
      readonly url?: string;
    } = {},
  ): Promise<string> {
    const shown = identity ?? (await this.identity(FINANCE_BOT));
    const { port } = new URL(url);
    const ofHead = bytes.toString().startsWith('HEAD ');
    return new Promise((resolve, reject) => {
      const socket = connect({
        host: '127.0.0.1',
        port: Number(port),
        servername: 'localhost',
        ca: this.ca.certificatePem,
        ...shown,
      });
      let text = '';
      const done = () => {
        clearTimeout(timer);
        socket.destroy();
        resolve(text);
      };
      let timer = setTimeout(done, GIVEN_UP_AFTER_MS);
      socket.once('secureConnect', () => socket.write(bytes));
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        clearTimeout(timer);
        const isWhole = wholeAnswersIn(text, ofHead) >= answers;
        timer = setTimeout(done, isWhole ? quietMs : GIVEN_UP_AFTER_MS);
      });
      socket.on('close', done);
      socket.on('error', (error) => {
        if (text === '') reject(error instanceof Error ? error : new Error(String(error)));
        else done();
      });
    });
  }

  /** How many calls of a connector had this outcome, as the broker's metrics say. */
  async counted(outcome: string, connector = 'erp'): Promise<number> {
    const metrics = await (await fetch(`${this.broker.adminUrl}/metrics`)).text();
    const name = `atb_redemptions_total{connector="${connector}",outcome="${outcome}"} `;
    const line = metrics.split('\n').find((text) => text.startsWith(name));
    return Number(line?.slice(name.length) ?? 0);
  }

  /** The audit log, oldest first. */
  async events(type?: string): Promise<readonly StoredAuditEvent[]> {
    this.ledger ??= new PostgresLedger(this.postgres.serviceUrl);
    return this.ledger.events({ ...(type !== undefined && { type }), limit: 10_000 });
  }

  /** Waits until an event of the type is recorded for a request: outcomes are written beside the answer. */
  async recorded(requestId: string, type: string): Promise<StoredAuditEvent> {
    return found(async () => (await this.events(type)).find((event) => event.requestId === requestId), 20);
  }

  async sql(text: string, values: readonly unknown[] = []): Promise<void> {
    const client = new Client({ connectionString: this.postgres.url });
    await client.connect();
    try {
      await client.query(text, [...values]);
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    for (const caller of this.callers) caller.close();
    for (const child of this.processes) {
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    for (const broker of this.others) await broker.close();
    await (this.broker as Broker | undefined)?.close();
    await this.ledger?.end();
    const { upstream } = this as { upstream?: Server };
    upstream?.closeAllConnections();
    await new Promise<void>((resolve) => {
      if (!upstream) resolve();
      else
        upstream.close(() => {
          resolve();
        });
    });
    await this.postgres.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  private readonly receive: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const certificate = (
        request.socket as { getPeerX509Certificate?: () => X509Certificate | undefined }
      ).getPeerX509Certificate?.();
      this.seen.push({
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body,
        by: certificate?.subjectAltName?.replace(/^URI:/, ''),
      });
      this.answer(request, body, response);
    });
  };
}

/** How many HTTP answers there are, one behind the other; none where the last of them is not whole yet. */
function wholeAnswersIn(text: string, ofHead: boolean): number {
  let count = 0;
  for (let rest = text; rest !== ''; count++) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return 0;
    const [head, body] = [rest.slice(0, end), rest.slice(end + 4)];
    const length = ofHead || /^HTTP\/1\.1 (?:204|304) /.test(head) ? 0 : lengthOfBody(head, body);
    if (length === undefined || length > body.length) return 0;
    rest = body.slice(length);
  }
  return count;
}

/** With its framing; undefined where it has no end yet. */
function lengthOfBody(head: string, body: string): number | undefined {
  if (!/^transfer-encoding: chunked$/im.test(head)) {
    const [, digits] = /^content-length: (\d+)$/im.exec(head) ?? [];
    return digits === undefined ? undefined : Number(digits);
  }
  for (let at = 0; ;) {
    const [line, digits = ''] = /^([0-9a-f]+)\r\n/i.exec(body.slice(at)) ?? [];
    if (line === undefined) return undefined;
    const size = parseInt(digits, 16);
    at += line.length + size + 2;
    if (size === 0) return at;
  }
}

function erpConnector(port: number): Record<string, unknown> {
  return {
    id: 'erp',
    title: 'The ERP of the tests',
    owner: 'Broker-Team',
    state: 'active',
    data_classification: 'confidential',
    upstream: {
      url: `https://localhost:${port}/api`,
      ca_file: '../corp.example.pem',
      client_certificate: 'broker',
    },
    egress: { allow: [{ host: 'localhost', port }], private_addresses: ['127.0.0.0/8', '::1/128'] },
    credentials: [{ header: 'Authorization', prefix: 'Bearer ', from: { file: '../credential' } }],
    // The system behind runs in this process, which stands still for seconds on a busy machine.
    timeouts: { connect_ms: 30_000, first_byte_ms: 30_000, idle_ms: 30_000, total_ms: 40_000 },
    limits: { request_bytes: 4_096, response_bytes: 100_000 },
    idempotency_key: 'forward',
    routes: [
      {
        method: 'POST',
        path: '/payments',
        action: 'sap.payment.execute',
        parameters: { amount: [{ in: 'body', pointer: '/amount' }] },
        unchecked: [{ in: 'body', pointer: '/memo' }],
      },
      {
        method: 'GET',
        path: '/contacts/:contact_id',
        action: 'crm.contact.read',
        parameters: {
          contact_id: [
            { in: 'path', name: 'contact_id' },
            { in: 'query', name: 'contact_id', optional: true },
          ],
        },
        unchecked: [{ in: 'query', name: 'page' }],
      },
      {
        method: 'PUT',
        path: '/contacts/:contact_id',
        action: 'crm.contact.update',
        parameters: {
          contact_id: [
            { in: 'path', name: 'contact_id' },
            { in: 'body', pointer: '/id', optional: true },
          ],
          phone: [{ in: 'body', pointer: '/phone', type: 'string' }],
        },
      },
    ],
  };
}

function listening(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
  once(event: 'error', heard: (error: Error) => void): unknown;
}): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}
