import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { AccessLog } from '../../adapters/access-log/access-log';
import { AccessLogArchive } from '../../adapters/access-log/access-log-archive';
import { readDestinations } from '../../adapters/access-log/destinations';
import { Exporter } from '../../adapters/access-log/exporter';
import { segmentsOf } from '../../adapters/access-log/segments';
import { anAccess } from '../support/access';
import { answerJson, HttpsServer } from '../support/https-server';
import type { Received } from '../support/https-server';
import { eventually } from '../support/eventually';

/** A Splunk HTTP Event Collector, as far as its answers go. */
class Collector {
  /** Ids of events that it indexed, each time that it did. */
  readonly indexed: string[] = [];
  /** What it answers instead of taking events, one a request. */
  readonly answers: { readonly status: number; readonly body: object; readonly headers?: object }[] = [];

  constructor(readonly server: HttpsServer) {
    server.handler = (received, response) => {
      const fault = this.answers.shift();
      if (fault) {
        response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers });
        response.end(JSON.stringify(fault.body));
      } else if (received.headers.authorization !== 'Splunk hec-secret') {
        answerJson(response, { text: 'Invalid token', code: 4 }, 403);
      } else {
        this.indexed.push(...eventsIn(received).map(({ event }) => event.id));
        answerJson(response, { text: 'Success', code: 0 });
      }
    };
  }
}

function eventsIn({ body }: Received) {
  return body
    .split('\n')
    .map((text) => JSON.parse(text) as { time: number; sourcetype: string; event: { id: string } });
}

/** Elasticsearch's bulk API with one index, where an id is created once. */
class Bulk {
  readonly documents = new Map<string, Record<string, unknown>>();
  /** What becomes of a document instead, by its id; once each. */
  readonly faults = new Map<string, number>();
  /** Documents that came again. */
  conflicts = 0;

  constructor(server: HttpsServer) {
    server.handler = (received, response) => {
      if (received.headers.authorization !== 'ApiKey elastic-secret' || received.url !== '/_bulk') {
        answerJson(response, { error: { type: 'security_exception' } }, 401);
        return;
      }
      const rows = received.body.trimEnd().split('\n');
      const items = [];
      for (let at = 0; at < rows.length; at += 2) {
        const { create } = JSON.parse(rows[at] ?? '') as { create: { _index: string; _id: string } };
        items.push({ create: { _id: create._id, ...this.create(create._id, rows[at + 1] ?? '') } });
      }
      answerJson(response, { errors: items.some(({ create }) => create.status > 299), items });
    };
  }

  private create(id: string, document: string): { status: number; error?: { type: string } } {
    const fault = this.faults.get(id);
    this.faults.delete(id);
    if (fault !== undefined) return { status: fault, error: { type: `fault_${fault}` } };
    if (this.documents.has(id)) {
      this.conflicts += 1;
      return { status: 409, error: { type: 'version_conflict_engine_exception' } };
    }
    this.documents.set(id, JSON.parse(document) as Record<string, unknown>);
    return { status: 201 };
  }
}

describe('access logs in Splunk and Elasticsearch', () => {
  let folder = '';
  let server: HttpsServer;
  const logs: AccessLog[] = [];
  let watch: ReturnType<typeof aWatch>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atb-access-'));
    server = await HttpsServer.start();
    await server.file('hec-token', 'hec-secret\n');
    await server.file('api-key', 'elastic-secret\n');
    watch = aWatch();
  });
  afterEach(async () => {
    for (const log of logs.splice(0)) await log.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('sends each line to a collector once, as an event with its own time, and to nobody without our token', async () => {
    const collector = new Collector(server);
    const log = await start('splunk');
    for (let at = 0; at < 25; at += 1) log.write(anAccess(`line-${at}`));
    await until(() => collector.indexed.length >= 25);
    expect(collector.indexed).toEqual(Array.from({ length: 25 }, (_, at) => `line-${at}`));
    const [first] = server.received.flatMap(eventsIn);
    expect(first).toMatchObject({
      time: Date.parse('2026-11-26T10:00:00Z') / 1000,
      sourcetype: 'atb:access',
      source: 'atb:agentauth',
      index: 'atb_access',
      event: { ...anAccessRecord, id: 'line-0' },
    });
    await until(() => watch.counts.exported >= 25);
    expect(watch.counts).toEqual({ exported: 25, refused: 0, dropped: 0 });
  });

  it('waits where the collector answers 503 and 429, as long as Retry-After says, and loses nothing', async () => {
    const collector = new Collector(server);
    const busy = { text: 'Server is busy', code: 9 };
    collector.answers.push(
      { status: 503, body: busy },
      { status: 429, body: busy, headers: { 'retry-after': '1' } },
    );
    const log = await start('splunk');
    const startedAt = Date.now();
    for (let at = 0; at < 5; at += 1) log.write(anAccess(`line-${at}`));
    await until(() => collector.indexed.length >= 5);
    expect(Date.now() - startedAt).toBeGreaterThan(1_000);
    expect(collector.indexed.sort()).toEqual(['line-0', 'line-1', 'line-2', 'line-3', 'line-4']);
    expect(watch.troubles.join()).toContain('503');
  });

  it('leaves out the one event that a collector finds malformed, counts it, and sends the others', async () => {
    const collector = new Collector(server);
    await startAfter(['good-1', 'bad', 'good-2'], 'splunk', () => {
      collector.answers.push({
        status: 400,
        body: { text: 'Invalid data format', code: 6, 'invalid-event-number': 1 },
      });
    });
    await until(() => collector.indexed.length >= 2);
    expect(collector.indexed).toEqual(['good-1', 'good-2']);
    await until(() => watch.counts.exported >= 2);
    expect(watch.counts).toEqual({ exported: 2, refused: 1, dropped: 0 });
  });

  it('sends halves where a batch is too large', async () => {
    const collector = new Collector(server);
    await startAfter(['line-1', 'line-2', 'line-3', 'line-4'], 'splunk', () => {
      collector.answers.push({ status: 413, body: {} });
    });
    await until(() => collector.indexed.length >= 4);
    expect(server.received.map((received) => eventsIn(received).length)).toEqual([4, 2, 2]);
    expect(collector.indexed).toEqual(['line-1', 'line-2', 'line-3', 'line-4']);
  });

  it('sends those lines of a bulk again that were refused with 429, and leaves out what a mapping refuses', async () => {
    const bulk = new Bulk(server);
    bulk.faults.set('line-1', 429).set('line-2', 400).set('line-3', 503);
    await startAfter(['line-0', 'line-1', 'line-2', 'line-3', 'line-4'], 'elastic');
    await until(() => bulk.documents.size >= 4);
    expect([...bulk.documents.keys()].sort()).toEqual(['line-0', 'line-1', 'line-3', 'line-4']);
    expect(bulk.documents.get('line-1')).toEqual({
      '@timestamp': '2026-11-26T10:00:00.000Z',
      ...anAccessRecord,
      time: undefined,
      id: 'line-1',
    });
    expect(bulk.conflicts).toBe(0);
    await until(() => watch.counts.refused === 1);
    expect(watch.troubles.join()).toContain('fault_400');
  });

  it('goes on after a restart where it was: nothing is lost, and at most the batch in hand comes twice', async () => {
    const bulk = new Bulk(server);
    const all: string[] = [];
    for (let run = 0; run < 4; run += 1) {
      const log = await start('elastic', { batchLines: 10 });
      for (let at = 0; at < 50; at += 1) {
        all.push(`line-${run}-${at}`);
        log.write(anAccess(`line-${run}-${at}`));
      }
      await until(() => bulk.documents.size > run * 50);
      await log.close();
      // As after a crash between the answer and the note of it.
      if (run === 1) await rewind(10);
    }
    await start('elastic');
    await until(() => bulk.documents.size === all.length);
    expect([...bulk.documents.keys()].sort()).toEqual([...all].sort());
    expect(bulk.conflicts).toBeGreaterThan(0);
    expect(bulk.conflicts).toBeLessThanOrEqual(10);
  });

  it('drops the oldest where a destination is away for too long, and counts exactly what it never got', async () => {
    const collector = new Collector(server);
    const away = server.handler;
    server.handler = (_, response) => response.destroy();
    const log = await start('splunk', {}, { segmentBytes: 2_000, mostBytes: 10_000 });
    const startedAt = Date.now();
    for (let at = 0; at < 400; at += 1) {
      log.write(anAccess(`line-${at}`));
      if (at % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // Far from the time that so many attempts take: nobody waited for them.
    expect(Date.now() - startedAt).toBeLessThan(30_000);
    await log.close();
    const kept = (await segmentsOf(folder)).reduce((sum, { bytes }) => sum + bytes, 0);
    expect(kept).toBeLessThanOrEqual(12_000);
    const counted = watch.counts.dropped;
    expect(counted).toBeGreaterThan(300);
    server.handler = away;
    await start('splunk');
    await until(() => collector.indexed.length >= 400 - counted);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(collector.indexed).toEqual(
      Array.from({ length: 400 - counted }, (_, at) => `line-${counted + at}`),
    );
  });

  it('says what it never sent where retention removed it first, once, and goes on with what is there', async () => {
    const collector = new Collector(server);
    const line = (id: string) => `${JSON.stringify({ ...anAccessRecord, id })}\n`;
    const [first, second] = ['access-20261125T090000000Z.ndjson', 'access-20261125T100000000Z.ndjson'];
    await writeFile(join(folder, first), line('line-1'));
    const before = await start('splunk');
    await until(() => collector.indexed.length === 1);
    await before.close();
    expect(watch.troubles).toEqual([]);
    await appendFile(join(folder, first), line('line-2'));
    await writeFile(join(folder, second), line('line-3'));
    await new AccessLogArchive(dirname(folder), 90).remove(
      [first, second].map((n) => `${basename(folder)}/${n}`),
    );
    const log = await start('splunk');
    log.write(anAccess('line-4'));
    await until(() => collector.indexed.length === 2);
    log.write(anAccess('line-5'));
    await until(() => collector.indexed.length === 3);
    expect(collector.indexed).toEqual(['line-1', 'line-4', 'line-5']);
    expect(watch.troubles).toEqual([
      expect.stringMatching(
        `^splunk: ${first} was removed; what it had after byte ${line('line-1').length}, .*, were not sent$`,
      ),
    ]);
  });

  it('leaves out a line that a crash cut off, and what a disk has damaged', async () => {
    const collector = new Collector(server);
    const whole = (id: string) => JSON.stringify({ ...anAccessRecord, id });
    await writeFile(
      join(folder, 'access-20261126T090000000Z.ndjson'),
      `${whole('line-1')}\n\0\0\0\0\n${whole('line-2')}\n${whole('line-3').slice(0, 40)}`,
    );
    const log = await start('splunk');
    log.write(anAccess('line-4'));
    await until(() => collector.indexed.length >= 3);
    expect(collector.indexed).toEqual(['line-1', 'line-2', 'line-4']);
    expect(watch.counts.refused).toBe(1);
  });

  it.each([
    ['http://splunk.corp.example:8088', 'splunk_hec'],
    ['https://user:secret@splunk.corp.example', 'splunk_hec'],
    ['https://splunk.corp.example/services?x=1', 'splunk_hec'],
    ['https://splunk.corp.example', 'splunk'],
  ])('takes no destination %s of type %s', async (url, type) => {
    const file = await server.file(
      'wrong.json',
      JSON.stringify({ destinations: { a: { type, url, token_file: 't' } } }),
    );
    await expect(readDestinations(file)).rejects.toMatchObject({ code: 'configuration_invalid' });
  });

  const anAccessRecord = {
    time: '2026-11-26T10:00:00.000Z',
    process: 'agentauth',
    trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
    client: 'spiffe://corp.example/agent/finance-bot',
    method: 'POST',
    route: '/issue',
    status: 201,
    duration_ms: 12.3,
    bytes: 900,
    request_id: 'q8Jd0f3l2mPzXc9A1bTeR5sY7uW',
    code: null,
  };

  async function start(
    kind: 'splunk' | 'elastic',
    pace: { batchLines?: number } = {},
    bounds = { segmentBytes: 1_000_000, mostBytes: 10_000_000 },
  ): Promise<AccessLog> {
    const destination =
      kind === 'splunk'
        ? {
            type: 'splunk_hec',
            url: server.url,
            token_file: 'hec-token',
            ca_file: 'ca.pem',
            index: 'atb_access',
          }
        : {
            type: 'elastic',
            url: server.url,
            api_key_file: 'api-key',
            ca_file: 'ca.pem',
            index: 'atb-access',
          };
    const file = await server.file(
      'destinations.json',
      JSON.stringify({ destinations: { [kind]: destination } }),
    );
    const exporters = (await readDestinations(file)).map(
      (each) =>
        new Exporter(folder, each, watch, {
          batchLines: 500,
          batchBytes: 65_536,
          firstPauseMs: 20,
          longestPauseMs: 2_000,
          ...pace,
        }),
    );
    const log = await AccessLog.open({ stdout: false, folder, ...bounds }, watch, exporters);
    logs.push(log);
    return log;
  }

  /** Lines that are there before the exporter starts, so that they go in one batch. */
  async function startAfter(
    ids: readonly string[],
    kind: 'splunk' | 'elastic',
    prepare: () => void = () => undefined,
  ) {
    const log = await AccessLog.open({ stdout: false, folder, segmentBytes: 1e6, mostBytes: 1e7 }, watch);
    for (const id of ids) log.write(anAccess(id));
    await log.close();
    prepare();
    return start(kind);
  }

  async function rewind(lines: number): Promise<void> {
    const file = join(folder, 'elastic.cursor.json');
    const cursor = JSON.parse(await readFile(file, 'utf8')) as { segment: string; offset: number };
    const text = await readFile(join(folder, cursor.segment), 'utf8');
    const before = text.slice(0, cursor.offset).split('\n').slice(0, -1);
    const kept = before.slice(0, Math.max(0, before.length - lines));
    await writeFile(
      file,
      JSON.stringify({ ...cursor, offset: kept.join('\n').length + (kept.length > 0 ? 1 : 0) }),
    );
  }
});

function aWatch() {
  const counts = { exported: 0, refused: 0, dropped: 0 };
  const troubles: string[] = [];
  return {
    counts,
    troubles,
    written: () => undefined,
    exported: (_: string, lines: number) => void (counts.exported += lines),
    refused: (_: string, lines: number) => void (counts.refused += lines),
    dropped: (_: string, lines: number) => void (counts.dropped += lines),
    trouble: (message: string) => void troubles.push(message),
  };
}

const until = (condition: () => boolean) => eventually(condition, (holds) => holds, 10);
