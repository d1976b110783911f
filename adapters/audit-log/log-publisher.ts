import { formatCheckpoint } from '../../domain/checkpoint';
import type { Checkpoint } from '../../domain/checkpoint';
import { AtbError } from '../../domain/error';
import { bundlePath, CHECKPOINT_PATH, formatBundle, TILE_WIDTH, tilePath } from '../../domain/log-tile';
import { equalHashes, EMPTY_ROOT, hashLeaf } from '../../domain/merkle-tree';
import type { AuditLeaves, LogStore } from '../../domain/ports';
import { consistencyPath, proofOf } from '../../domain/merkle-proof';
import { formatNote, parseNote, signNote } from '../../domain/signed-note';
import type { NoteSignature, NoteSigner } from '../../domain/signed-note';
import { TiledTree } from '../../domain/tiled-tree';
import type { TileHashes } from '../../domain/tiled-tree';
import { LogReader } from './log-reader';
import type { SealedCheckpoint } from './log-reader';

export interface PublisherOptions {
  readonly leaves: AuditLeaves;
  readonly store: LogStore;
  readonly signer: NoteSigner;
  /** How many entries there are between two checkpoints at the most. */
  readonly checkpointEntries: number;
  /** Asks witnesses; answers the cosignatures that a checkpoint did not have yet. Never throws, and takes its time. */
  readonly cosign?: Cosign | undefined;
}

export type Cosign = (
  checkpoint: SealedCheckpoint,
  /** The consistency proof from a tree of that size (RFC 9162 §2.1.4). */
  proofFrom: (size: number) => Promise<readonly Uint8Array[]>,
) => Promise<readonly NoteSignature[]>;

/**
 * Seals what the database recorded: bundles of entries, tiles of hashes, and then the checkpoint over them. Every round
 * begins with the checkpoint that is stored, so that a crash at any instruction, or a second publisher, costs work that
 * is done again and nothing else: what is written twice is the same.
 */
export class LogPublisher {
  private readonly reader: LogReader;
  private tree = new TiledTree();
  private before: Promise<unknown> = Promise.resolve();
  private elsewhere: Checkpoint | null = null;

  constructor(private readonly options: PublisherOptions) {
    this.reader = new LogReader(options.store);
  }

  /**
   * From here on nothing is signed that does not extend a checkpoint which was found in a copy of the log: the database
   * and the log's own folder may both have been restored from an older one.
   */
  extendOnly(checkpoint: Checkpoint): void {
    this.elsewhere = checkpoint;
  }

  /**
   * Publishes what was recorded by now. Answers the last checkpoint; null where nothing was ever recorded. Throws
   * `audit_log_diverged` where the database is not what was sealed: restored from an old copy, or changed. Then nothing
   * is signed until a person has looked. Asked while it is at it, it does it again afterwards.
   */
  publish(): Promise<SealedCheckpoint | null> {
    const next = this.before.then(() => this.round());
    this.before = next.catch(() => undefined);
    return next;
  }

  private async round(): Promise<SealedCheckpoint | null> {
    const size = await this.options.leaves.size();
    let last = await this.stored();
    const sealedSize = Math.max(last?.size ?? 0, this.elsewhere?.size ?? 0);
    if (sealedSize > size) {
      throw new AtbError(
        'audit_log_diverged',
        `the log was sealed at ${sealedSize} entries, and the database has ${size}: it was restored from an older copy`,
      );
    }
    if (this.elsewhere) await this.requireExtension(this.elsewhere);
    this.elsewhere = null;
    if (last?.size === size) {
      // What a witness could not do before it may do now.
      const more = await this.cosigned(last);
      if (more !== last) await this.options.store.replace(CHECKPOINT_PATH, more.note);
      return more;
    }
    while ((last?.size ?? 0) < size) {
      const at = last?.size ?? 0;
      last = await this.extend(at, Math.min(size, at + this.options.checkpointEntries), size);
    }
    return last;
  }

  /** The stored checkpoint, with `tree` at it. */
  private async stored(): Promise<SealedCheckpoint | null> {
    const stored = await this.reader.checkpoint([this.options.signer]);
    const { size, root } = stored ?? { size: 0, root: EMPTY_ROOT };
    if (this.tree.size !== size || !equalHashes(this.tree.root(), root)) {
      this.tree = await this.reader.treeOf({ size, root });
    }
    return stored;
  }

  /** Before anything is written: whether what is sealed here, with what the database has, comes by that checkpoint. */
  private async requireExtension({ size, root }: Checkpoint): Promise<void> {
    if (this.tree.size >= size) {
      if (!(await this.reader.isExtended({ size, root }, { size: this.tree.size, root: this.tree.root() })))
        throw forked(size);
      return;
    }
    const tree = TiledTree.of(this.tree.size, this.edge());
    for await (const { leaf } of this.options.leaves.read(tree.size, size)) {
      tree.append(hashLeaf(leaf), () => undefined);
    }
    if (tree.size !== size || !equalHashes(tree.root(), root)) throw forked(size);
  }

  private async extend(sealedSize: number, size: number, lastSize: number): Promise<SealedCheckpoint> {
    const { leaves, store, signer } = this.options;
    // From the start of the last bundle: its sealed entries are compared, and the rest of it is written with them.
    const start = sealedSize === 0 ? 0 : Math.floor((sealedSize - 1) / TILE_WIDTH) * TILE_WIDTH;
    const sealed =
      sealedSize === 0
        ? []
        : await this.reader.tile({ level: 0, index: start / TILE_WIDTH, width: sealedSize - start });
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
        if (at > sealedSize) await flush();
        else bundle = [];
      }
    }
    if (at !== size) throw diverged(`entry ${at} is not there`);
    await flush();
    for (const tile of [...full, ...tree.partialTiles()]) {
      await store.create(tilePath(tile), Buffer.concat(tile.hashes));
    }
    const next = { origin: signer.name, size, root: tree.root() };
    const signed = { ...next, note: Buffer.from(signNote(formatCheckpoint(next), signer)) };
    const sealedNext = size === lastSize ? await this.cosigned(signed) : signed;
    await store.replace(CHECKPOINT_PATH, sealedNext.note);
    this.tree = tree;
    return sealedNext;
  }

  /** The same checkpoint with what witnesses signed; the very same where there is nothing new. */
  private async cosigned(checkpoint: SealedCheckpoint): Promise<SealedCheckpoint> {
    const { size } = checkpoint;
    const more = await this.options.cosign?.(checkpoint, (from) =>
      proofOf(consistencyPath(from, size), (node) => this.reader.node(node, size)),
    );
    if (!more || more.length === 0) return checkpoint;
    const { text, signatures } = parseNote(checkpoint.note);
    return {
      ...checkpoint,
      note: Buffer.from(formatNote({ text, signatures: [...signatures, ...more] })),
    };
  }

  private edge(): (readonly Uint8Array[])[] {
    const edge: (readonly Uint8Array[])[] = [];
    for (const { level, hashes } of this.tree.partialTiles()) edge[level] = hashes;
    return edge;
  }
}

function forked(size: number): AtbError {
  return new AtbError(
    'audit_log_diverged',
    `the log has another history than its copy, which has ${size} entries: one of them was restored from an older copy, or changed`,
  );
}

function diverged(what: string): AtbError {
  return new AtbError('audit_log_diverged', `the database is not what the log sealed: ${what}`);
}
