import { TILE_WIDTH } from './log-tile';
import type { Tile } from './log-tile';
import { hashNode, nodesOf, rootOf } from './merkle-tree';

/** A tile with its hashes. */
export interface TileHashes extends Tile {
  readonly hashes: readonly Uint8Array[];
}

/**
 * A growing tree, as the tiles at its right edge: all that it takes to append, to write tiles and to tell the root. Its
 * memory grows with the logarithm of its size only: at most 255 hashes a level.
 */
export class TiledTree {
  private count = 0;
  /** Of each level the hashes that are in no full tile yet. */
  private readonly edge: Uint8Array[][] = [[]];

  /** The tree of that size whose partial tiles are `edge`, lowest level first. Throws `RangeError` where they are not. */
  static of(size: number, edge: readonly (readonly Uint8Array[])[]): TiledTree {
    const tree = new TiledTree();
    tree.count = size;
    for (const [level, { width }] of edgeOf(size).entries()) {
      const hashes = edge[level] ?? [];
      if (hashes.length !== width)
        throw new RangeError(`level ${level} of ${size} leaves has ${width} hashes`);
      tree.edge[level] = [...hashes];
    }
    return tree;
  }

  get size(): number {
    return this.count;
  }

  /** Appends a leaf by its hash, and tells of each tile that is full by it, from the lowest on. */
  append(leafHash: Uint8Array, full: (tile: TileHashes) => void): void {
    this.count += 1;
    let hash = leafHash;
    for (let level = 0; ; level++) {
      const hashes = (this.edge[level] ??= []);
      hashes.push(hash);
      if (hashes.length < TILE_WIDTH) return;
      const index = this.count / TILE_WIDTH ** (level + 1) - 1;
      full({ level, index, width: TILE_WIDTH, hashes });
      this.edge[level] = [];
      hash = subtreeRoot(hashes);
    }
  }

  /** The partial tiles at the right edge. */
  partialTiles(): TileHashes[] {
    return edgeOf(this.count).flatMap((tile) =>
      tile.width === 0 ? [] : [{ ...tile, hashes: this.edge[tile.level] ?? [] }],
    );
  }

  /** MTH of RFC 9162 §2.1. */
  root(): Uint8Array {
    const largestFirst = this.edge
      .toReversed()
      .flatMap((hashes) =>
        hashes.length === 0
          ? []
          : nodesOf({ start: 0, end: hashes.length }).map(({ level, index }) =>
              subtreeRoot(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level)),
            ),
      );
    return rootOf(largestFirst);
  }
}

/** What is at the right edge of a tree of that size: a tile of each level, of width 0 where the last one is full. */
export function edgeOf(size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let hashes = size; hashes > 0; hashes = Math.floor(hashes / TILE_WIDTH)) {
    tiles.push({
      level: tiles.length,
      index: Math.floor(hashes / TILE_WIDTH),
      width: hashes % TILE_WIDTH,
    });
  }
  return tiles;
}

/** The root of a whole subtree, of hashes of one level: a power of two of them. */
export function subtreeRoot(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes;
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let i = 0; i + 1 < level.length; i += 2) {
      above.push(hashNode(level[i] as Uint8Array, level[i + 1] as Uint8Array));
    }
    level = above;
  }
  return level[0] as Uint8Array;
}
