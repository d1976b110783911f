import { formatCheckpoint } from '../../domain/checkpoint';
import type { Checkpoint } from '../../domain/checkpoint';
import { AtbError } from '../../domain/error';
import { bundlePath, formatBundle, TILE_WIDTH, tilePath } from '../../domain/log-tile';
import { equalHashes, EMPTY_ROOT, hashLeaf } from '../../domain/merkle-tree';
import type { AuditLeaves, LogStore } from '../../domain/ports';
import { signNote } from '../../domain/signed-note';
import type { NoteSigner } from '../../domain/signed-note';
import { TiledTree } from '../../domain/tiled-tree';
import type { TileHashes } from '../../domain/tiled-tree';
import { LogReader } from './log-reader';

export interface PublisherOptions {
  readonly leaves: AuditLeaves;
  readonly store: LogStore;
  readonly signer: NoteSigner;
  /** How many entries there are between two checkpoints at the most. */
  readonly checkpointEntries: number;
}

/**
 * Seals what the database recorded: bundles of entries, tiles of hashes, and then the checkpoint over them. Every round
 * begins with the checkpoint that is stored, so that a crash at any instruction, or a second publisher, costs work that
 * is done again and nothing else: what is written twice is the same.
 */
export class LogPublisher {
  private readonly reader: LogReader;
  private tree = new TiledTree();

  constructor(private readonly options: PublisherOptions) {
    this.reader = new LogReader(options.store);
  }

  /**
   * Publishes what was recorded by now. Answers the last checkpoint, and whether there is more to publish. Throws
   * `audit_log_diverged` where the database is not what was sealed: restored from an old copy, or changed. Then nothing
   * is signed until a person has looked.
   */
  async publish(): Promise<Checkpoint> {
    const size = await this.options.leaves.size();
    let last = await this.stored();
    if (last.size > size) {
      throw new AtbError(
        'audit_log_diverged',
        `the log was sealed at ${last.size} entries, and the database has ${size}: it was restored from an older copy`,
      );
    }
    while (last.size < size) {
      last = await this.extend(last, Math.min(size, last.size + this.options.checkpointEntries));
    }
    return last;
  }

  /** The stored checkpoint, with `tree` at it. */
  private async stored(): Promise<Checkpoint> {
    const { signer } = this.options;
    const stored = await this.reader.checkpoint([signer]);
    if (!stored) {
      this.tree = new TiledTree();
      return { origin: signer.name, size: 0, root: EMPTY_ROOT };
    }
    if (this.tree.size !== stored.size || !equalHashes(this.tree.root(), stored.root)) {
      this.tree = await this.reader.treeOf(stored);
    }
    return stored;
  }

  private async extend(last: Checkpoint, size: number): Promise<Checkpoint> {
    const { leaves, store, signer } = this.options;
    // From the start of the last bundle: its sealed entries are compared, and the rest of it is written with them.
    const start = last.size === 0 ? 0 : Math.floor((last.size - 1) / TILE_WIDTH) * TILE_WIDTH;
    const sealed =
      last.size === 0
        ? []
        : await this.reader.tile({ level: 0, index: start / TILE_WIDTH, width: last.size - start });
    const full: TileHashes[] = [];
    const tree = TiledTree.of(this.tree.size, this.edge());
    let bundle: Uint8Array[] = [];
    let at = start;
    const flush = async () => {
      if (bundle.length === 0) return;
      await store.create(bundlePath(Math.floor((at - 1) / TILE_WIDTH), bundle.length), formatBundle(bundle));
      bundle = [];
    };
    for await (const { index, leaf } of leaves.read(start, size)) {
      if (index !== at) throw diverged(`entry ${at} is not there`);
      const hash = hashLeaf(leaf);
      const before = sealed[at - start];
      if (before === undefined) tree.append(hash, (tile) => full.push({ ...tile, hashes: [...tile.hashes] }));
      else if (!equalHashes(before, hash)) throw diverged(`entry ${at} is not the one that was sealed`);
      bundle.push(leaf);
      at += 1;
      if (bundle.length === TILE_WIDTH) {
        if (at > last.size) await flush();
        else bundle = [];
      }
    }
    if (at !== size) throw diverged(`entry ${at} is not there`);
    await flush();
    for (const tile of [...full, ...tree.partialTiles()]) {
      await store.create(tilePath(tile), Buffer.concat(tile.hashes));
    }
    const next = { origin: signer.name, size, root: tree.root() };
    await store.replaceCheckpoint(Buffer.from(signNote(formatCheckpoint(next), signer)));
    this.tree = tree;
    return next;
  }

  private edge(): (readonly Uint8Array[])[] {
    const edge: (readonly Uint8Array[])[] = [];
    for (const { level, hashes } of this.tree.partialTiles()) edge[level] = hashes;
    return edge;
  }
}

function diverged(what: string): AtbError {
  return new AtbError('audit_log_diverged', `the database is not what the log sealed: ${what}`);
}
