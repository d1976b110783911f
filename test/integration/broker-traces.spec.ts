import { FINANCE_BOT, TestBroker } from '../support/broker';
import { lineage, OtlpReceiver } from '../support/otlp-receiver';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let receiver: OtlpReceiver;
let test: TestBroker;
let url: string;

beforeAll(async () => {
  receiver = await OtlpReceiver.start();
  test = await TestBroker.start();
  url = await test.brokerProcess({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
});
afterAll(async () => {
  await test.stop();
  await receiver.stop();
});

async function pay(mandate: string, body: unknown, headers: Record<string, string> = {}) {
  const bot = await test.caller(FINANCE_BOT, url);
  return bot.post('/c/erp/payments', body, { ...headers, authorization: `PoA ${mandate}` });
}

it('a call of the broker is one trace: to the database, and on to the system behind (issue 9)', async () => {
  const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`;
  const answer = await pay(await test.mint(), { amount: 100 }, { traceparent, tracestate: 'vendor=1' });
  expect(answer.status).toBe(200);
  const spans = await receiver.trace(TRACE, 'claim', 'POST /payments', 'POST /c/erp/payments');
  expect(lineage(spans, 'claim')).toEqual(['broker claim', 'broker POST /c/erp/payments']);
  expect(lineage(spans, 'POST /payments')).toEqual(['broker POST /payments', 'broker POST /c/erp/payments']);
  const upstream = spans.find(({ name }) => name === 'POST /payments');
  expect(upstream).toMatchObject({
    kind: 3,
    attributes: {
      'http.response.status_code': 200,
      'server.address': 'localhost',
      'url.template': '/payments',
    },
  });
  // What it sees is a part of our call, in the caller's trace.
  expect(test.seen.at(-1)?.headers).toMatchObject({
    traceparent: `00-${TRACE}-${upstream?.spanId ?? ''}-01`,
    tracestate: 'vendor=1',
  });
  expect((await test.events('poa_redeemed')).at(-1)?.traceId).toBe(TRACE);
});

it('without a trace of the caller it is one of its own: the same in the problem and in the audit event', async () => {
  const refused = await pay(await test.mint(), { amount: 101 });
  expect(refused.status).toBe(403);
  const traceId = String(refused.body.trace_id);
  const spans = await receiver.trace(traceId, 'POST /c/erp/payments', 'append');
  expect(spans.find(({ name }) => name === 'POST /c/erp/payments')?.attributes).toMatchObject({
    'http.response.status_code': 403,
    'atb.code': 'parameter_mismatch',
  });
  const events = await test.events();
  expect(events.find((event) => event.traceId === traceId)?.type).toBe('poa_redemption_refused');
});

it('calls at once share a statement, and each has it in its own trace', async () => {
  const ids = Array.from({ length: 8 }, (_, n) => `${n}`.padStart(32, 'a'));
  const mandates = await Promise.all(ids.map(() => test.mint()));
  const answers = await Promise.all(
    ids.map((id, n) => pay(mandates[n]!, { amount: 100 }, { traceparent: `00-${id}-00f067aa0ba902b7-01` })),
  );
  expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 200));
  for (const id of ids) {
    const spans = await receiver.trace(id, 'claim', 'POST /c/erp/payments');
    expect(spans.filter(({ name }) => name === 'claim')).toHaveLength(1);
  }
});

it('a call that its caller does not sample is not told, and has its trace all the same', async () => {
  const traceId = 'c'.repeat(32);
  const refused = await pay('no.mandate.really', {}, { traceparent: `00-${traceId}-00f067aa0ba902b7-00` });
  expect(refused.body.trace_id).toBe(traceId);
  // A later one comes, and the earlier did not.
  const later = await pay('no.mandate.really', {});
  await receiver.trace(String(later.body.trace_id), 'POST');
  expect(receiver.spans.filter((span) => span.traceId === traceId)).toEqual([]);
});
