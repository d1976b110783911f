import { randomBytes } from 'node:crypto';
import type { AuditEvent } from '../../domain/audit-event';
import { eventOfLeaf, leafOf, leafText } from '../../domain/audit-leaf';
import type { Leaf } from '../../domain/audit-leaf';
import { committed, withDisclosed } from '../../domain/commitment';
import type { Disclosure } from '../../domain/commitment';
import { AtbError } from '../../domain/error';
import type { Json } from '../../domain/json';
import { activeTraceId } from '../tracing/span';
import { requireInVocabulary } from './event-schema';
import { seal, unseal } from './seal';

// More than the 128 bits that SD-JWT asks for (RFC 9901 §9.3).
const SALT_BYTES = 24;

/** The keys of the people that events are about. */
export interface SubjectKeys {
  /** The key of a person, made when there is none. */
  keyFor(subject: string): Promise<SubjectKey>;
  /** Those of the keys that were not erased. */
  keysById(keyIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

export interface SubjectKey {
  readonly keyId: string;
  readonly key: Uint8Array;
}

/** An event as it is kept: the leaf, and apart from it what is personal, sealed. */
export interface KeptEvent {
  readonly leaf: string;
  readonly personal: string | null;
}

interface Sealed {
  /** Of several, each sealed what the one before it sealed. */
  readonly key_id: string | readonly string[];
  readonly sealed: string;
}

interface SealedValue extends Sealed {
  readonly name: string;
}

/** Takes what is personal out of events, and puts it back for who has the keys. */
export class PersonalData {
  /** Without keys no event with anything personal is taken, and what is personal stays unread. */
  constructor(private readonly keys: SubjectKeys | null) {}

  /**
   * What is kept of an event, in the trace that is under way where it names none. Throws `internal` for an event that is
   * not in the vocabulary, or too long.
   */
  async kept(event: AuditEvent): Promise<KeptEvent> {
    const traceId = event.traceId ?? activeTraceId();
    const leaf = leafOf({ ...event, ...(traceId !== undefined && { traceId }) });
    requireInVocabulary(leaf);
    const subjects = event.personal ?? {};
    const names = Object.keys(subjects);
    if (names.length === 0) return { leaf: leafText(leaf), personal: null };
    const { keys } = this;
    if (!keys)
      throw new AtbError('internal', `${event.type} has personal data, and there are no keys for it`);
    const { leaf: bare, disclosures } = committed(leaf, names, () =>
      randomBytes(SALT_BYTES).toString('base64url'),
    );
    const sealed: SealedValue[] = [];
    // One after the other: the first makes the key of its person, the others find it.
    for (const { salt, name, value } of disclosures) {
      const text = JSON.stringify([salt, value]);
      const about = [subjects[name] ?? ''].flat();
      sealed.push({ name, ...(await sealedFor(keys, about, text, contextOf(event.id, name))) });
    }
    return { leaf: leafText(bare), personal: JSON.stringify(sealed) };
  }

  /** A text beside the log that goes with the first of the people whom it is about: opened by `opened` only. */
  async sealed(text: string, about: readonly string[], context: string): Promise<string> {
    if (about.length === 0) return JSON.stringify({ key_id: [], sealed: text } satisfies Sealed);
    if (!this.keys) throw new AtbError('internal', 'there are no keys for what is personal');
    return JSON.stringify(await sealedFor(this.keys, about, text, context));
  }

  /** Null where one of the people was erased. */
  async opened(sealed: string, context: string): Promise<string | null> {
    const content = JSON.parse(sealed) as Sealed;
    const keyIds = [content.key_id].flat();
    const keys =
      keyIds.length > 0 && this.keys ? await this.keys.keysById(keyIds) : new Map<string, Uint8Array>();
    return unsealedBy(keys, content, context) ?? null;
  }

  /** The events, with what is personal where its key is there; the rest of it is null. */
  async read(kept: readonly KeptEvent[]): Promise<readonly AuditEvent[]> {
    const sealed = kept.map(({ personal }) =>
      personal === null ? [] : (JSON.parse(personal) as SealedValue[]),
    );
    const keyIds = [...new Set(sealed.flat().flatMap(({ key_id: keyId }) => keyId))];
    const keys =
      keyIds.length > 0 && this.keys ? await this.keys.keysById(keyIds) : new Map<string, Uint8Array>();
    return kept.map(({ leaf: text }, index) => {
      const leaf = JSON.parse(text) as Leaf;
      return eventOfLeaf(withDisclosed(leaf, disclosuresOf(leaf, sealed[index] ?? [], keys)) as Leaf);
    });
  }

  /** What opens the commitments of one event: for evidence, which shows them to others. */
  async disclosures({ leaf: text, personal }: KeptEvent): Promise<readonly Disclosure[]> {
    const sealed = personal === null ? [] : (JSON.parse(personal) as SealedValue[]);
    const keys =
      (await this.keys?.keysById(sealed.flatMap(({ key_id: keyId }) => keyId))) ??
      new Map<string, Uint8Array>();
    return disclosuresOf(JSON.parse(text) as Leaf, sealed, keys);
  }
}

function disclosuresOf(
  { id }: Leaf,
  sealed: readonly SealedValue[],
  keys: ReadonlyMap<string, Uint8Array>,
): readonly Disclosure[] {
  return sealed.flatMap(({ name, ...content }) => {
    const text = unsealedBy(keys, content, contextOf(id, name));
    if (text === undefined) return [];
    const [salt, value] = JSON.parse(text) as [string, Json];
    return [{ salt, name, value }];
  });
}

/** Sealed with the key of each of the people, one around the other. */
async function sealedFor(
  keys: SubjectKeys,
  about: readonly string[],
  text: string,
  context: string,
): Promise<Sealed> {
  const keyIds: string[] = [];
  let sealed = text;
  for (const subject of about) {
    const { keyId, key } = await keys.keyFor(subject);
    sealed = seal(key, Buffer.from(sealed), context);
    keyIds.push(keyId);
  }
  const [first] = keyIds;
  return { key_id: keyIds.length === 1 && first !== undefined ? first : keyIds, sealed };
}

/** Undefined where a key is not there. */
function unsealedBy(
  keys: ReadonlyMap<string, Uint8Array>,
  { key_id: keyId, sealed }: Sealed,
  context: string,
): string | undefined {
  const all = [keyId].flat().map((one) => keys.get(one));
  if (!all.every((key) => key !== undefined)) return undefined;
  return all.reduceRight((text, key) => Buffer.from(unseal(key, text, context)).toString('utf8'), sealed);
}

/** What is sealed for one place of one event opens in no other. */
function contextOf(eventId: string, name: string): string {
  return JSON.stringify([eventId, name]);
}
