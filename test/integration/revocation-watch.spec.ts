import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { migrate } from '../../adapters/postgres/schema';
import { RevocationWatch } from '../../adapters/postgres/revocation-watch';
import { TestDatabase } from '../support/database';
import { eventually } from '../support/eventually';

const AGENT = 'spiffe://corp.example/agent/finance-bot';
const USE = { jti: 'jti', requestId: 'request', agent: AGENT, connector: 'erp', tier: 'high' } as const;
const MAX_AGE_MS = 1_000;

/** Stands between the watch and its database, and does to what passes what networks and standbys do. */
class Gate {
  /** Nothing passes, and nobody is told. */
  isSilent = false;
  /** The database refuses to LISTEN, as one in recovery does. */
  refusesListen = false;
  readonly open = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async to(port: number): Promise<Gate> {
    const server = createServer();
    const gate = new Gate(server);
    server.on('connection', (near: Socket) => {
      const far = connect(port, '127.0.0.1');
      gate.open.add(near);
      near.once('close', () => {
        gate.open.delete(near);
        far.destroy();
      });
      far.once('close', () => near.destroy());
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('error', () => undefined);
        from.on('data', (chunk: Buffer) => {
          if (gate.isSilent) return;
          const text = chunk.toString('latin1');
          to.write(gate.refusesListen ? Buffer.from(text.replace('listen ', 'refuse '), 'latin1') : chunk);
        });
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return gate;
  }

  breakAll(): void {
    for (const socket of this.open) socket.destroy();
  }

  url(of: string): string {
    const url = new URL(of);
    url.port = String((this.server.address() as AddressInfo).port);
    return url.href;
  }

  async stop(): Promise<void> {
    this.breakAll();
    this.server.close();
    await once(this.server, 'close');
  }
}

let database: TestDatabase;
let gate: Gate;
let watch: RevocationWatch;

beforeAll(async () => {
  database = await TestDatabase.start({ fsync: 'off' });
  await migrate(database.url);
});
afterAll(() => database.stop());

beforeEach(async () => {
  gate = await Gate.to(Number(new URL(database.serviceUrl).port));
  watch = await RevocationWatch.start(gate.url(database.serviceUrl), { pollMs: 100, maxAgeMs: MAX_AGE_MS });
});
afterEach(async () => {
  await watch.end();
  await gate.stop();
  await database.session((client) => client.query('delete from stop'));
});

const stop = () =>
  database.session((client) =>
    client.query('insert into stop (scope, value, stopped_at) values ($1, $2, now())', ['agent', AGENT]),
  );

/** What stands against a use, or why that cannot be known. */
function against(): unknown {
  try {
    return watch.against(USE)?.what ?? null;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('what is stopped, as a broker knows it', () => {
  it('is known again after the connection that listens broke; until then nobody goes by what is too old', async () => {
    gate.breakAll();
    await stop();
    const stoppedAt = performance.now();
    const late: unknown[] = [];
    await eventually(
      () => {
        const askedAt = performance.now();
        const found = against();
        // Half a second for what was asked just before.
        if (askedAt - stoppedAt > MAX_AGE_MS + 500) late.push(found);
        return found;
      },
      (found) => found === 'agent',
    );
    expect(late).not.toContain(null);
  });

  it('counts for nothing where nothing is heard any more, and counts again when it is', async () => {
    await stop();
    await eventually(against, (found) => found === 'agent');
    gate.isSilent = true;
    await sleep(MAX_AGE_MS + 200);
    expect(against()).toBe('revocation_unavailable');
    gate.isSilent = false;
    await eventually(against, (found) => found === 'agent');
  });

  it('takes no more connections where the database lets nobody listen', async () => {
    gate.refusesListen = true;
    gate.breakAll();
    await sleep(MAX_AGE_MS + 1_000);
    expect(against()).toBe('revocation_unavailable');
    await eventually(
      () => gate.open.size,
      (open) => open <= 1,
      10,
    );
    gate.refusesListen = false;
    await eventually(against, (found) => found === null);
  });
});
