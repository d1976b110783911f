import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { obtainExecutable } from '../../adapters/process/executable';
import { startServerProcess } from '../../adapters/process/server-process';
import type { ServerProcess } from '../../adapters/process/server-process';
import { FINANCE_BOT, TestBroker } from '../support/broker';
import { freePort } from '../support/database';
import type { HttpCaller } from '../support/http';
import { OtlpReceiver } from '../support/otlp-receiver';

jest.setTimeout(240_000);

// Enough that all of them being among the tenth that is kept is out of the question.
const GOOD_CALLS = 40;

let store: OtlpReceiver;
let collector: ServerProcess;
let test: TestBroker;
let directory: string;
let bot: HttpCaller;
let isGood = true;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atb-collector-'));
  store = await OtlpReceiver.start();
  const port = await freePort();
  collector = await startServerProcess({
    title: 'the OpenTelemetry Collector',
    command: await obtainExecutable('otelcol'),
    args: [
      '--config=deploy/otel/collector.yml',
      // Where a test has it otherwise: on loopback, and in a form that our receiver reads.
      `--config=yaml:receivers::otlp::protocols::http::endpoint: 127.0.0.1:${port}`,
      '--config=yaml:exporters::otlphttp::encoding: json',
      '--config=yaml:exporters::otlphttp::compression: none',
    ],
    env: { ...process.env, ATB_TRACES_STORE: store.url },
    logFile: join(directory, 'collector.log'),
    stopSignal: 'SIGTERM',
    isHealthy: () =>
      new Promise((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve();
        });
        socket.on('error', reject);
      }),
    healthyWithinMs: 60_000,
  });
  test = await TestBroker.start();
  test.answer = (_, __, response) => {
    response.writeHead(isGood ? 200 : 503).end();
  };
  const url = await test.brokerProcess({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
  bot = await test.caller(FINANCE_BOT, url);
});

afterAll(async () => {
  await test.stop();
  await collector.stop();
  await store.stop();
  await rm(directory, { recursive: true });
});

async function pay(traceId: string): Promise<number> {
  const answer = await bot.post(
    '/c/erp/payments',
    { amount: 100 },
    {
      authorization: `PoA ${await test.mint()}`,
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
    },
  );
  return answer.status;
}

it('deploy/otel works in a real collector: what failed comes through, and of the rest a part (issue 9)', async () => {
  const good = Array.from({ length: GOOD_CALLS }, (_, n) => `${n}`.padStart(4, '0').padEnd(32, 'c1d5'));
  for (const traceId of good) expect(await pay(traceId)).toBe(200);
  isGood = false;
  const failed = `${'f'.repeat(31)}1`;
  expect(await pay(failed)).toBe(503);
  // It decides on a trace ten seconds after its first span.
  const spans = await store.trace(failed, 'POST /c/erp/payments', 'claim', 'POST /payments');
  expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(['broker']));
  const kept = new Set(store.spans.map(({ traceId }) => traceId));
  expect(good.filter((traceId) => kept.has(traceId)).length).toBeLessThan(GOOD_CALLS);
  expect(await readFile(join(directory, 'collector.log'), 'utf8')).not.toMatch(/"level":"error"/);
});
