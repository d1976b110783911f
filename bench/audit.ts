import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordedLeaf } from '../adapters/audit-log/leaf';
import { startEmbeddedPostgres } from '../adapters/postgres/embedded';
import { PostgresLedger } from '../adapters/postgres/ledger';
import { openPool } from '../adapters/postgres/pool';
import { migrate } from '../adapters/postgres/schema';
import type { AuditEvent } from '../domain/audit-event';
import { freePort } from './free-port';
import { joined, measure, percentile, perSecond } from './measure';
import type { Series } from './measure';
import { round2 } from './report';
import type { Row } from './report';

/** Events, durably: against single rows in a bare table of the same PostgreSQL, which holds the same bytes. */
export const AUDIT = ['audit-append'] as const;

const WRITERS = 16;
// In turn, so that what else the machine does falls on both alike.
const ROUNDS = 4;
const SECONDS_A_ROUND = 2;
const POOL = { size: WRITERS, connectTimeoutMs: 2_000, statementTimeoutMs: 3_000 } as const;
const BARE = 'insert into bare (leaf) values ($1)';

export async function benchAudit(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atb-bench-audit-'));
  // With the settings that it comes with: every commit is flushed to disk.
  const server = await startEmbeddedPostgres({ stateDirectory: folder, port: await freePort() });
  try {
    await migrate(server.url);
    const owner = openPool(server.url, POOL);
    await owner.query(
      'create table bare (seq bigint primary key generated always as identity, leaf text not null)',
    );
    const ledger = new PostgresLedger(server.serviceUrl);
    const append = () => ledger.append(anEvent());
    const insert = async () => {
      await owner.query({ name: 'bare', text: BARE, values: [recordedLeaf(anEvent())] });
    };
    for (const call of [append, insert]) await measure(WRITERS, 1, call);
    const rounds: Record<'bare' | 'events' | 'oneBare' | 'oneEvent', Series[]> = {
      ...{ bare: [], events: [], oneBare: [], oneEvent: [] },
    };
    for (let round = 0; round < ROUNDS; round++) {
      rounds.bare.push(await measure(WRITERS, SECONDS_A_ROUND, insert));
      rounds.events.push(await measure(WRITERS, SECONDS_A_ROUND, append));
      rounds.oneBare.push(await measure(1, SECONDS_A_ROUND, insert));
      rounds.oneEvent.push(await measure(1, SECONDS_A_ROUND, append));
    }
    await ledger.end();
    await owner.end();
    const [bare, events, oneBare, oneEvent] = [
      rounds.bare,
      rounds.events,
      rounds.oneBare,
      rounds.oneEvent,
    ].map(joined) as [Series, Series, Series, Series];
    return [
      figures('bare-insert', oneBare),
      figures('bare-insert', bare),
      // One event by itself must not wait for company.
      compared(oneEvent, oneBare),
      // Many share a flush: against who inserts row by row, and against as many as insert row by row at once.
      compared(events, oneBare),
      compared(events, bare),
    ];
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function compared(events: Series, bare: Series): Row {
  return {
    ...figures('audit-append', events),
    against: `bare-insert, ${bare.clients}`,
    ratio_p50: round2(percentile(events.latencies, 50) / percentile(bare.latencies, 50)),
    ratio_throughput: round2(perSecond(events) / perSecond(bare)),
  };
}

function figures(name: string, series: Series): Row {
  return {
    name,
    clients: series.clients,
    p50_ms: round2(percentile(series.latencies, 50)),
    p95_ms: round2(percentile(series.latencies, 95)),
    p99_ms: round2(percentile(series.latencies, 99)),
    per_second: round2(perSecond(series)),
    against: '',
  };
}

function anEvent(): AuditEvent {
  const requestId = randomUUID();
  return {
    id: `${requestId}/poa_redemption_outcome`,
    type: 'poa_redemption_outcome',
    time: new Date(),
    requestId,
    actor: 'spiffe://corp.example/agent/finance-bot',
    subject: 'spiffe://corp.example/agent/finance-bot',
    action: 'sap.payment.execute',
    tier: 'high',
    reasons: [],
    traceId: requestId.replaceAll('-', ''),
    data: {
      ...{ jti: requestId, outcome: 'succeeded', status: 200, code: null, duration_ms: 12 },
      ...{ response_bytes: 512, response_digest: 'A'.repeat(43) },
    },
  };
}
