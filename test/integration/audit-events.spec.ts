import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import { createProgram, run } from '../../apps/atb/program';
import type { AuditEvent } from '../../domain/audit-event';
import type { JsonObject } from '../../domain/json';
import { TestDatabase } from '../support/database';
import { anEvent, NOON } from '../support/ledger-contract';

const AGENT = 'spiffe://corp.example/agent/finance-bot';
const at = (minutes: number) => new Date(NOON.getTime() + minutes * 60_000);

describe('the audit log, read at the command line', () => {
  let database: TestDatabase;
  let ledger: PostgresLedger;
  let directory: string;
  let interrupt: () => void = () => undefined;

  beforeAll(async () => {
    database = await TestDatabase.start({ fsync: 'off' });
    await migrate(database.url);
    ledger = new PostgresLedger(database.serviceUrl);
    directory = mkdtempSync(join(tmpdir(), 'atb-audit-'));
    writeFileSync(join(directory, 'url'), database.serviceUrl);
    const events: readonly (readonly [Parameters<typeof anEvent>[0], string, Partial<AuditEvent>])[] = [
      ['poa_requested', 'one', { time: at(0), subject: AGENT, action: 'sap.payment.execute', tier: 'high' }],
      ['poa_denied', 'one', { time: at(1), subject: AGENT, action: 'sap.payment.execute', tier: 'high' }],
      ['poa_requested', 'two', { time: at(2), subject: null, action: 'crm.contact.read', tier: 'low' }],
      ['poa_issued', 'two', { time: at(3), subject: null, action: 'crm.contact.read', tier: 'low' }],
      ['poa_expired', 'three', { time: at(4), subject: AGENT, action: 'erp.order.create', tier: 'medium' }],
    ];
    for (const [type, requestId, more] of events) await ledger.append(anEvent(type, requestId, more));
  });
  afterAll(async () => {
    await ledger.end();
    await database.stop();
    rmSync(directory, { recursive: true });
  });

  const audit = (argv: readonly string[], seen?: (out: string, err: string) => void) =>
    atb(['audit', ...argv], seen);

  /** Runs a command; `seen` is told of each piece that it writes. */
  async function atb(argv: readonly string[], seen: (out: string, err: string) => void = () => undefined) {
    let stdout = '';
    let stderr = '';
    const surroundings = {
      environment: { ATB_STATE_DIR: directory, ATB_DATABASE_URL_FILE: join(directory, 'url') },
      now: () => new Date(),
      out: (text: string) => {
        stdout += text;
        seen(stdout, stderr);
      },
      err: (text: string) => {
        stderr += text;
        seen(stdout, stderr);
      },
      input: () => Promise.resolve(''),
      ask: undefined,
      onInterrupt: (callback: () => void) => {
        interrupt = callback;
        return () => undefined;
      },
    };
    const exitCode = await run(createProgram(surroundings), argv, surroundings);
    return { exitCode, stdout, stderr };
  }

  const listed = async (...argv: string[]) => {
    const { stdout } = await audit(['ls', '--json', ...argv]);
    return (JSON.parse(stdout) as { events: { index: number }[] }).events.map(({ index }) => index);
  };

  it.each<[readonly string[], readonly number[]]>([
    [[], [0, 1, 2, 3, 4]],
    [
      ['--request', 'one'],
      [0, 1],
    ],
    [
      ['--type', 'poa_requested'],
      [0, 2],
    ],
    [
      ['--type', 'poa_issued', 'poa_expired'],
      [3, 4],
    ],
    [
      ['--agent', AGENT],
      [0, 1, 4],
    ],
    [
      ['--action', 'crm.contact.read'],
      [2, 3],
    ],
    [
      ['--tier', 'high'],
      [0, 1],
    ],
    [['--outcome', 'refused'], [1]],
    [['--outcome', 'failure'], [4]],
    [
      ['--since', at(2).toISOString()],
      [2, 3, 4],
    ],
    [
      ['--until', at(2).toISOString()],
      [0, 1],
    ],
    [
      ['--since', at(1).toISOString(), '--until', at(4).toISOString(), '--tier', 'low'],
      [2, 3],
    ],
    [
      ['--from', '3'],
      [3, 4],
    ],
    [
      ['--limit', '2'],
      [0, 1],
    ],
    [['--request', 'none'], []],
  ])('ls %j', async (argv, indices) => {
    expect(await listed(...argv)).toEqual(indices);
  });

  it('ls says how to go on', async () => {
    expect(await audit(['ls', '--limit', '2'])).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('--from 2') as string,
    });
  });

  it('show tells one, by its id or its place', async () => {
    const byPlace = await audit(['show', '1', '--json']);
    const { id } = JSON.parse(byPlace.stdout) as { id: string };
    expect(JSON.parse((await audit(['show', id, '--json'])).stdout)).toMatchObject({
      index: 1,
      type: 'poa_denied',
      outcome: 'refused',
    });
    expect((await audit(['show', id])).stdout).toContain('poa_denied');
    expect(await audit(['show', '99'])).toMatchObject({ exitCode: 1 });
    expect(await audit(['show', 'nothing'])).toMatchObject({ exitCode: 1 });
  });

  it.each([
    [['ls', '--tier', 'extreme'], 64],
    [['ls', '--since', 'yesterday'], 64],
    [['ls', '--since', '2026-02-31'], 64],
    [['ls', '--until', '2026-11-01T12:00'], 64],
    [['ls', '--agent', 'spiffe://UPPER/agent'], 64],
    [['ls', '--type', 'poa_invented'], 64],
    [['export', '--format', 'xml'], 64],
  ])('refuses %j', async (argv, exitCode) => {
    expect((await audit(argv)).exitCode).toBe(exitCode);
  });

  it('export writes each event once, in every form, and says where to go on', async () => {
    const file = join(directory, 'events.ndjson');
    const written = await audit(['export', '--out', file, '--request', 'two']);
    expect(written).toMatchObject({ exitCode: 0, stdout: '' });
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as JsonObject).index)).toEqual([2, 3]);
    expect((await audit(['export', '--out', file])).exitCode).toBe(64);
    for (const [format, member] of [
      ['cloudevents', 'specversion'],
      ['ocsf', 'class_uid'],
    ] as const) {
      const { stdout, stderr } = await audit(['export', '--format', format, '--until', at(4).toISOString()]);
      const events = stdout.trimEnd().split('\n');
      expect(events).toHaveLength(4);
      for (const event of events) expect(JSON.parse(event)).toHaveProperty(member);
      expect(stderr).toContain('--from 5');
    }
  });

  const month = NOON.toISOString().slice(0, 7);

  it.each([
    ['md', /^# .*\n/],
    ['html', /^<!doctype html>/i],
    ['csv', /^Mandates by action,crm\.contact\.read,count,1$/m],
  ])('is reported by month as %s, to stdout and into a file', async (format, form) => {
    const asked = ['report', 'monthly', '--month', month, '--format', format];
    const shown = await atb(asked);
    expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(form) as string });
    expect(shown.stdout).toContain('crm.contact.read');
    const file = join(directory, `report.${format}`);
    for (const time of ['first', 'again'])
      expect([time, await atb([...asked, '--out', file])]).toMatchObject([time, { exitCode: 0, stdout: '' }]);
    expect(readFileSync(file, 'utf8')).toMatch(form);
    // Of the month that is over, unless told.
    expect((await atb(['report', 'monthly', '--format', format])).stdout).not.toContain('crm.contact.read');
    expect(await atb(['report', 'monthly', '--month', '2026-13'])).toMatchObject({ exitCode: 64 });
  });

  it.each(['ls', 'export', 'tail'])(
    '%s goes on from no place that the log does not reach: it was restored from an older copy, or is mistyped',
    async (command) => {
      expect(await audit([command, '--from', '99'])).toMatchObject({
        ...{ exitCode: 69, stdout: '' },
        stderr: expect.stringContaining('does not reach the place 99') as string,
      });
      expect(await audit([command, '--from', '5'])).toMatchObject({ exitCode: 0 });
    },
  );

  it('tail shows the last ones that are asked for', async () => {
    const { stdout } = await audit(['tail', '-n', '2', '--agent', AGENT, '--json']);
    const types = stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as JsonObject).type);
    expect(types).toEqual(['poa_denied', 'poa_expired']);
  });

  it('tail -f follows, waits for a database that is away, ends at Ctrl-C, and is resumed without a gap', async () => {
    let told: () => void = () => undefined;
    let stdout = '';
    let stderr = '';
    const until = async (holds: () => boolean) => {
      while (!holds()) await new Promise<void>((resolve) => (told = resolve));
    };
    const following = audit(['tail', '-f', '-n', '1', '--json'], (out, err) => {
      [stdout, stderr] = [out, err];
      told();
    });
    await until(() => stdout.includes('poa_expired'));
    await ledger.append(anEvent('poa_denied', 'four', { time: at(5) }));
    await until(() => stdout.includes('"four"'));
    // In this order: nobody comes in again between the two.
    await database.session((client) => client.query('alter role atb_service connection limit 0'));
    await database.session((client) =>
      client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'atb_service' and pid <> pg_backend_pid()",
      ),
    );
    await until(() => stderr.includes('does not answer'));
    await database.session((client) => client.query('alter role atb_service connection limit -1'));
    await ledger.append(anEvent('poa_denied', 'five', { time: at(6) })).catch(() => undefined);
    await ledger.append(anEvent('poa_denied', 'five', { time: at(6) }));
    await until(() => stdout.includes('"five"'));
    interrupt();
    expect(await following).toMatchObject({ exitCode: 0 });
    const [, next] = /go on with --from (\d+)/.exec(stderr) ?? [];
    expect(stdout.trimEnd().split('\n')).toHaveLength(3);

    await ledger.append(anEvent('poa_denied', 'six', { time: at(7) }));
    const resumed = await audit(['tail', '--from', next ?? '', '--json']);
    const requests = resumed.stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as JsonObject).request_id);
    expect(requests).toEqual(['six']);
  });
});
