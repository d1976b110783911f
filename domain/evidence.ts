import { canonicalJson } from './canonical-json';
import { withDisclosed } from './commitment';
import type { Disclosure } from './commitment';
import { sha256Base64url } from './digest';
import { AtbError, isAtbError } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { at } from './json-pointer';
import { HASH_BYTES } from './merkle-tree';
import { parseStrictJson } from './strict-json';

/** One event of a request, with the proof of its place in the log. */
export interface EvidenceEvent {
  readonly index: number;
  /** The leaf of the log: the RFC 8785 form of the event. */
  readonly leaf: string;
  /** The inclusion proof (RFC 9162 §2.1.3), base64, to the checkpoint's root. */
  readonly proof: readonly string[];
  /** What opens its commitments; what is missing was redacted, or erased before. */
  readonly disclosed: readonly Disclosure[];
}

/** One run of the request's workflow: what Temporal kept of it. */
export interface HistoryRun {
  readonly runId: string;
  readonly events: number;
  /** Base64url SHA-256 of the protobuf form of the history (temporal.api.history.v1.History). */
  readonly digest: string;
}

/** One request's whole story in one file: what the log says of it, and what is needed to believe that. */
export interface Evidence {
  readonly requestId: string;
  /** The checkpoint, a signed note, under which all events are proven. */
  readonly checkpoint: string;
  /** In the order of the log. */
  readonly events: readonly EvidenceEvent[];
  /** Oldest run first; none where Temporal had forgotten it. */
  readonly history: readonly HistoryRun[];
}

/** Some hundreds of the largest events; whatever is longer is not read. */
export const MAX_EVIDENCE_BYTES = 16 * 1024 * 1024;

const VERSION = 1;
const MAX_EVENTS = 10_000;
const MAX_PROOF = 64;
const MAX_DEPTH = 48;
const ASKED = '/data/asked/';
/** The digest itself, and the salt of the mandate's claims and of the parameters that it was used with. */
const DIGESTS_OF_ASKED = ['/data/asked_digest', '/data/salt'];
const NOTHING = ['null', '{}', '[]'];
const LAST_LINE = '\n';

/** The file: one line in RFC 8785 form, so that there is one file for one content. */
export function formatEvidence(evidence: Evidence): string {
  const text = `${canonicalJson({ ...contentOf(evidence), digest: digestOf(evidence) })}${LAST_LINE}`;
  if (Buffer.byteLength(text) > MAX_EVIDENCE_BYTES) {
    throw invalid(`it would be longer than ${MAX_EVIDENCE_BYTES} bytes`);
  }
  return text;
}

/** Takes the file apart; says nothing of what it proves. Throws `evidence_invalid`. */
export function parseEvidence(bytes: Uint8Array): Evidence & { readonly digest: string } {
  if (bytes.length > MAX_EVIDENCE_BYTES) throw invalid(`it is longer than ${MAX_EVIDENCE_BYTES} bytes`);
  if (bytes.length === 0) throw invalid('it is empty');
  const document = inItsOneForm(bytes);
  const { v, request_id: requestId, checkpoint, events, history, digest, ...unknown } = document;
  if (v !== VERSION) throw invalid(`it is not of version ${VERSION}`);
  const [other] = Object.keys(unknown);
  if (other !== undefined) throw invalid(`it has a member that does not belong there: ${other}`);
  if (typeof requestId !== 'string' || requestId === '') throw invalid('it names no request');
  if (typeof checkpoint !== 'string') throw invalid('it has no checkpoint');
  if (typeof digest !== 'string') throw invalid('it has no digest');
  return {
    requestId,
    checkpoint,
    events: listOf(events, 'events', MAX_EVENTS).map(parseEvent),
    history: listOf(history, 'history', MAX_EVENTS).map(parseRun),
    digest,
  };
}

/** Base64url SHA-256 over all the rest of the file. It finds accidents; whoever forges computes it again. */
export function digestOf(evidence: Evidence): string {
  return sha256Base64url(canonicalJson(contentOf(evidence)));
}

/**
 * Without what is disclosed at, or below, some places (RFC 6901); the commitments to it stay. With anything of what was
 * asked goes what somebody could try guesses of it against; without the whole, nothing can be verified by that.
 */
export function redacted(evidence: Evidence, places: readonly string[]): Evidence {
  const isNamed = ({ name }: Disclosure) => places.some((place) => isAtOrBelow(name, place));
  const hidesAsked = evidence.events.some(({ disclosed }) =>
    disclosed.some((one) => one.name.startsWith(ASKED) && isNamed(one)),
  );
  const isHidden = (one: Disclosure) => isNamed(one) || (hidesAsked && DIGESTS_OF_ASKED.includes(one.name));
  return {
    ...evidence,
    events: evidence.events.map((event) => ({
      ...event,
      disclosed: event.disclosed.filter((disclosure) => !isHidden(disclosure)),
    })),
  };
}

/**
 * Of some places those that `redacted` hides nothing at: `shown` where there is a value all the same, which is not
 * personal, or was committed to only as part of more; `absent` where no event has any.
 */
export function notRedacted(
  { events }: Evidence,
  places: readonly string[],
): { readonly shown: readonly string[]; readonly absent: readonly string[] } {
  const leaves = events.map(({ leaf: text, disclosed }) => {
    const leaf = JSON.parse(text) as JsonObject;
    const names = isJsonObject(leaf.commitments) ? Object.keys(leaf.commitments) : [];
    return { names, open: withDisclosed(leaf, disclosed) };
  });
  const untouched = places.filter(
    (place) => !leaves.some(({ names }) => names.some((name) => isAtOrBelow(name, place))),
  );
  const isShown = (place: string) =>
    leaves.some(({ open }) => !NOTHING.includes(canonicalJson(at(open, place) ?? null)));
  return { shown: untouched.filter(isShown), absent: untouched.filter((place) => !isShown(place)) };
}

function isAtOrBelow(name: string, place: string): boolean {
  return name === place || name.startsWith(`${place}/`);
}

function contentOf({ requestId, checkpoint, events, history }: Evidence): JsonObject {
  return {
    v: VERSION,
    request_id: requestId,
    checkpoint,
    events: events.map(({ index, leaf, proof, disclosed }) => ({
      ...{ index, leaf, proof },
      disclosed: disclosed.map(({ salt, name, value }) => [salt, name, value]),
    })),
    history: history.map(({ runId, events: count, digest }) => ({ run_id: runId, events: count, digest })),
  };
}

function inItsOneForm(bytes: Uint8Array): JsonObject {
  let document: Json;
  try {
    document = parseStrictJson(bytes, { maxDepth: MAX_DEPTH });
  } catch (cause) {
    if (!isAtbError(cause)) throw cause;
    throw invalid(cause.message.replace(/^the body/, 'it'), cause);
  }
  if (!isJsonObject(document)) throw invalid('it is no object');
  const text = Buffer.from(bytes).toString('utf8');
  const due = `${canonicalJson(document)}${LAST_LINE}`;
  if (text !== due) {
    let at = 0;
    while (text[at] === due[at]) at += 1;
    throw invalid(`it is not in RFC 8785 form, from character ${at} on`);
  }
  return document;
}

function parseEvent(value: Json, position: number): EvidenceEvent {
  const where = `event ${position}`;
  const { index, leaf, proof, disclosed, ...unknown } = objectOf(value, where);
  if (Object.keys(unknown).length > 0) throw invalid(`${where} has a member that does not belong there`);
  if (typeof leaf !== 'string') throw invalid(`${where} has no leaf`);
  return {
    index: countOf(index, `${where} has no index`),
    leaf,
    proof: listOf(proof, `${where}: proof`, MAX_PROOF).map((hash) => {
      const bytes = typeof hash === 'string' ? Buffer.from(hash, 'base64') : null;
      if (bytes?.length !== HASH_BYTES || bytes.toString('base64') !== hash) {
        throw invalid(`${where} has a hash that is none`);
      }
      return hash;
    }),
    disclosed: listOf(disclosed, `${where}: disclosed`, MAX_EVENTS).map((entry) => {
      const [salt, name, shown, ...more] = listOf(entry, `${where}: a disclosure`, 3);
      if (typeof salt !== 'string' || typeof name !== 'string' || shown === undefined || more.length > 0) {
        throw invalid(`${where} discloses something that is not [salt, name, value]`);
      }
      return { salt, name, value: shown };
    }),
  };
}

function parseRun(value: Json): HistoryRun {
  const { run_id: runId, events, digest, ...unknown } = objectOf(value, 'a run');
  if (typeof runId !== 'string' || typeof digest !== 'string' || Object.keys(unknown).length > 0) {
    throw invalid('its history has a run that is none');
  }
  return { runId, events: countOf(events, 'a run of its history has no number of events'), digest };
}

function objectOf(value: Json, where: string): JsonObject {
  if (!isJsonObject(value)) throw invalid(`${where} is no object`);
  return value;
}

function listOf(value: Json | undefined, where: string, most: number): readonly Json[] {
  if (!Array.isArray(value)) throw invalid(`${where} is no list`);
  if (value.length > most) throw invalid(`${where} has more than ${most} entries`);
  return value as readonly Json[];
}

function countOf(value: Json | undefined, otherwise: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid(otherwise);
  return value;
}

function invalid(why: string, cause?: unknown): AtbError {
  return new AtbError('evidence_invalid', `the evidence does not hold: ${why}`, { cause });
}
