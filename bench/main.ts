import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { AUDIT, benchAudit } from './audit';
import { AUDIT_VERIFY, benchAuditVerify } from './audit-verify';
import { BROKER, benchBroker } from './broker';
import { benchIssuance, ISSUANCE } from './issuance';
import { benchPending, PENDING } from './pending';
import { benchPolicy, POLICY } from './policy';
import { SERVERS } from './report';
import type { BenchOptions, Row } from './report';
import { SVID, benchSvid } from './svid';
import { benchVerdict, VERDICT } from './verdict';

interface Bench {
  readonly names: readonly string[];
  /** Measures those of its names that were chosen; starts and stops what it needs by itself. */
  readonly run: (only: readonly string[], options: BenchOptions) => Promise<readonly Row[]>;
}

const BENCHES: readonly Bench[] = [
  { names: ISSUANCE, run: benchIssuance },
  { names: VERDICT, run: benchVerdict },
  { names: PENDING, run: benchPending },
  { names: POLICY, run: benchPolicy },
  { names: AUDIT, run: benchAudit },
  { names: AUDIT_VERIFY, run: benchAuditVerify },
  { names: SVID, run: benchSvid },
  { names: BROKER, run: benchBroker },
];
const NAMES = BENCHES.flatMap(({ names }) => names);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: NAMES.join(',') },
      servers: { type: 'string', default: SERVERS.join(',') },
      json: { type: 'string' },
      seconds: { type: 'string', default: '0' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(
      `npm run bench -- [--only ${NAMES.join(',')}] [--servers ${SERVERS.join(',')}] [--json FILE] [--seconds N]`,
    );
    return;
  }
  const only = chosen(values.only, NAMES);
  const servers = chosen(values.servers, SERVERS);
  const rows: Row[] = [];
  for (const bench of BENCHES.filter(({ names }) => names.some((name) => only.includes(name)))) {
    rows.push(...(await bench.run(only, { servers, seconds: Number(values.seconds) })));
  }
  console.table(rows);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`);
}

function chosen<T extends string>(list: string, allowed: readonly T[]): readonly T[] {
  const names = list.split(',');
  const unknown = names.filter((name) => !allowed.includes(name as T));
  if (unknown.length > 0) {
    console.error(`bench: unknown ${unknown.join(', ')}; there are ${allowed.join(', ')}`);
    process.exit(64);
  }
  return allowed.filter((name) => names.includes(name));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
