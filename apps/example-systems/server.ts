import { timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import fastify from 'fastify';
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import {
  isSpiffeError,
  PeerVerifier,
  rotateServerCertificate,
  serverTlsOptions,
} from '../../adapters/spiffe';
import { isJsonObject } from '../../domain/json';
import type { JsonObject } from '../../domain/json';
import { openIdentity } from '../identity';
import type { ExampleSystemConfiguration, SystemName } from './configuration';
import { crm } from './crm';
import crmDocument from './crm.openapi.json';
import { erp } from './erp';
import erpDocument from './erp.openapi.json';
import { Declined, text } from './operation';
import type { System, SystemAnswer, SystemCall } from './operation';
import { StateFile } from './state-file';

export interface ExampleSystem {
  readonly url: string;
  close(): Promise<void>;
}

/** Does an operation of a system; a read changes nothing. */
type Perform = (operationId: string, call: SystemCall, isRead: boolean) => Promise<SystemAnswer>;

const SYSTEMS: Readonly<
  Record<SystemName, { readonly document: JsonObject; readonly open: (file: string) => Promise<Perform> }>
> = {
  erp: { document: erpDocument, open: (file) => openSystem(erp, file) },
  crm: { document: crmDocument, open: (file) => openSystem(crm, file) },
};

/** Starts one of the two systems that stand behind the broker of the example company. Nobody but its callers gets in. */
export async function startExampleSystem(configuration: ExampleSystemConfiguration): Promise<ExampleSystem> {
  const { document, open } = SYSTEMS[configuration.system];
  const perform = await open(configuration.stateFile);
  const credential = Buffer.from(`Bearer ${(await readFile(configuration.credentialFile, 'utf8')).trim()}`);
  const identity = await openIdentity(configuration.identity);
  const peers = new PeerVerifier(identity, 'clientAuth', ({ spiffeId }) =>
    configuration.callers.includes(spiffeId),
  );
  const server = fastify({
    https: serverTlsOptions(identity),
    bodyLimit: 64 * 1024,
    requestTimeout: 15_000,
    keepAliveTimeout: 72_000,
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, strict: false } },
  });
  rotateServerCertificate(server.server, identity);
  server.addHook('onRequest', async (request, reply) => {
    try {
      peers.verify(request.raw.socket as TLSSocket, new Date());
    } catch (error) {
      if (!isSpiffeError(error)) throw error;
      return reply.code(403).send(problem(403, 'only the broker may call'));
    }
    const shown = Buffer.from(request.headers.authorization ?? '');
    if (shown.length !== credential.length || !timingSafeEqual(shown, credential)) {
      return reply.code(401).send(problem(401, 'the credential is not the one of this system'));
    }
    return undefined;
  });
  server.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => {
    const status = error instanceof Declined ? error.status : (error.statusCode ?? 500);
    if (status >= 500) process.stderr.write(`${configuration.system}: ${String(error.stack)}\n`);
    return reply.code(status).send(problem(status, status >= 500 ? 'it went wrong here' : error.message));
  });
  server.setNotFoundHandler((_, reply) => reply.code(404).send(problem(404, 'there is no such call')));
  server.get('/openapi.json', () => document);
  for (const route of routesOf(document, perform)) server.route(route);
  await server.listen({ port: configuration.port, host: configuration.host });
  return {
    url: `https://localhost:${(server.server.address() as AddressInfo).port}`,
    async close() {
      await server.close();
      identity.close();
    },
  };
}

/** The document says what there is to call and what a body looks like; the system says what it does. */
function routesOf(document: JsonObject, perform: Perform): readonly RouteOptions[] {
  return Object.entries(object(document.paths)).flatMap(([path, item]) =>
    Object.entries(object(item)).map(([method, described]) => {
      const { operationId, requestBody } = object(described);
      const schema = object(object(object(object(requestBody).content)['application/json']).schema);
      return {
        method: method.toUpperCase(),
        url: path.replaceAll(/\{(\w+)\}/g, ':$1'),
        ...(requestBody !== undefined && { schema: { body: schema } }),
        handler: async (request: FastifyRequest, reply: FastifyReply) => {
          const call = callOf(request);
          const { status, body, headers } = await perform(text(operationId), call, request.method === 'GET');
          return reply
            .code(status)
            .headers({ ...headers, 'content-type': 'application/json' })
            .send(JSON.stringify(body));
        },
      };
    }),
  );
}

async function openSystem<State>({ first, operations }: System<State>, file: string): Promise<Perform> {
  const state = await StateFile.open(file, first);
  return async (operationId, call, isRead) => {
    const operation = operations[operationId];
    if (!operation) throw new Error(`nobody does ${operationId}`);
    const work = (current: State) => operation(current, call);
    return isRead ? state.read(work) : state.change(work);
  };
}

function callOf(request: FastifyRequest): SystemCall {
  const key = request.headers['idempotency-key'];
  return {
    path: request.params as Readonly<Record<string, string>>,
    body: object(request.body),
    idempotencyKey: typeof key === 'string' ? key : undefined,
    now: new Date(),
  };
}

function problem(status: number, title: string): JsonObject {
  return { type: 'about:blank', title, status };
}

function object(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
