import { constants, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Registry } from 'prom-client';
import { createServer } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mappedIdentity } from '../../activities/token-exchange';
import { RemoteIssuerTokens } from '../../adapters/jose/issuer-token';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import { requirePrepared } from '../../adapters/postgres/schema';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { ServerSpan } from '../../adapters/tracing/server-span';
import { issuePersonSvid } from '../../adapters/registration/person-ca';
import type { PersonCa } from '../../adapters/registration/person-ca';
import { sha256Base64url } from '../../domain/digest';
import { AtbError, isAtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { IssuerTokens, Ledger, PolicyEngine } from '../../domain/ports';
import { parseStrictJson } from '../../domain/strict-json';
import { problemOf } from '../problem-details';
import { openTrust } from '../identity';
import { openPolicy } from '../policy';
import { recordedSignOffs, signedOffPolicies } from '../policy-gate';
import { ProcessRecord } from '../process-record';
import type { RegistrationConfiguration } from './configuration';

/** What the registration works with: the authority for people, and nothing of mandates. */
export interface RegistrationPorts {
  readonly ca: PersonCa;
  readonly policy: PolicyEngine;
  readonly issuerTokens: IssuerTokens;
  readonly ledger: Pick<Ledger, 'append'>;
  readonly clock: () => Date;
}

export interface Registration {
  readonly url: string;
  close(): Promise<void>;
}

const BODY_LIMIT_BYTES = 32 * 1024;
const SVID_PATH = '/svid';
const HEALTH_PATH = '/healthz';

/** Gives people of the directory a short-lived X.509-SVID for an ID token of the company's identity provider. */
export class Registrar {
  /** ID tokens that were used, by their digest, with their end in epoch milliseconds: each counts once. */
  private readonly used = new Map<string, number>();

  constructor(private readonly ports: RegistrationPorts) {}

  /** `body`: `{"id_token", "csr"}`. Answers the SVID's chain, PEM. Recorded first, also where it is refused. */
  async register(body: unknown): Promise<{ readonly spiffe_id: string; readonly certificate: string }> {
    const { id_token: token, csr, ...unknown } = isJsonObject(body) ? body : {};
    if (typeof token !== 'string' || typeof csr !== 'string' || Object.keys(unknown).length > 0) {
      throw new AtbError('invalid_request', 'the body must be a JSON object with id_token and csr');
    }
    const { ca, policy, clock } = this.ports;
    const now = clock();
    const digest = sha256Base64url(token);
    try {
      const { spiffeId, claims, ttlSeconds } = await mappedIdentity(this.ports, 'people', token, now);
      if ((await policy.principal(spiffeId)).kind !== 'person') {
        throw new AtbError(
          'identity_unmapped',
          'the one whom this token names is no person of the directory',
        );
      }
      const certificate = await issuePersonSvid(ca, csr, { spiffeId, now, ttlSeconds });
      this.useUp(digest, Number(claims.exp) * 1000, now);
      const { fingerprint256, validTo } = new X509Certificate(certificate);
      await this.record('person_registered', digest, spiffeId, [], {
        ...{ certificate: fingerprint256, not_after: new Date(validTo).toISOString() },
      });
      return { spiffe_id: spiffeId, certificate };
    } catch (error) {
      if (isAtbError(error) && error.code !== 'audit_unavailable') {
        await this.record('person_registration_refused', digest, null, [error.code], {});
      }
      throw error;
    }
  }

  private useUp(digest: string, expiresAt: number, now: Date): void {
    for (const [known, end] of this.used) if (end < now.getTime()) this.used.delete(known);
    if (this.used.has(digest)) throw new AtbError('proof_replayed', 'this ID token was used before');
    this.used.set(digest, expiresAt);
  }

  private record(
    type: 'person_registered' | 'person_registration_refused',
    digest: string,
    person: string | null,
    reasons: readonly string[],
    data: Record<string, string>,
  ): Promise<void> {
    const time = this.ports.clock();
    return this.ports.ledger.append({
      // A token that is tried again is another fact: the time is part of it.
      id: `${type}/${digest}/${time.getTime()}`,
      ...{ type, time, requestId: null, actor: person, subject: person, action: null, tier: null, reasons },
      ...(person !== null && { personal: { '/actor': person, '/subject': person } }),
      data: { ...data, id_token_digest: digest },
    });
  }
}

/** Starts the registration over what is configured. Throws where something is missing. */
export async function startRegistration(configuration: RegistrationConfiguration): Promise<Registration> {
  const text = (file: string) => readFile(file, 'utf8');
  const databaseUrl = (await text(configuration.databaseUrlFile)).trim();
  await requirePrepared(databaseUrl);
  const ledger = new PostgresLedger(databaseUrl, await readCodecKeys(configuration.auditKeysFile));
  const trust = await openTrust(configuration.trust);
  const proposals = new PostgresProposals(databaseUrl);
  const policy = await openPolicy(
    configuration.policy,
    new Registry(),
    signedOffPolicies(recordedSignOffs(trust, proposals)),
  );
  const record = new ProcessRecord(policy, ledger, { process: 'registration', actor: null, configuration });
  const registrar = new Registrar({
    ca: {
      certificatePem: await text(configuration.caCertFile),
      privateKeyPem: await text(configuration.caKeyFile),
    },
    policy,
    issuerTokens: new RemoteIssuerTokens(),
    ledger,
    clock: () => new Date(),
  });
  const server = createServer(
    {
      ...{ cert: await text(configuration.certFile), key: await text(configuration.keyFile) },
      ...{ minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET },
      ...{ requestTimeout: 15_000, headersTimeout: 10_000, maxHeaderSize: 16_384 },
    },
    (request, response) => {
      const span = ServerSpan.ofHttp(request.method, request.headers);
      const responding = span.run(() => respond(registrar, request, span));
      responding.then(
        ({ status, type, body }) => {
          response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
          response.end(JSON.stringify(body));
        },
        (error: unknown) => {
          response.destroy(error as Error);
        },
      );
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(configuration.port, configuration.host, resolve);
  });
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await record.close();
      await policy.close();
      await proposals.end();
      trust.close();
      await ledger.end();
    },
  };
}

async function respond(registrar: Registrar, request: IncomingMessage, span: ServerSpan) {
  const route = [SVID_PATH, HEALTH_PATH].find((path) => path === request.url) ?? null;
  try {
    if (request.url === HEALTH_PATH && request.method === 'GET') {
      return { status: 200, type: 'application/json', body: { status: 'ok' } };
    }
    if (request.url !== SVID_PATH) throw new AtbError('not_found', 'there is no such call');
    if (request.method !== 'POST') throw new AtbError('method_not_allowed', 'this call is a POST');
    if (request.headers['content-type'] !== 'application/json') {
      throw new AtbError('media_type_unsupported', 'the body must be application/json');
    }
    const body = await registrar.register(parseStrictJson(await bytesOf(request)));
    span.end(route, 201, null);
    return { status: 201, type: 'application/json', body };
  } catch (error) {
    const known = isAtbError(error)
      ? error
      : new AtbError('internal', 'something went wrong on our side; it was logged');
    if (!isAtbError(error)) process.stderr.write(`registration: ${String((error as Error).stack)}\n`);
    const problem = problemOf(known, span.traceId);
    span.end(route, problem.status, known.code);
    return { status: problem.status, type: 'application/problem+json', body: problem };
  }
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_LIMIT_BYTES) throw new AtbError('body_too_large', 'the body is larger than 32 KiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
