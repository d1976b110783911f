import { parseCheckpoint } from '../../domain/checkpoint';
import type { Checkpoint } from '../../domain/checkpoint';
import { AtbError } from '../../domain/error';
import {
  bundlePath,
  CHECKPOINT_PATH,
  MAX_BUNDLE_BYTES,
  parseBundle,
  parseTile,
  TILE_WIDTH,
  tilePath,
  TIMESTAMP_PATH,
} from '../../domain/log-tile';
import type { Tile } from '../../domain/log-tile';
import { equalHashes, HASH_BYTES } from '../../domain/merkle-tree';
import type { TreeNode } from '../../domain/merkle-tree';
import type { LogStore, ReplacedPath } from '../../domain/ports';
import { MAX_NOTE_BYTES, openNote } from '../../domain/signed-note';
import type { NoteVerifier } from '../../domain/signed-note';
import { edgeOf, subtreeRoot, TiledTree } from '../../domain/tiled-tree';

const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
const TILE_HEIGHT = 8;

/** A checkpoint with the signed note that it comes from. */
export type SealedCheckpoint = Checkpoint & { readonly note: Uint8Array };

/** Reads a log in the layout of C2SP tlog-tiles. What it throws says which part is wrong. */
export class LogReader {
  constructor(private readonly store: Pick<LogStore, 'read'>) {}

  /** The checkpoint, signed by one of the keys; null where the log has none. Throws `checkpoint_*`. */
  checkpoint(keys: readonly NoteVerifier[]): Promise<SealedCheckpoint | null> {
    return this.checkpointAt(CHECKPOINT_PATH, keys);
  }

  /** The last checkpoint that was time-stamped, in the same way; nothing is said of its time-stamp yet. */
  stamped(keys: readonly NoteVerifier[]): Promise<SealedCheckpoint | null> {
    return this.checkpointAt(TIMESTAMP_PATH, keys);
  }

  private async checkpointAt(
    path: ReplacedPath,
    keys: readonly NoteVerifier[],
  ): Promise<SealedCheckpoint | null> {
    const note = await this.store.read(path, MAX_NOTE_BYTES);
    return note && { ...parseCheckpoint(openNote(note, keys).text), note };
  }

  /** The hashes of a tile: those of the full one where its partial form is gone. Throws `audit_log_malformed`. */
  async tile(tile: Tile): Promise<Uint8Array[]> {
    const bytes = await this.partialOrFull(tile, tilePath, TILE_BYTES);
    if (bytes.full) return parseTile(bytes.content, { ...tile, width: TILE_WIDTH }).slice(0, tile.width);
    return parseTile(bytes.content, tile);
  }

  /** The entries of a bundle, of which `width` are in the tree. Throws `audit_log_malformed`. */
  async entries(index: number, width: number): Promise<Uint8Array[]> {
    const bytes = await this.partialOrFull(
      { level: 0, index, width },
      (bundle) => bundlePath(bundle.index, bundle.width),
      MAX_BUNDLE_BYTES,
    );
    if (bytes.full) return parseBundle(bytes.content, index, TILE_WIDTH).slice(0, width);
    return parseBundle(bytes.content, index, width);
  }

  /** The tree of a checkpoint, from the tiles at its right edge. Throws `audit_log_malformed` where they do not make it. */
  async treeOf({ size, root }: Pick<Checkpoint, 'size' | 'root'>): Promise<TiledTree> {
    const edge = await Promise.all(
      edgeOf(size).map((tile) => (tile.width === 0 ? Promise.resolve([]) : this.tile(tile))),
    );
    const tree = TiledTree.of(size, edge);
    if (!equalHashes(tree.root(), root)) {
      throw new AtbError(
        'audit_log_malformed',
        `the tiles do not make the root of the checkpoint of ${size} entries`,
      );
    }
    return tree;
  }

  /** A whole subtree's root, in a tree of that size. */
  async node({ level, index }: TreeNode, size: number): Promise<Uint8Array> {
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const count = 2 ** (level % TILE_HEIGHT);
    const first = index * count;
    const tileIndex = Math.floor(first / TILE_WIDTH);
    const width = Math.min(TILE_WIDTH, Math.floor(size / TILE_WIDTH ** tileLevel) - tileIndex * TILE_WIDTH);
    const hashes = await this.tile({ level: tileLevel, index: tileIndex, width });
    const start = first % TILE_WIDTH;
    return subtreeRoot(hashes.slice(start, start + count));
  }

  private async partialOrFull(
    tile: Tile,
    pathOf: (tile: Tile) => string,
    mostBytes: number,
  ): Promise<{ readonly content: Uint8Array; readonly full: boolean }> {
    const named = await this.store.read(pathOf(tile), mostBytes);
    if (named) return { content: named, full: tile.width === TILE_WIDTH };
    // A log may drop a partial tile once the full one is there.
    const full =
      tile.width === TILE_WIDTH
        ? null
        : await this.store.read(pathOf({ ...tile, width: TILE_WIDTH }), mostBytes);
    if (full) return { content: full, full: true };
    throw new AtbError('audit_log_malformed', `${pathOf(tile)} is missing`);
  }
}
