import { AtbError } from './error';
import { HASH_BYTES } from './merkle-tree';

/**
 * Where a log keeps what: the layout of C2SP tlog-tiles (https://c2sp.org/tlog-tiles). A tile is 256 hashes of one
 * level, each over 256 times as many leaves as those of the level below; a bundle is 256 entries.
 */

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256;

const MAX_ENTRY_BYTES = 0xffff;

/** A full bundle of the longest entries that the format can carry. */
export const MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES);

export const CHECKPOINT_PATH = 'checkpoint';

/** Ours, beside those of C2SP: the last checkpoint that a time-stamping authority stamped (RFC 3161). */
export const TIMESTAMP_PATH = 'timestamp';

/** The `index`-th tile of a level, with its first `width` hashes: fewer than 256 is a partial tile. */
export interface Tile {
  readonly level: number;
  readonly index: number;
  readonly width: number;
}

export function tilePath({ level, index, width }: Tile): string {
  return `tile/${level}/${indexPath(index)}${partialSuffix(width)}`;
}

export function bundlePath(index: number, width: number): string {
  return `tile/entries/${indexPath(index)}${partialSuffix(width)}`;
}

/** A number as folders of three digits, all but the last with an x: 1234067 is x001/x234/067. */
export function indexPath(index: number): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  return padded.replace(/\d{3}(?=\d)/g, 'x$&/');
}

function partialSuffix(width: number): string {
  return width === TILE_WIDTH ? '' : `.p/${width}`;
}

/** The hashes of a tile. Throws `audit_log_malformed` where its length is not that of its width. */
export function parseTile(bytes: Uint8Array, tile: Tile): Uint8Array[] {
  if (bytes.length !== tile.width * HASH_BYTES) {
    throw new AtbError('audit_log_malformed', `${tilePath(tile)} is ${bytes.length} bytes long`);
  }
  return Array.from({ length: tile.width }, (_, position) =>
    bytes.subarray(position * HASH_BYTES, (position + 1) * HASH_BYTES),
  );
}

/** Entries as a bundle: each after its length, 16 bits, big-endian. Throws `RangeError` for one that is too long. */
export function formatBundle(entries: readonly Uint8Array[]): Uint8Array {
  const bundle = Buffer.alloc(entries.reduce((sum, { length }) => sum + 2 + length, 0));
  let at = 0;
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES) throw new RangeError(`an entry of ${entry.length} bytes`);
    at = bundle.writeUInt16BE(entry.length, at);
    bundle.set(entry, at);
    at += entry.length;
  }
  return bundle;
}

/** The entries of a bundle. Throws `audit_log_malformed` where there are not exactly `width`. */
export function parseBundle(bytes: Uint8Array, index: number, width: number): Uint8Array[] {
  const malformed = (why: string) =>
    new AtbError('audit_log_malformed', `${bundlePath(index, width)} ${why}`);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    if (entries.length === width) throw malformed(`goes on after ${width} entries`);
    const length = (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
    const end = at + 2 + length;
    if (end > bytes.length) throw malformed('ends within an entry');
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  if (entries.length !== width) throw malformed(`has ${entries.length} entries, not ${width}`);
  return entries;
}
