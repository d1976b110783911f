import { randomBytes } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { AtbError } from '../../domain/error';
import { bundlePath, TILE_WIDTH, tilePath } from '../../domain/log-tile';
import type { LogStore, ReplacedPath } from '../../domain/ports';

const READ_ONLY = 0o444;

/** A sealed log in a directory: read-only files, each written whole, synced, and then given its name. */
export class LogDirectory implements LogStore {
  private readonly root: string;

  constructor(directory: string) {
    this.root = resolve(directory);
  }

  async read(path: string, mostBytes: number): Promise<Uint8Array | null> {
    let file;
    try {
      // A pipe that nobody writes to would keep us waiting.
      file = await open(join(this.root, path), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return null;
      throw new AtbError('audit_unavailable', `the log's ${path} cannot be read`, { cause });
    }
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new AtbError('audit_log_malformed', `${path} is no file`);
      if (stat.size > mostBytes) {
        throw new AtbError(
          'audit_log_malformed',
          `${path} is ${stat.size} bytes long: more than ${mostBytes}`,
        );
      }
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  async create(path: string, bytes: Uint8Array): Promise<void> {
    const name = join(this.root, path);
    await this.written(name, bytes, async (whole) => {
      try {
        // Unlike a rename, a link never takes the place of what is there.
        await link(whole, name);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
        const there = await this.read(path, Number.MAX_SAFE_INTEGER);
        if (!there || Buffer.compare(there, bytes) !== 0) {
          throw new AtbError('audit_log_diverged', `${path} was written before, with other content`);
        }
      }
    });
  }

  async replace(path: ReplacedPath, bytes: Uint8Array): Promise<void> {
    const name = join(this.root, path);
    await this.written(name, bytes, (whole) => rename(whole, name));
  }

  /**
   * Removes partial tiles and bundles that a full one has taken the place of between two sizes (C2SP tlog-tiles: a log
   * may do so once the full one is there).
   */
  async prune(from: number, to: number): Promise<void> {
    for (let level = 0, span = TILE_WIDTH; span <= to; level++, span *= TILE_WIDTH) {
      for (let index = Math.floor(from / span); index < Math.floor(to / span); index++) {
        const tile = tilePath({ level, index, width: TILE_WIDTH });
        for (const path of level === 0 ? [tile, bundlePath(index, TILE_WIDTH)] : [tile]) {
          const full = join(this.root, path);
          if (!existsSync(full)) continue;
          await rm(`${full}.p`, { recursive: true, force: true }).catch((cause: unknown) => {
            throw new AtbError('audit_unavailable', `${path}.p cannot be removed`, { cause });
          });
        }
      }
    }
  }

  private async written(
    name: string,
    bytes: Uint8Array,
    giveName: (whole: string) => Promise<void>,
  ): Promise<void> {
    const whole = `${name}.${randomBytes(6).toString('hex')}.new`;
    try {
      await mkdir(dirname(name), { recursive: true });
      const file = await open(whole, 'wx', READ_ONLY);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await giveName(whole);
      await synced(dirname(name));
    } catch (cause) {
      if (cause instanceof AtbError) throw cause;
      throw new AtbError('audit_unavailable', 'the log cannot be written', { cause });
    } finally {
      await rm(whole, { force: true });
    }
  }
}

/** A name is durable once its folder is. */
async function synced(directory: string): Promise<void> {
  const folder = await open(directory, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
