import { parseCheckpoint } from '../../domain/checkpoint';
import type { Checkpoint } from '../../domain/checkpoint';
import { AtbError, isAtbError } from '../../domain/error';
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
import { consistencyPath, extendsTree, proofOf } from '../../domain/merkle-proof';
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

  /**
   * The tree of a checkpoint, from the tiles at its right edge, as a log of `all` entries has them: not every size that
   * it grew through has partial tiles. Throws `audit_log_malformed` where they do not make it.
   */
  async treeOf({ size, root }: Pick<Checkpoint, 'size' | 'root'>, all = size): Promise<TiledTree> {
    const edge = await Promise.all(
      edgeOf(size).map(async ({ level, index, width }) =>
        width === 0 ? [] : (await this.tile(tileIn(all, level, index))).slice(0, width),
      ),
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

  /**
   * Whether the log at its checkpoint extends an earlier one: by a proof (RFC 9162 §2.1.4), for partial tiles of another
   * history may lie beside those of this one.
   */
  async isExtended(
    earlier: Pick<Checkpoint, 'size' | 'root'>,
    checkpoint: Pick<Checkpoint, 'size' | 'root'>,
  ): Promise<boolean> {
    if (earlier.size > checkpoint.size) return false;
    try {
      const path = consistencyPath(earlier.size, checkpoint.size);
      const proof = await proofOf(path, (node) => this.node(node, checkpoint.size));
      return extendsTree(earlier, checkpoint, proof);
    } catch (error) {
      if (isAtbError(error) && error.code === 'audit_log_malformed') return false;
      throw error;
    }
  }

  /** A whole subtree's root, in a tree of that size. */
  async node({ level, index }: TreeNode, size: number): Promise<Uint8Array> {
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const count = 2 ** (level % TILE_HEIGHT);
    const first = index * count;
    const tileIndex = Math.floor(first / TILE_WIDTH);
    const hashes = await this.tile(tileIn(size, tileLevel, tileIndex));
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

/** A tile as a tree of that size has it: in full, or as much as there is. */
function tileIn(size: number, level: number, index: number): Tile {
  return {
    level,
    index,
    width: Math.min(TILE_WIDTH, Math.floor(size / TILE_WIDTH ** level) - index * TILE_WIDTH),
  };
}
