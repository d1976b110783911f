import { randomBytes, randomUUID } from 'node:crypto';
import { PersonalData } from '../../adapters/audit-log/personal-data';
import { PostgresAuditLeaves } from '../../adapters/postgres/audit-leaves';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { migrate } from '../../adapters/postgres/schema';
import type { CodecKeys } from '../../adapters/temporal/codec-keys';
import type { AuditEvent } from '../../domain/audit-event';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { TestDatabase } from '../support/database';
import { anEvent, aRequest, NOON } from '../support/ledger-contract';

const person = () => `spiffe://corp.example/person/${randomUUID()}`;
const DPO = 'spiffe://corp.example/person/carol';
const masterKeys = (...kids: string[]): CodecKeys => ({
  sealingKeyId: kids.at(-1) ?? '',
  keys: new Map(kids.map((kid) => [kid, Buffer.from(sha256Base64url(kid), 'base64url')])),
});

describe('what is personal in the audit log', () => {
  const keys = masterKeys('first');
  let database: TestDatabase;
  let ledger: PostgresLedger;
  let leaves: PostgresAuditLeaves;

  beforeAll(async () => {
    database = await TestDatabase.start({ fsync: 'off' });
    await migrate(database.url);
    ledger = new PostgresLedger(database.serviceUrl, keys);
    leaves = new PostgresAuditLeaves(database.serviceUrl);
  });
  afterAll(async () => {
    await ledger.end();
    await leaves.end();
    await database.stop();
  });

  const issuedBy = (...approvers: string[]): AuditEvent =>
    anEvent('poa_issued_dual_control', randomUUID(), {
      actor: null,
      personal: Object.fromEntries(approvers.map((id, index) => [`/data/approvers/${index}`, id])),
      data: { approvers },
    });
  const approversOf = async ({ requestId }: AuditEvent, by = ledger) =>
    (await by.events({ requestId: requestId ?? '', limit: 1 }))[0]?.data.approvers;
  const allLeaves = async (): Promise<string[]> => {
    const texts = [];
    for await (const { leaf } of leaves.read(0, await leaves.size()))
      texts.push(Buffer.from(leaf).toString());
    return texts;
  };
  /** Everything that the database holds, in one text. */
  const dump = () =>
    database.session(async (client) => {
      const { rows } = await client.query<{ all: string }>(
        `select (select string_agg(row_to_json(e)::text, '') from audit_event e)
           || (select string_agg(row_to_json(s)::text, '') from audit_subject s) as all`,
      );
      return rows[0]?.all ?? '';
    });

  it('comes back to who has the keys, and stands nowhere in clear', async () => {
    const [alice, bob] = [person(), person()];
    const event = issuedBy(alice, bob);
    await ledger.append(event);
    expect(await approversOf(event)).toEqual([alice, bob]);
    expect((await allLeaves()).at(-1)).toContain('"approvers":[null,null]');
    const everything = await dump();
    for (const one of [alice, bob]) expect(everything).not.toContain(one.slice(-36));
  });

  it('is committed to in the leaf: whoever is shown a value and its salt can check it', async () => {
    const [alice, bob] = [person(), person()];
    const event = issuedBy(alice, bob);
    const personal = new PersonalData({
      keyFor: () => Promise.resolve({ keyId: 'k', key: KEY }),
      keysById: () => Promise.resolve(new Map([['k', KEY]])),
    });
    const kept = await personal.kept(event);
    const { commitments } = JSON.parse(kept.leaf) as { commitments: Record<string, string> };
    const disclosures = await personal.disclosures(kept);
    expect(disclosures.map(({ name, value }) => [name, value])).toEqual([
      ['/data/approvers/0', alice],
      ['/data/approvers/1', bob],
    ]);
    for (const { salt, name, value } of disclosures) {
      expect(commitments[name]).toBe(sha256Base64url(canonicalJson([salt, name, value])));
    }
    const again = JSON.parse((await personal.kept(event)).leaf) as typeof JSON & { commitments: object };
    expect(again.commitments).not.toEqual(commitments);
  });
  const KEY = randomBytes(32);

  it('is read by nobody after the key of its person is erased, and no leaf changes (GDPR Art. 17)', async () => {
    const [alice, bob] = [person(), person()];
    const event = issuedBy(alice, bob);
    await ledger.append(event);
    const before = await allLeaves();
    const other = new PostgresLedger(database.serviceUrl, keys);
    expect(await approversOf(event, other)).toEqual([alice, bob]);
    expect(await ledger.erasePerson(alice, DPO, NOON)).toBe(true);
    expect(await approversOf(event)).toEqual([null, bob]);
    expect(await approversOf(event, other)).toEqual([null, bob]);
    await other.end();
    const after = await allLeaves();
    expect(after.slice(0, before.length)).toEqual(before);
    const [erased] = await ledger.events({ type: 'personal_data_erased', limit: 100 });
    expect(erased).toMatchObject({ actor: DPO, subject: null, reasons: ['gdpr_art_17'] });
    expect(canonicalJson(after.at(-1))).not.toContain(alice);
  });

  it('of several people goes with the first that is erased, and not before', async () => {
    const [alice, bob] = [person(), person()];
    const digest = sha256Base64url(alice);
    const event = anEvent('poa_issued', randomUUID(), {
      personal: { '/data/mandate_digest': [alice, bob] },
      data: { mandate_digest: digest },
    });
    await ledger.append(event);
    const told = async () =>
      (await ledger.events({ requestId: event.requestId!, limit: 1 }))[0]?.data.mandate_digest;
    expect(await told()).toBe(digest);
    expect((await allLeaves()).at(-1)).toContain('"mandate_digest":null');
    expect(await dump()).not.toContain(digest);
    expect(await ledger.erasePerson(bob, DPO, NOON)).toBe(true);
    expect(await told()).toBeNull();
  });

  it('is erased once, and a person who comes back begins anew', async () => {
    const alice = person();
    const first = issuedBy(alice);
    await ledger.append(first);
    expect(await ledger.erasePerson(alice, DPO, NOON)).toBe(true);
    expect(await ledger.erasePerson(alice, DPO, new Date(NOON.getTime() + 1))).toBe(false);
    const second = issuedBy(alice);
    await ledger.append(second);
    expect(await approversOf(first)).toEqual([null]);
    expect(await approversOf(second)).toEqual([alice]);
  });

  it('of somebody whom the log does not know: nothing is erased, and nothing told', async () => {
    const told = async () => (await ledger.events({ type: 'personal_data_erased', limit: 1000 })).length;
    const before = await told();
    expect(await ledger.erasePerson(person(), DPO, NOON)).toBe(false);
    expect(await told()).toBe(before);
  });

  it('takes with it what the person said on a request that still waits', async () => {
    const bob = person();
    const request = aRequest();
    const { requestId, subject, askedDigest } = request;
    await ledger.admit(
      request,
      anEvent('poa_requested', requestId, { subject, data: { asked_digest: askedDigest } }),
      { perAgent: 9, total: 99_999 },
    );
    const statementDigest = sha256Base64url('statement');
    const jti = randomUUID();
    await ledger.recordVerdict(
      { jti, requestId, statementDigest, by: bob, receivedAt: NOON },
      anEvent('poa_verdict_recorded', requestId, {
        id: `${requestId}/poa_verdict_recorded/${jti}`,
        actor: bob,
        personal: { '/actor': bob },
        data: { jti, statement_digest: statementDigest },
      }),
    );
    expect((await ledger.recordOf(requestId)).verdicts).toMatchObject([{ by: bob }]);
    await ledger.erasePerson(bob, DPO, NOON);
    expect((await ledger.recordOf(requestId)).verdicts).toEqual([]);
  });

  it('has one key for a person, however many write of them at once', async () => {
    const alice = person();
    const others = Array.from({ length: 6 }, () => new PostgresLedger(database.serviceUrl, keys));
    const events = others.map(() => issuedBy(alice));
    await Promise.all(others.map((other, index) => other.append(events[index]!)));
    await Promise.all(others.map((other) => other.end()));
    expect(await ledger.erasePerson(alice, DPO, NOON)).toBe(true);
    for (const event of events) expect(await approversOf(event)).toEqual([null]);
  });

  it('is not read without the keys, with others, or moved to another event', async () => {
    const alice = person();
    const [event, other] = [issuedBy(alice), issuedBy(person())];
    await ledger.append(event);
    await ledger.append(other);
    const keyless = new PostgresLedger(database.serviceUrl);
    expect(await approversOf(event, keyless)).toEqual([null]);
    await keyless.end();
    const stranger = new PostgresLedger(database.serviceUrl, masterKeys('stranger'));
    await expect(approversOf(event, stranger)).rejects.toMatchObject({ code: 'configuration_invalid' });
    await stranger.end();
    await database.session(async (client) => {
      await client.query('alter table audit_event disable trigger user');
      await client.query(
        'update audit_event set personal = (select personal from audit_event where id = $1) where id = $2',
        [event.id, other.id],
      );
      await client.query('alter table audit_event enable trigger user');
    });
    await expect(approversOf(other)).rejects.toThrow();
    await expect(approversOf(event)).resolves.toEqual([alice]);
  });

  it('is read, found and erased after the master key was rotated', async () => {
    const [alice, bob] = [person(), person()];
    const [first, second] = [issuedBy(alice), issuedBy(alice, bob)];
    await ledger.append(first);
    const rotated = new PostgresLedger(database.serviceUrl, masterKeys('first', 'second'));
    await rotated.append(second);
    expect(await approversOf(first, rotated)).toEqual([alice]);
    expect(await rotated.erasePerson(alice, DPO, NOON)).toBe(true);
    expect(await approversOf(first, rotated)).toEqual([null]);
    expect(await approversOf(second, rotated)).toEqual([null, bob]);
    await rotated.end();
  });

  it('is not written without keys: nothing is recorded then', async () => {
    const keyless = new PostgresLedger(database.serviceUrl);
    const event = issuedBy(person());
    await expect(keyless.append(event)).rejects.toMatchObject({ code: 'internal' });
    expect(await keyless.events({ requestId: event.requestId!, limit: 1 })).toEqual([]);
    await keyless.end();
  });
});
