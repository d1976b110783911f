import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { AtbError } from '../../domain/error';
import { seal, unseal } from '../audit-log/seal';
import type { SubjectKey, SubjectKeys } from '../audit-log/personal-data';
import type { CodecKeys } from '../temporal/codec-keys';
import { unavailable } from './unavailable';
import { statement } from '../tracing/database';

const KEY_BYTES = 32;
const KEY_ID_BYTES = 12;
// A key that was erased elsewhere is forgotten here after this time.
const REMEMBERED_MS = 60_000;
const REMEMBERED = 10_000;

/** The first key under a handle stays: two that make one at once get the same. */
const KEY_FOR = `
  with made as (
    insert into audit_subject (key_id, handle, wrapped)
    select $2, $3, $4 where not exists (select from audit_subject where handle = any($1::text[]) and erased_at is null)
    on conflict do nothing returning key_id, wrapped
  )
  select key_id, wrapped from made
  union all select key_id, wrapped from audit_subject where handle = any($1::text[]) and erased_at is null
  limit 1`;

const KEYS_BY_ID =
  'select key_id, wrapped from audit_subject where key_id = any($1::text[]) and erased_at is null';

interface Row {
  readonly key_id: string;
  readonly wrapped: string;
}

/**
 * The keys of the people in the audit log, in PostgreSQL, each wrapped with a master key that the database does not have
 * (AES-256-GCM). `master` rotates as codec keys do: one wraps, all unwrap.
 */
export class PostgresSubjectKeys implements SubjectKeys {
  private readonly remembered = new Map<string, SubjectKey & { readonly until: number }>();
  private readonly handleKeys: ReadonlyMap<string, Uint8Array>;

  constructor(
    private readonly pool: Pool,
    private readonly master: CodecKeys,
  ) {
    this.handleKeys = new Map(
      [...master.keys].map(([kid, key]) => [
        kid,
        new Uint8Array(hkdfSync('sha256', key, '', 'atb audit subject handle', KEY_BYTES)),
      ]),
    );
  }

  async keyFor(subject: string): Promise<SubjectKey> {
    const known = this.remembered.get(subject);
    if (known && known.until > performance.now()) return known;
    const keyId = randomBytes(KEY_ID_BYTES).toString('base64url');
    const wrapped = this.wrap(keyId, randomBytes(KEY_BYTES));
    const values = [this.handlesOf(subject), keyId, this.currentHandle(subject), wrapped];
    let [row] = await this.query('key-for', KEY_FOR, values);
    // None: another made it just then, and this statement could not see it yet.
    row ??= (await this.query('key-for', KEY_FOR, values))[0];
    if (!row) throw unavailable(new Error('the key of a person is neither made nor there'));
    const key = { keyId: row.key_id, key: this.unwrap(row) };
    if (this.remembered.size >= REMEMBERED) this.remembered.clear();
    this.remembered.set(subject, { ...key, until: performance.now() + REMEMBERED_MS });
    return key;
  }

  async keysById(keyIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const rows = await this.query('keys-by-id', KEYS_BY_ID, [keyIds]);
    return new Map(rows.map((row) => [row.key_id, this.unwrap(row)]));
  }

  /** What a person's keys are found by: one handle for each master key. */
  handlesOf(subject: string): readonly string[] {
    return [...this.handleKeys.keys()].map((kid) => this.handle(kid, subject));
  }

  currentHandle(subject: string): string {
    return this.handle(this.master.sealingKeyId, subject);
  }

  forget(subject: string): void {
    this.remembered.delete(subject);
  }

  private handle(kid: string, subject: string): string {
    const key = this.handleKeys.get(kid);
    if (!key) throw new AtbError('internal', 'there is no such key');
    return createHmac('sha256', key).update(subject).digest('base64url');
  }

  /** `<kid of the master key>.<sealed>`. */
  private wrap(keyId: string, key: Uint8Array): string {
    const kid = this.master.sealingKeyId;
    return `${kid}.${seal(this.masterKey(kid), key, keyId)}`;
  }

  private unwrap({ key_id: keyId, wrapped }: Row): Uint8Array {
    const dot = wrapped.lastIndexOf('.');
    return unseal(this.masterKey(wrapped.slice(0, dot)), wrapped.slice(dot + 1), keyId);
  }

  private masterKey(kid: string): Uint8Array {
    const key = this.master.keys.get(kid);
    if (!key) throw new AtbError('configuration_invalid', `the audit keys lack ${kid}, which wrapped a key`);
    return key;
  }

  private async query(name: string, text: string, values: unknown[]): Promise<Row[]> {
    try {
      return (await statement(name, () => this.pool.query<Row>({ name, text, values }))).rows;
    } catch (cause) {
      throw unavailable(cause);
    }
  }
}
