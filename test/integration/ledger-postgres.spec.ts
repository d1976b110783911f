import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { startEmbeddedPostgres } from '../../adapters/postgres/embedded';
import type { EmbeddedPostgres } from '../../adapters/postgres/embedded';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { anEvent, aRequest, itKeepsTheLedgerContract, SOON } from '../support/ledger-contract';
import { bestTime, timed } from '../support/best-time';
import { found } from '../support/eventually';
import { freePort } from '../support/database';

const AUDIT_KEYS = { sealingKeyId: 'test', keys: new Map([['test', new Uint8Array(32)]]) };
const ROOM = { perAgent: 100, total: 10_000 };

describe('the ledger in PostgreSQL', () => {
  let directory: string;
  let port: number;
  let server: EmbeddedPostgres;
  let ledger: PostgresLedger;

  const startServer = async () => {
    server = await startEmbeddedPostgres({
      stateDirectory: directory,
      port,
      // Nothing here outlives the machine.
      settings: { fsync: 'off', synchronous_commit: 'off' },
    });
  };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'atb-ledger-'));
    port = await freePort();
    await startServer();
    await migrate(server.url);
    ledger = new PostgresLedger(server.serviceUrl, AUDIT_KEYS);
  });

  afterAll(async () => {
    await ledger.end();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** A session beside the ledger's own. */
  const aside = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const client = new Client({ connectionString: server.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };

  it('forgets proofs two days after they ran out, and gives the services no other way to remove one', async () => {
    const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000);
    const [recent, old, good] = [47, 49, -1].map((hours) => ({ key: randomUUID(), expiresAt: ago(hours) }));
    const request = aRequest({ proofs: [recent, old, good].filter((proof) => proof !== undefined) });
    await ledger.admit(request, anEvent('poa_requested', request.requestId), ROOM);
    expect(await ledger.purgeProofs()).toBe(1);
    expect(await ledger.purgeProofs()).toBe(0);
    const left = await aside((client) => client.query<{ key: string }>('select key from used_proof'));
    expect(left.rows.map(({ key }) => key)).toEqual(expect.arrayContaining([recent?.key, good?.key]));
    expect(left.rows.map(({ key }) => key)).not.toContain(old?.key);

    const service = new Client({ connectionString: server.serviceUrl });
    await service.connect();
    await expect(service.query('delete from used_proof')).rejects.toThrow('permission denied');
    await expect(service.query('truncate used_proof')).rejects.toThrow('permission denied');
    await service.end();
  });

  /** The server process of the ledger's session that waits for a lock. */
  const waitingSession = (client: Client): Promise<number> =>
    found(async () => {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity where wait_event_type = 'Lock' and pid <> pg_backend_pid()`,
      );
      return rows[0]?.pid;
    });

  itKeepsTheLedgerContract(() => ({ ledger, stop: () => server.stop(), start: startServer }));

  it.each(['update audit_event set leaf = leaf', 'delete from audit_event', 'truncate audit_event cascade'])(
    'refuses to `%s`, whoever asks',
    async (statement) => {
      const requestId = aRequest().requestId;
      await ledger.append(anEvent('poa_denied', requestId));
      await expect(aside((client) => client.query(statement))).rejects.toThrow('append-only');
      expect(await ledger.events({ requestId, limit: 10 })).toHaveLength(1);
    },
  );

  it('migrates once, however many start at once, and keeps what is there', async () => {
    const requestId = aRequest().requestId;
    await ledger.append(anEvent('poa_denied', requestId));
    await aside((client) => client.query('create database fresh'));
    const fresh = server.url.replace(/\/atb$/, '/fresh');
    await Promise.all([fresh, fresh, fresh, server.url].map((url) => migrate(url)));
    expect(await ledger.events({ requestId, limit: 10 })).toHaveLength(1);
    const second = new PostgresLedger(server.serviceUrl.replace(/\/atb$/, '/fresh'));
    await second.append(anEvent('poa_denied', requestId));
    await second.end();
  });

  it('gives up on a statement that does not come to an end', async () => {
    await aside(async (client) => {
      await client.query('begin');
      await client.query('lock table audit_event in access exclusive mode');
      const time = await bestTime(5_000, () =>
        timed(() =>
          expect(ledger.append(anEvent('poa_denied', aRequest().requestId))).rejects.toMatchObject({
            code: 'audit_unavailable',
          }),
        ),
      );
      expect(time).toBeLessThan(5_000);
      await client.query('rollback');
    });
    await ledger.ping();
  });

  it('gives up on a server that accepts connections and does not answer', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const unanswered = new PostgresLedger(
      `postgresql://atb@127.0.0.1:${(silent.address() as AddressInfo).port}/atb`,
    );
    const time = await bestTime(5_000, () =>
      timed(() => expect(unanswered.ping()).rejects.toMatchObject({ code: 'audit_unavailable' })),
    );
    expect(time).toBeLessThan(5_000);
    await unanswered.end();
    silent.close();
  });

  it('answers who comes second with the verdict that was being written just then', async () => {
    const request = aRequest();
    const { requestId } = request;
    await ledger.admit(request, anEvent('poa_requested', requestId), ROOM);
    const verdict = { jti: requestId, requestId, statementDigest: 'second', by: 'bob', receivedAt: SOON };
    await aside(async (client) => {
      await client.query('begin');
      await client.query('insert into verdict values ($1, $1, $2, $3, $4)', [
        requestId,
        'first',
        'bob',
        SOON,
      ]);
      const second = ledger.recordVerdict(verdict, anEvent('poa_verdict_recorded', requestId));
      const answer = expect(second).resolves.toEqual({ ...verdict, statementDigest: 'first' });
      await waitingSession(client);
      await client.query('commit');
      await answer;
    });
  });

  it.each([
    ['a request is counted', SOON],
    ['a request is admitted', null],
  ])('survives that its connection breaks while %s', async (_, pendingUntil) => {
    const request = aRequest({ pendingUntil });
    const event = anEvent('poa_requested', request.requestId);
    await aside(async (client) => {
      await client.query('begin');
      await client.query('lock table poa_request in access exclusive mode');
      const admission = expect(ledger.admit(request, event, ROOM)).rejects.toMatchObject({
        code: 'audit_unavailable',
      });
      // Without a word of goodbye, as when a machine is lost: the server restarts all its sessions.
      process.kill(await waitingSession(client), 'SIGKILL');
      await admission;
    }).catch(onlyBrokenConnections);
    // The step that failed is tried again, and again, until the server has come back.
    const answer = await found(() => ledger.admit(request, event, ROOM).catch(() => undefined));
    expect(answer).toBe('admitted');
    expect(await ledger.events({ requestId: request.requestId, limit: 10 })).toHaveLength(1);
  });
});

function onlyBrokenConnections(error: unknown): void {
  if (!/terminat|ECONNRESET|EPIPE|not queryable/i.test(String(error))) throw error;
}
