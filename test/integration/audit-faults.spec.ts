import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import type { AuditEvent } from '../../domain/audit-event';
import type { MandateClaims } from '../../domain/mandate';
import { TestDatabase } from '../support/database';
import { anEvent, aRequest, NOON } from '../support/ledger-contract';

const PRLIMIT = '/usr/bin/prlimit';
const MEGABYTE = 1_048_576;
const ROOM = { perAgent: 1_000, total: 10_000 };

describe('the audit log in trouble', () => {
  let database: TestDatabase;
  let leaves: PostgresAuditLeaves;

  beforeAll(async () => {
    database = await TestDatabase.start({ fsync: 'off' });
    await migrate(database.url);
    leaves = new PostgresAuditLeaves(database.serviceUrl);
  });
  afterAll(async () => {
    await leaves.end();
    await database.stop();
  });

  const idsFrom = async (from: number): Promise<string[]> => {
    const ids = [];
    for await (const { leaf } of leaves.read(from, await leaves.size())) {
      ids.push((JSON.parse(Buffer.from(leaf).toString()) as { id: string }).id);
    }
    return ids;
  };

  it('takes what comes with a clock that was moved back an hour, after what was there', async () => {
    const ledger = new PostgresLedger(database.serviceUrl);
    const from = await leaves.size();
    const hourEarlier = new Date(NOON.getTime() - 3_600_000);
    const events = [NOON, hourEarlier, NOON].map((time) => anEvent('poa_denied', randomUUID(), { time }));
    for (const event of events) {
      await ledger.append(event);
      await leaves.size();
    }
    expect(await idsFrom(from)).toEqual(events.map(({ id }) => id));
    await ledger.end();
  });

  (existsSync(PRLIMIT) ? it : it.skip)(
    'records nothing by half when there is no room on the disk, issues nothing, and goes on when there is',
    async () => {
      const from = await leaves.size();
      // Files that may grow no further are to PostgreSQL what a full disk is: it cannot extend them.
      const { uid, gid } = statSync(`/proc/${database.pid}`);
      const room = (bytes: number | 'unlimited') =>
        execFileSync(PRLIMIT, ['--pid', String(database.pid), `--fsize=${bytes}:`], { uid, gid, cwd: '/' });
      room(24 * MEGABYTE);
      // New sessions: each inherits what its server may.
      const ledger = new PostgresLedger(database.serviceUrl);
      const answered: string[] = [];
      let refused: AuditEvent | undefined;
      for (let n = 0; n < 1_000 && !refused; n++) {
        const event = anEvent('poa_denied', randomUUID(), { reasons: incompressible() });
        await ledger.append(event).then(
          () => answered.push(event.id),
          (error: unknown) => {
            expect(error).toMatchObject({ code: 'audit_unavailable' });
            refused = event;
          },
        );
      }
      expect(refused).toBeDefined();
      expect(answered.length).toBeGreaterThan(100);
      const request = aRequest();
      const { requestId } = request;
      const requested = anEvent('poa_requested', requestId, { reasons: incompressible() });
      await expect(ledger.admit(request, requested, ROOM)).rejects.toMatchObject({
        code: 'audit_unavailable',
      });
      expect((await ledger.recordOf(requestId)).request).toBeNull();
      await ledger.end();

      room('unlimited');
      const after = new PostgresLedger(database.serviceUrl);
      expect(await after.admit(request, requested, ROOM)).toBe('admitted');
      const jti = randomUUID();
      const issued = anEvent('poa_issued', requestId, { data: { jti } });
      const claims = { jti } as MandateClaims;
      expect(await after.recordMandate({ requestId, jti, claims, about: [] }, issued, [])).toMatchObject({
        jti,
      });
      if (refused) await after.append(refused);
      expect((await idsFrom(from)).sort()).toEqual(
        [...answered, requested.id, issued.id, refused?.id ?? ''].sort(),
      );
      await after.end();
    },
  );
});

/** Sixty kilobytes that the database cannot make smaller. */
function incompressible(): readonly string[] {
  return Array.from({ length: 120 }, () => randomBytes(375).toString('base64url'));
}
