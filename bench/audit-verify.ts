import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogDirectory } from '../adapters/audit-log/log-directory';
import { LogPublisher } from '../adapters/audit-log/log-publisher';
import { LogReader } from '../adapters/audit-log/log-reader';
import { verifyLog } from '../adapters/audit-log/log-verifier';
import { generateSignerKey, parseSignerKey } from '../adapters/audit-log/note-key';
import type { AuditLeaves } from '../domain/ports';
import { round2, say } from './report';
import type { Row } from './report';

export const AUDIT_VERIFY = ['audit-verify'] as const;

const EVENTS = 1_000_000;
const EVENTS_A_CHECKPOINT = 100_000;
const MEBIBYTE = 1024 * 1024;

/** An event of usual length; each is different. */
const leafOf = (index: number) =>
  Buffer.from(
    JSON.stringify({
      action: 'sap.payment.execute',
      actor: 'spiffe://corp.example/agent/finance-bot',
      commitments: { '/data/params/beneficiary': 'x'.repeat(43) },
      data: { exp: 1_790_000_000 + index, jti: `jti-${index}`, policy_revision: '0123456789abcdef' },
      id: `request-${index}/poa_issued`,
      type: 'poa_issued',
    }),
  );

const leaves: AuditLeaves = {
  size: () => Promise.resolve(EVENTS),
  async *read(from, to) {
    await Promise.resolve();
    for (let index = from; index < to; index++) yield { index, leaf: leafOf(index) };
  },
};

/** Verifies a log of a million events, against hashing as many leaves and doing nothing else. */
export async function benchAuditVerify(): Promise<readonly Row[]> {
  const directory = await mkdtemp(join(tmpdir(), 'atb-bench-log-'));
  try {
    say(`audit-verify: publishing ${EVENTS} events`);
    const signer = parseSignerKey(generateSignerKey('bench'));
    const store = new LogDirectory(directory);
    await new LogPublisher({ leaves, store, signer, checkpointEntries: EVENTS_A_CHECKPOINT }).publish();

    const bare = await seconds(() => {
      for (let index = 0; index < EVENTS; index++) createHash('sha256').update(leafOf(index)).digest();
      return Promise.resolve();
    });
    let mostBytes = 0;
    const verifying = await seconds(async () => {
      await verifyLog(new LogReader(store), {
        keys: [signer],
        onProgress: ({ size }) => {
          mostBytes = Math.max(mostBytes, process.memoryUsage().rss);
          say(`audit-verify: ${size} of ${EVENTS}`);
        },
      });
    });
    return [
      {
        name: 'audit-verify',
        per_second: Math.round(EVENTS / verifying),
        against: 'making and hashing each event once',
        ratio_throughput: round2(bare / verifying),
        note: `${round2(verifying)} s for ${EVENTS} events, ${Math.round(mostBytes / MEBIBYTE)} MiB at most`,
      },
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
