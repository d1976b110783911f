import 'reflect-metadata';
import type { Server } from 'node:https';
import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Client } from '@temporalio/client';
import { Registry } from 'prom-client';
import { callerTokens } from '../../adapters/jose/caller-token';
import { importMandateJwks } from '../../adapters/jose/mandate-keys';
import type { MandateJwks } from '../../adapters/jose/mandate-keys';
import { jwtSvids } from '../../adapters/identity/jwt-svids';
import { Svids } from '../../adapters/identity/svids';
import { rotateServerCertificate, serverTlsOptions } from '../../adapters/spiffe';
import type { PolicyEngine } from '../../domain/ports';
import { openAccessLog } from '../access-log';
import { startAdminServer } from '../admin-server';
import { hasSvid, openIdentity } from '../identity';
import { logAccess } from './access';
import { ApprovalsController } from './approvals.controller';
import { BODY_LIMIT_BYTES, registerBodyParsers } from './body';
import { BoundTokens } from './bound-tokens';
import { CallerGuard } from './caller';
import { Changes } from './changes';
import { Consultations } from './consultations';
import { ConsultationsController } from './consultations.controller';
import { ChangesController } from './changes.controller';
import type { AgentAuthConfiguration } from './configuration';
import { IssuanceController } from './issuance.controller';
import { MandatesController } from './mandates.controller';
import { metrics } from './metrics';
import { openApiDocument } from './openapi';
import { PoaRequests } from './poa-requests';
import { policyProvider } from './policy';
import { PollPace } from './poll-pace';
import { Incidents } from './incidents';
import { IncidentsController } from './incidents.controller';
import { Proposals } from './proposals';
import { ProposalsController } from './proposals.controller';
import { ProblemFilter } from './problem';
import { REQUESTS_PER_MINUTE } from './rate-limit.guard';
import { RequestsController } from './requests.controller';
import { StopsController } from './stops.controller';
import { TokenController } from './token.controller';
import { ReviewsController } from './reviews.controller';
import { SignedRequests } from './signed-requests';

/** What AgentAuth is handed: no key but its own, no decision. */
export interface AgentAuthParts {
  /** On the worker's own NativeConnection where both run in one process: then starts are eager. */
  readonly client: Client;
  /** For /plan, and to know how to wait. */
  readonly policy: PolicyEngine;
  readonly jwks: MandateJwks;
  /** Of what runs in the same process, to be told at the same place. */
  readonly registries?: readonly Registry[];
}

export interface AgentAuth {
  readonly url: string;
  readonly adminUrl: string;
  close(): Promise<void>;
}

@Module({})
class AgentAuthModule {
  static register(
    configuration: AgentAuthConfiguration,
    { client, policy }: AgentAuthParts,
    svids: Svids,
    tokens: BoundTokens,
  ): DynamicModule {
    const requests = new PoaRequests(client, policy, configuration.decisionTimeoutMs);
    return {
      module: AgentAuthModule,
      controllers: [
        IssuanceController,
        RequestsController,
        ApprovalsController,
        MandatesController,
        ReviewsController,
        TokenController,
        StopsController,
        ProposalsController,
        IncidentsController,
        ChangesController,
        ConsultationsController,
      ],
      providers: [
        { provide: PoaRequests, useValue: requests },
        { provide: Incidents, useValue: new Incidents(client, configuration.decisionTimeoutMs) },
        { provide: Consultations, useValue: new Consultations(client, configuration.decisionTimeoutMs) },
        { provide: Changes, useValue: new Changes(client, configuration.decisionTimeoutMs) },
        { provide: Proposals, useValue: new Proposals(client, configuration.decisionTimeoutMs) },
        { provide: BoundTokens, useValue: tokens },
        {
          provide: SignedRequests,
          useValue: new SignedRequests(svids, configuration.issuer, new Set(configuration.requestCarriers)),
        },
        { provide: PollPace, useValue: new PollPace(configuration.pollsPerInterval) },
        { provide: REQUESTS_PER_MINUTE, useValue: configuration.requestsPerMinute },
        policyProvider(policy),
      ],
    };
  }
}

/** Starts the issuing API and its admin server. Throws where a key, a bundle or a port is not to be had. */
export async function startAgentAuth(
  configuration: AgentAuthConfiguration,
  parts: AgentAuthParts,
): Promise<AgentAuth> {
  const identity = await openIdentity(configuration.identity);
  const svids = new Svids(identity);
  const tokens = new BoundTokens(
    callerTokens(
      jwtSvids(identity, configuration.jwtSvidMaxLifetimeSeconds),
      importMandateJwks(parts.jwks),
      configuration.issuer,
    ),
    configuration.publicUrl,
  );
  const adapter = new FastifyAdapter({
    https: {
      // Any certificate may come in, so that the refusal can say what is wrong with it: see CallerGuard.
      ...serverTlsOptions(identity),
      handshakeTimeout: 10_000,
      requestTimeout: 15_000,
      headersTimeout: 10_000,
      maxHeaderSize: 16_384,
    },
    bodyLimit: BODY_LIMIT_BYTES,
    keepAliveTimeout: 72_000,
    routerOptions: { maxParamLength: 128, ignoreTrailingSlash: false },
  });
  const application = await NestFactory.create<NestFastifyApplication>(
    AgentAuthModule.register(configuration, parts, svids, tokens),
    adapter,
    { bodyParser: false, logger: ['error', 'warn'], forceCloseConnections: true, abortOnError: false },
  );
  application.useGlobalGuards(
    new CallerGuard({ svids, tokens, trustedProxies: new Set(configuration.trustedProxies) }),
  );
  application.useGlobalFilters(new ProblemFilter());
  const fastify = adapter.getInstance();
  const accessLog = await openAccessLog(configuration.accessLog, metrics.registry);
  logAccess(fastify, accessLog);
  registerBodyParsers(fastify);
  serveDocuments(fastify, configuration, parts.jwks);
  fastify.addHook('onResponse', (request, reply, done) => {
    metrics.http.observe(
      { method: request.method, route: request.routeOptions.url ?? 'none', status: String(reply.statusCode) },
      reply.elapsedTime / 1000,
    );
    done();
  });
  rotateServerCertificate(fastify.server as Server, identity);
  await application.listen(configuration.port, configuration.host);
  const admin = await startAdminServer(
    configuration.admin.host,
    configuration.admin.port,
    async () => hasSvid(identity, new Date()) && (await application.get(PoaRequests).isReady()),
    Registry.merge([metrics.registry, ...(parts.registries ?? [])]),
  );
  return {
    url: configuration.publicUrl,
    adminUrl: admin.url,
    async close() {
      await application.close();
      await accessLog.close();
      await admin.close();
      identity.close();
    },
  };
}

interface DocumentServer {
  get(path: string, handler: () => Promise<unknown>): void;
}

/** What anybody may read, without a client certificate: public keys, metadata, the API's description. */
function serveDocuments(
  server: DocumentServer,
  configuration: AgentAuthConfiguration,
  jwks: MandateJwks,
): void {
  const { publicUrl, issuer, audience } = configuration;
  const documents: Record<string, unknown> = {
    '/.well-known/jwks.json': jwks,
    '/.well-known/agentauth-configuration': {
      issuer,
      audience,
      jwks_uri: `${publicUrl}/.well-known/jwks.json`,
      issuance_endpoint: `${publicUrl}/issue`,
      plan_endpoint: `${publicUrl}/plan`,
      approvals_endpoint: `${publicUrl}/approvals`,
      reviews_endpoint: `${publicUrl}/reviews`,
      revocation_endpoint: `${publicUrl}/revoke`,
      introspection_endpoint: `${publicUrl}/introspect`,
      openapi_uri: `${publicUrl}/openapi.json`,
      mandate_signing_alg_values_supported: ['EdDSA'],
      verdict_signing_alg_values_supported: ['ES256', 'ES384', 'EdDSA'],
      request_signing_alg_values_supported: ['ES256', 'ES384', 'EdDSA'],
      token_endpoint: `${publicUrl}/token`,
      dpop_signing_alg_values_supported: ['ES256', 'ES384', 'EdDSA'],
      tls_client_certificate_bound_access_tokens: true,
    },
    '/openapi.json': openApiDocument(publicUrl),
  };
  for (const [path, document] of Object.entries(documents)) server.get(path, () => Promise.resolve(document));
}
