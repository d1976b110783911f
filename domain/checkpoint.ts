import { AtbError } from './error';
import { HASH_BYTES } from './merkle-tree';

/** What a log says of itself at one size: the text of a C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint). */
export interface Checkpoint {
  /** The log's name, by which nobody can show one log's checkpoint as another's. */
  readonly origin: string;
  /** How many entries there are. */
  readonly size: number;
  /** The root over them (RFC 9162 §2.1). */
  readonly root: Uint8Array;
}

export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`;
}

/** Parses a note's text; extension lines may follow, and mean nothing to us. Throws `checkpoint_malformed`. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', root = '', ...extensions] = text.split('\n');
  const hash = Buffer.from(root, 'base64');
  if (origin === '') throw malformed('has no origin');
  if (!/^(?:0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)))
    throw malformed('has no size');
  if (hash.length !== HASH_BYTES || hash.toString('base64') !== root) throw malformed('has no root hash');
  if (extensions.pop() !== '' || extensions.includes('')) throw malformed('has an empty line');
  return { origin, size: Number(size), root: hash };
}

function malformed(why: string): AtbError {
  return new AtbError('checkpoint_malformed', `the checkpoint ${why}`);
}
