import { canonicalJson } from './canonical-json';
import type { Leaf } from './audit-leaf';
import { parseCheckpoint } from './checkpoint';
import type { Checkpoint } from './checkpoint';
import { withDisclosed } from './commitment';
import { AtbError, isAtbError } from './error';
import type { Evidence, EvidenceEvent } from './evidence';
import { isJsonObject } from './json';
import { hashLeaf } from './merkle-tree';
import { includes } from './merkle-proof';
import { openNote, parseNote } from './signed-note';
import type { NoteVerifier } from './signed-note';
import { parseStrictJson } from './strict-json';

/** An event that is in the log, with what was disclosed of it in its place. */
export interface ProvenEvent {
  readonly index: number;
  readonly leaf: Leaf;
  /** Places whose commitments are not opened: redacted, or erased. */
  readonly withheld: readonly string[];
}

// A parameter may be as deep as a body allows, and is some levels down in its event.
const MAX_DEPTH = 48;

/**
 * The checkpoint of some evidence, and its events, each proven to be in the log under it, in order, each once. Throws
 * `checkpoint_malformed`, `checkpoint_untrusted` and `evidence_invalid`, naming the first thing that is wrong.
 */
export function provenEvents(
  { requestId, checkpoint: note, events }: Evidence,
  keys: readonly NoteVerifier[],
): { readonly checkpoint: Checkpoint; readonly events: readonly ProvenEvent[] } {
  const checkpoint = signedCheckpoint(Buffer.from(note), keys);
  const proven = events.map((event) => provenEvent(event, checkpoint));
  const ids = new Set<string>();
  for (const [position, { index, leaf }] of proven.entries()) {
    const before = proven[position - 1];
    if (before && before.index >= index) throw invalid(`event ${position} is not in the order of the log`);
    if (ids.has(leaf.id)) throw invalid(`${leaf.id} is there twice`);
    if (leaf.request_id !== requestId) throw invalid(`${leaf.id} belongs to another request`);
    ids.add(leaf.id);
  }
  return { checkpoint, events: proven };
}

/** Every signature must be checked, for else it could say anything. */
function signedCheckpoint(note: Uint8Array, keys: readonly NoteVerifier[]): Checkpoint {
  const { text, signedBy } = openNote(note, keys);
  if (parseNote(note).signatures.length !== signedBy.length) {
    throw invalid('its checkpoint has a signature that no known key can check');
  }
  return parseCheckpoint(text);
}

function provenEvent({ index, leaf: text, proof, disclosed }: EvidenceEvent, tree: Checkpoint): ProvenEvent {
  const hash = hashLeaf(Buffer.from(text));
  const hashes = proof.map((base64) => Buffer.from(base64, 'base64'));
  if (!includes({ index, hash }, tree, hashes)) {
    throw invalid(`the event at ${index} is not in the log under its checkpoint of ${tree.size} events`);
  }
  const leaf = leafOfText(text, index);
  const names = disclosed.map(({ name }) => name);
  if (names.some((name, position) => position > 0 && name <= (names[position - 1] ?? ''))) {
    throw invalid(`${leaf.id} discloses in another order than that of the names, or twice`);
  }
  let open: Leaf;
  try {
    open = withDisclosed(leaf, disclosed) as Leaf;
  } catch (cause) {
    if (!isAtbError(cause)) throw cause;
    throw invalid(`${leaf.id}: ${cause.message}`, cause);
  }
  return {
    index,
    leaf: open,
    withheld: Object.keys(leaf.commitments).filter((name) => !names.includes(name)),
  };
}

/** The log's own entries have this form; a log of others does not, and is no evidence. */
function leafOfText(text: string, index: number): Leaf {
  let leaf: unknown;
  try {
    leaf = parseStrictJson(text, { maxDepth: MAX_DEPTH });
  } catch (cause) {
    throw invalid(`the entry at ${index} is no event`, cause);
  }
  if (
    !isJsonObject(leaf) ||
    canonicalJson(leaf) !== text ||
    typeof leaf.id !== 'string' ||
    typeof leaf.type !== 'string' ||
    typeof leaf.time !== 'string' ||
    Number.isNaN(Date.parse(leaf.time)) ||
    !isJsonObject(leaf.data) ||
    !isJsonObject(leaf.commitments)
  ) {
    throw invalid(`the entry at ${index} is no event`);
  }
  return leaf as Leaf;
}

function invalid(why: string, cause?: unknown): AtbError {
  return new AtbError('evidence_invalid', `the evidence does not hold: ${why}`, { cause });
}
