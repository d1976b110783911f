import { AtbError } from './error';

/** C2SP signed notes (https://c2sp.org/signed-note): a text, a blank line, and signature lines. */

export interface NoteSignature {
  /** The key's name. */
  readonly name: string;
  /** The key's id: four bytes, as a number. */
  readonly keyId: number;
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** With its last newline, without the blank line: exactly what is signed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Checks signatures of one key over a note's text. */
export interface NoteVerifier {
  readonly name: string;
  readonly keyId: number;
  verify(text: string, signature: Uint8Array): boolean;
}

export interface NoteSigner extends NoteVerifier {
  sign(text: string): Uint8Array;
}

/** Room for sixteen signatures, of the largest post-quantum kind, and a text of our size. */
export const MAX_NOTE_BYTES = 128 * 1024;

const MAX_SIGNATURES = 100;
const KEY_ID_BYTES = 4;
const SIGNATURE_LINE = /^\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})$/u;
// Everything below U+0020 but the newline.
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;

/** Key names: no spaces of any kind, no plus. */
export function isKeyName(name: string): boolean {
  return name !== '' && !/[\s+]/u.test(name);
}

/** Takes a note apart; says nothing of its signatures. Throws `checkpoint_malformed`. */
export function parseNote(bytes: Uint8Array): SignedNote {
  if (bytes.length > MAX_NOTE_BYTES) throw malformed(`is longer than ${MAX_NOTE_BYTES} bytes`);
  const note = Buffer.from(bytes).toString('utf8');
  if (!Buffer.from(note, 'utf8').equals(bytes)) throw malformed('is not UTF-8');
  if (CONTROL.test(note)) throw malformed('has control characters');
  const blank = note.lastIndexOf('\n\n');
  if (blank < 0) throw malformed('has no blank line before its signatures');
  const lines = note.slice(blank + 2).split('\n');
  if (lines.pop() !== '') throw malformed('does not end with a newline');
  if (lines.length === 0) throw malformed('has no signature');
  if (lines.length > MAX_SIGNATURES) throw malformed(`has more than ${MAX_SIGNATURES} signatures`);
  return { text: note.slice(0, blank + 1), signatures: lines.map(parseSignatureLine) };
}

/** Reads one signature line, without its newline. Throws `checkpoint_malformed`. */
export function parseSignatureLine(line: string): NoteSignature {
  const [, name = '', base64 = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = Buffer.from(base64, 'base64');
  if (!isKeyName(name) || bytes.length <= KEY_ID_BYTES || bytes.toString('base64') !== base64) {
    throw malformed('has a line that is no signature');
  }
  return { name, keyId: bytes.readUInt32BE(), signature: bytes.subarray(KEY_ID_BYTES) };
}

/** Writes a note with its signatures. Throws `RangeError` for a text that no note can carry. */
export function formatNote({ text, signatures }: SignedNote): string {
  if (!text.endsWith('\n') || CONTROL.test(text)) throw new RangeError('a text that is no text of a note');
  const lines = signatures.map(({ name, keyId, signature }) => {
    const id = Buffer.alloc(KEY_ID_BYTES);
    id.writeUInt32BE(keyId);
    return `\u2014 ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/** Signs a text with one key. */
export function signNote(text: string, signer: NoteSigner): string {
  const { name, keyId } = signer;
  return formatNote({ text, signatures: [{ name, keyId, signature: signer.sign(text) }] });
}

/**
 * The text of a note that one of the keys signed, and which of them did. Signatures of other keys count for nothing;
 * one that names a known key must be good. Throws `checkpoint_malformed` and `checkpoint_untrusted`.
 */
export function openNote(
  bytes: Uint8Array,
  keys: readonly NoteVerifier[],
): { readonly text: string; readonly signedBy: readonly NoteVerifier[] } {
  const { text, signatures } = parseNote(bytes);
  const signedBy: NoteVerifier[] = [];
  for (const { name, keyId, signature } of signatures) {
    const key = keys.find((known) => known.name === name && known.keyId === keyId);
    if (!key) continue;
    if (!key.verify(text, signature)) {
      throw new AtbError('checkpoint_untrusted', `the signature by ${name} is not of its key`);
    }
    signedBy.push(key);
  }
  if (signedBy.length > 0) return { text, signedBy };
  const names = keys.map(({ name, keyId }) => `${name}+${keyId.toString(16).padStart(8, '0')}`);
  throw new AtbError('checkpoint_untrusted', `the note is not signed by ${names.join(' or ')}`);
}

/** Which of the keys signed a note, each counted once. Throws `checkpoint_untrusted` where fewer than `quorum` did. */
export function requireQuorum(
  bytes: Uint8Array,
  keys: readonly NoteVerifier[],
  quorum: number,
): readonly NoteVerifier[] {
  const { text, signatures } = parseNote(bytes);
  const signedBy = keys.filter((key) =>
    signatures.some(
      ({ name, keyId, signature }) => name === key.name && keyId === key.keyId && key.verify(text, signature),
    ),
  );
  if (signedBy.length >= quorum) return signedBy;
  throw new AtbError(
    'checkpoint_untrusted',
    `the checkpoint is cosigned by ${signedBy.length} of the witnesses, not by ${quorum}`,
  );
}

function malformed(why: string): AtbError {
  return new AtbError('checkpoint_malformed', `the signed note ${why}`);
}
