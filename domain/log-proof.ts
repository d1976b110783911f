import { parseCheckpoint } from './checkpoint';
import type { Checkpoint } from './checkpoint';
import { AtbError } from './error';
import { hashLeaf, HASH_BYTES } from './merkle-tree';
import { includes } from './merkle-proof';
import { MAX_NOTE_BYTES, openNote } from './signed-note';
import type { NoteVerifier } from './signed-note';

/** A proof that an entry is in a log, to be verified offline (https://c2sp.org/tlog-proof). */
export interface LogProof {
  /** The entry itself, which the format carries as its extra data. */
  readonly entry: Uint8Array;
  readonly index: number;
  readonly hashes: readonly Uint8Array[];
  /** The checkpoint, a signed note. */
  readonly note: Uint8Array;
}

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_ENTRY_BYTES = 0xffff;
const MAX_HASHES = 63;

/** The largest proof that there can be: an entry and 63 hashes in base64, and a checkpoint. */
export const MAX_PROOF_BYTES = 2 * MAX_ENTRY_BYTES + 64 * MAX_HASHES + MAX_NOTE_BYTES;

export function formatProof({ entry, index, hashes, note }: LogProof): string {
  const lines = hashes.map((hash) => `${base64(hash)}\n`).join('');
  return `${HEADER}\nextra ${base64(entry)}\nindex ${index}\n${lines}\n${Buffer.from(note).toString('utf8')}`;
}

/** Takes a proof apart; says nothing of what it proves. Throws `audit_log_malformed`. */
export function parseProof(bytes: Uint8Array): LogProof {
  if (bytes.length > MAX_PROOF_BYTES) throw malformed(`is longer than ${MAX_PROOF_BYTES} bytes`);
  const text = Buffer.from(bytes).toString('utf8');
  const blank = text.indexOf('\n\n');
  if (blank < 0) throw malformed('has no checkpoint');
  const [header, extra = '', index = '', ...hashes] = text.slice(0, blank).split('\n');
  if (header !== HEADER) throw malformed(`does not begin with ${HEADER}`);
  const [, entry] = /^extra (.*)$/.exec(extra) ?? [];
  if (entry === undefined) throw malformed('does not carry its entry');
  const [, digits] = /^index (0|[1-9]\d{0,15})$/.exec(index) ?? [];
  if (digits === undefined) throw malformed('has no index');
  if (hashes.length > MAX_HASHES) throw malformed(`has more than ${MAX_HASHES} hashes`);
  return {
    entry: bytesOf(entry),
    index: Number(digits),
    hashes: hashes.map((hash) => {
      const content = bytesOf(hash);
      if (content.length !== HASH_BYTES) throw malformed('has a hash of another length');
      return content;
    }),
    note: Buffer.from(text.slice(blank + 2), 'utf8'),
  };
}

/**
 * The checkpoint by which the entry is in the log at its index. Throws `checkpoint_malformed`, `checkpoint_untrusted`,
 * and `audit_log_malformed` where the hashes do not lead from the entry to the checkpoint's root.
 */
export function verifyProof(
  { entry, index, hashes, note }: LogProof,
  keys: readonly NoteVerifier[],
): Checkpoint {
  const checkpoint = parseCheckpoint(openNote(note, keys).text);
  if (!includes({ index, hash: hashLeaf(entry) }, checkpoint, hashes)) {
    throw malformed(`does not lead from its entry at ${index} to the root of the checkpoint`);
  }
  return checkpoint;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** Base64 in its one form. */
function bytesOf(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw malformed('has a line that is not base64');
  return bytes;
}

function malformed(why: string): AtbError {
  return new AtbError('audit_log_malformed', `the proof ${why}`);
}
