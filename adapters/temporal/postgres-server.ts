import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { Connection, isGrpcServiceError } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time';
import { temporal } from '@temporalio/proto';

import { type EmbeddedPostgres, startEmbeddedPostgres } from '../postgres/embedded';
import { type ExecutableName, obtainExecutable, type Progress } from '../process/executable';
import { startServerProcess } from '../process/server-process';
import { DYNAMIC_CONFIG, NAMESPACE, SEARCH_ATTRIBUTES } from './server-settings';

const run = promisify(execFile);

export interface PostgresTemporalOptions {
  /** Holds the database, the server's configuration and the logs; made when missing. */
  readonly stateDirectory: string;
  readonly onProgress?: Progress;
}

export interface PostgresTemporal {
  readonly address: string;
  readonly namespace: string;
  /** Stops the Temporal server, then its database. */
  stop(): Promise<void>;
}

/** gRPC's status code ALREADY_EXISTS. */
const ALREADY_EXISTS = 6;

/** Can never be changed once there is data. */
const HISTORY_SHARDS = 64;

const DATABASES = { temporal: 'postgresql/v12/temporal', temporal_visibility: 'postgresql/v12/visibility' };

const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;

/**
 * A Temporal server as in production, on a PostgreSQL of its own and on loopback: what the benchmark measures beside
 * the dev server. All ports are free ones.
 */
export async function startPostgresTemporal(options: PostgresTemporalOptions): Promise<PostgresTemporal> {
  const folder = join(options.stateDirectory, 'temporal-server');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const obtain = (name: ExecutableName) =>
    obtainExecutable(name, options.onProgress === undefined ? {} : { onProgress: options.onProgress });
  const sqlTool = await obtain('temporal-sql-tool');
  const executable = await obtain('temporal-server');

  const [postgresPort = 0, ...ports] = await freePorts(1 + 2 * SERVICES.length);
  const postgres = await startEmbeddedPostgres({
    stateDirectory: options.stateDirectory,
    port: postgresPort,
    settings: { max_connections: '200' },
  });
  const address = `127.0.0.1:${ports[0] ?? 0}`;
  const connection = Connection.lazy({ address });
  try {
    for (const [database, schema] of Object.entries(DATABASES))
      await bringUp(sqlTool, postgres, database, schema);
    await writeConfiguration(folder, postgres, ports);
    const server = await startServerProcess({
      title: 'the Temporal server',
      command: executable,
      args: ['--root', folder, '--config', '.', '--env', 'atb', 'start'],
      logFile: join(folder, 'server.log'),
      stopSignal: 'SIGTERM',
      isHealthy: () => registerNamespace(connection),
      healthyWithinMs: 90_000,
    });
    return {
      address,
      namespace: NAMESPACE,
      async stop() {
        await server.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  } finally {
    await connection.close();
  }
}

/** Creates the database and its schema, or updates the schema: each step is harmless when repeated. */
async function bringUp(
  tool: string,
  postgres: EmbeddedPostgres,
  database: string,
  schema: string,
): Promise<void> {
  const sql = (...args: string[]) =>
    run(
      tool,
      [
        ...['--plugin', 'postgres12', '--endpoint', postgres.host, '--port', String(postgres.port)],
        ...['--user', postgres.user, '--database', database, ...args],
      ],
      { env: { ...process.env, SQL_PASSWORD: postgres.password } },
    );
  await sql('create-database');
  // Refused where the schema has a version already; if it failed for another reason, the update fails too.
  await sql('setup-schema', '--version', '0.0').catch(() => undefined);
  await sql('update-schema', '--schema-name', schema);
}

/** JSON is YAML. The database's password is in it: the folder is for our eyes only. */
async function writeConfiguration(
  folder: string,
  postgres: EmbeddedPostgres,
  ports: readonly number[],
): Promise<void> {
  const store = (databaseName: string) => ({
    sql: {
      pluginName: 'postgres12',
      databaseName,
      connectAddr: `${postgres.host}:${postgres.port}`,
      connectProtocol: 'tcp',
      user: postgres.user,
      password: postgres.password,
      maxConns: 20,
      maxIdleConns: 20,
      maxConnLifetime: '1h',
    },
  });
  const services = SERVICES.map((name, index) => [
    name,
    { rpc: { grpcPort: ports[2 * index], membershipPort: ports[2 * index + 1], bindOnLocalHost: true } },
  ]);
  const dynamic = Object.entries({ ...DYNAMIC_CONFIG, 'system.namespaceCacheRefreshInterval': '1s' });
  const dynamicFile = join(folder, 'dynamic-config.yaml');
  await writeFile(
    dynamicFile,
    JSON.stringify(Object.fromEntries(dynamic.map(([key, value]) => [key, [{ value }]]))),
  );
  await writeFile(
    join(folder, 'atb.yaml'),
    JSON.stringify({
      log: { stdout: true, level: 'warn' },
      persistence: {
        defaultStore: 'default',
        visibilityStore: 'visibility',
        numHistoryShards: HISTORY_SHARDS,
        datastores: { default: store('temporal'), visibility: store('temporal_visibility') },
      },
      global: { membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' } },
      services: Object.fromEntries(services) as unknown,
      clusterMetadata: {
        enableGlobalNamespace: false,
        failoverVersionIncrement: 10,
        masterClusterName: 'active',
        currentClusterName: 'active',
        clusterInformation: {
          active: {
            enabled: true,
            initialFailoverVersion: 1,
            rpcName: 'frontend',
            rpcAddress: `127.0.0.1:${ports[0] ?? 0}`,
          },
        },
      },
      dcRedirectionPolicy: { policy: 'noop' },
      dynamicConfigClient: { filepath: dynamicFile, pollInterval: '60s' },
    }),
    { mode: 0o600 },
  );
}

/** Registers the namespace and its search attributes where missing; throws while the server cannot do it yet. */
async function registerNamespace(connection: Connection): Promise<void> {
  await connection.withDeadline(Date.now() + 10_000, async () => {
    await connection.workflowService
      .registerNamespace({
        namespace: NAMESPACE,
        workflowExecutionRetentionPeriod: msToTs('7 days'),
      })
      .catch(unlessAlreadyThere);
    const types = temporal.api.enums.v1.IndexedValueType;
    const typeOf = {
      Keyword: types.INDEXED_VALUE_TYPE_KEYWORD,
      KeywordList: types.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    };
    await connection.operatorService
      .addSearchAttributes({
        namespace: NAMESPACE,
        searchAttributes: Object.fromEntries(
          Object.entries(SEARCH_ATTRIBUTES).map(([name, type]) => [name, typeOf[type]]),
        ),
      })
      .catch(unlessAlreadyThere);
    // Each service learns of a new namespace from its cache's next refresh: this query passes once it has.
    await connection.workflowService.countWorkflowExecutions({
      namespace: NAMESPACE,
      query: "AtbState = 'pending'",
    });
  });
}

function unlessAlreadyThere(error: unknown): void {
  if (!isGrpcServiceError(error) || (error.code as number) !== ALREADY_EXISTS) throw error;
}

/** Free ports below 32768: Temporal keeps membership ports in a `smallint` column. */
async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(20_000, 32_768);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => {
        resolve(false);
      })
      .listen(port, '127.0.0.1', () => {
        server.close(() => {
          resolve(true);
        });
      });
  });
}
