import type { Checkpoint } from '../../domain/checkpoint';
import { AtbError } from '../../domain/error';
import { bundlePath, TILE_WIDTH, tilePath } from '../../domain/log-tile';
import { equalHashes, hashLeaf } from '../../domain/merkle-tree';
import type { NoteVerifier } from '../../domain/signed-note';
import { subtreeRoot, TiledTree } from '../../domain/tiled-tree';
import type { TileHashes } from '../../domain/tiled-tree';
import type { LogReader, SealedCheckpoint } from './log-reader';

export interface TreeOptions {
  /** What is believed already: the log must extend it, and nothing before it is read again. */
  readonly trusted?: Pick<Checkpoint, 'size' | 'root'> | undefined;
  /** Told now and then, with a tree that can be trusted from then on. */
  readonly onProgress?: (verified: Pick<Checkpoint, 'size' | 'root'>, size: number) => void;
  /** Told each entry, in order. Throws what is wrong with it. */
  readonly onEntry?: (entry: Uint8Array, index: number) => void;
}

export interface VerifyOptions extends TreeOptions {
  readonly keys: readonly NoteVerifier[];
}

const PROGRESS_ENTRIES = 65_536;

/**
 * Verifies a whole log: every entry against its tile, every tile against those above, and all of it against the signed
 * checkpoint. Memory does not grow with the log. Throws `audit_log_malformed`, naming the first thing that is wrong,
 * and `checkpoint_malformed` or `checkpoint_untrusted`.
 */
export async function verifyLog(
  reader: LogReader,
  { keys, ...options }: VerifyOptions,
): Promise<SealedCheckpoint> {
  const checkpoint = await reader.checkpoint(keys);
  if (!checkpoint) throw new AtbError('audit_log_malformed', 'the log has no checkpoint');
  await verifyTree(reader, checkpoint, options);
  return checkpoint;
}

/** The same, against a checkpoint that is known already. */
export async function verifyTree(
  reader: LogReader,
  checkpoint: Pick<Checkpoint, 'size' | 'root'>,
  { trusted, onProgress, onEntry }: TreeOptions,
): Promise<void> {
  if (trusted && trusted.size > checkpoint.size) {
    throw wrong(`it is truncated: it had ${trusted.size} entries, and says that it has ${checkpoint.size}`);
  }
  const tree = trusted ? await trustedTree(reader, trusted, checkpoint.size) : new TiledTree();
  const from = tree.size;
  for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < checkpoint.size; index++) {
    const first = index * TILE_WIDTH;
    const width = Math.min(TILE_WIDTH, checkpoint.size - first);
    const [entries, sealed] = await Promise.all([
      reader.entries(index, width),
      reader.tile({ level: 0, index, width }),
    ]);
    const hashes = entries.map(hashLeaf);
    const at = hashes.findIndex((hash, position) => !equalHashes(hash, sealed[position] as Uint8Array));
    if (at >= 0) throw await mismatch(reader, { index, width, hashes, sealed, at, size: checkpoint.size });
    const full: TileHashes[] = [];
    for (const [position, hash] of hashes.entries()) {
      if (first + position < from) continue;
      onEntry?.(entries[position] as Uint8Array, first + position);
      tree.append(hash, (tile) => full.push({ ...tile, hashes: [...tile.hashes] }));
    }
    for (const tile of full) if (tile.level > 0) await requireTile(reader, tile);
    if (onProgress && tree.size % PROGRESS_ENTRIES === 0) {
      const verified = { size: tree.size, root: tree.root() };
      // Entries and their tiles alone may be of another history than the checkpoint.
      if (await reader.isExtended(verified, checkpoint)) onProgress(verified, checkpoint.size);
    }
  }
  for (const tile of tree.partialTiles()) if (tile.level > 0) await requireTile(reader, tile);
  if (!equalHashes(tree.root(), checkpoint.root)) {
    throw wrong(
      `the root over its ${checkpoint.size} entries is not the one in the checkpoint: the log was forked`,
    );
  }
  onProgress?.({ size: tree.size, root: tree.root() }, checkpoint.size);
}

async function trustedTree(
  reader: LogReader,
  trusted: Pick<Checkpoint, 'size' | 'root'>,
  all: number,
): Promise<TiledTree> {
  try {
    return await reader.treeOf(trusted, all);
  } catch (cause) {
    if (cause instanceof AtbError && cause.code === 'audit_log_malformed') {
      throw new AtbError(
        'audit_log_malformed',
        `the log was forked: it does not extend the trusted checkpoint of ${trusted.size} entries`,
        { cause },
      );
    }
    throw cause;
  }
}

async function requireTile(reader: LogReader, tile: TileHashes): Promise<void> {
  const stored = await reader.tile(tile);
  const at = tile.hashes.findIndex((hash, position) => !equalHashes(hash, stored[position] as Uint8Array));
  if (at >= 0)
    throw wrong(`${tilePath(tile)} is not the tile over what lies below it, from its hash ${at} on`);
}

/** Says which of the two is wrong, entries or tile, and what was done to the entries. */
async function mismatch(
  reader: LogReader,
  {
    index,
    width,
    hashes,
    sealed,
    at,
    size,
  }: {
    readonly index: number;
    readonly width: number;
    readonly hashes: readonly Uint8Array[];
    readonly sealed: readonly Uint8Array[];
    readonly at: number;
    readonly size: number;
  },
): Promise<AtbError> {
  const tile = { level: 0, index, width };
  if (width === TILE_WIDTH && (await isTileForged(reader, index, sealed, size))) {
    return wrong(`${tilePath(tile)} was changed: it is not what the tile above it is over`);
  }
  const entry = index * TILE_WIDTH + at;
  const is = (position: number, original: number) => {
    const [hash, other] = [hashes[position], sealed[original]];
    return hash !== undefined && other !== undefined && equalHashes(hash, other);
  };
  const bundle = bundlePath(index, width);
  if (at > 0 && is(at, at - 1)) return wrong(`${bundle}: entry ${entry - 1} is there twice`);
  const swapped = sealed.findIndex((_, position) => position > at && is(at, position) && is(position, at));
  if (swapped >= 0)
    return wrong(`${bundle}: entries ${entry} and ${index * TILE_WIDTH + swapped} are swapped`);
  if (is(at, at + 1)) return wrong(`${bundle}: entry ${entry} was removed`);
  return wrong(`${bundle}: entry ${entry} was changed`);
}

async function isTileForged(
  reader: LogReader,
  index: number,
  sealed: readonly Uint8Array[],
  size: number,
): Promise<boolean> {
  const above = await reader.node({ level: 8, index }, size);
  return !equalHashes(above, subtreeRoot(sealed));
}

function wrong(what: string): AtbError {
  return new AtbError('audit_log_malformed', what);
}
