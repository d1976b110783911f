import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Aged, AgingStore } from '../../domain/retention';
import { removeSegment, segmentsOf } from './segments';

/** The files of the access logs below one folder: `<folder>/<process>/access-….ndjson`. It sees no other file. */
export class AccessLogArchive implements AgingStore {
  readonly kind = 'access_log';

  constructor(
    readonly place: string,
    readonly days: number,
  ) {}

  async agedBefore(before: Date, most: number): Promise<readonly Aged[]> {
    const aged: Aged[] = [];
    for (const process of await this.processes()) {
      const folder = join(this.place, process);
      const segments = await segmentsOf(folder);
      for (const [at, { name, begun, bytes }] of segments.entries()) {
        // Its last line is older than the next file, and than its own last change.
        const next = segments[at + 1]?.begun;
        const ended = next ?? (await stat(join(folder, name))).mtime;
        if (begun < before && ended < before) aged.push({ name: `${process}/${name}`, bytes });
      }
    }
    return aged.slice(0, most);
  }

  async remove(names: readonly string[]): Promise<void> {
    const processes = new Set(await this.processes());
    for (const path of names) {
      const [process = '', name = '', ...rest] = path.split('/');
      if (!processes.has(process) || rest.length > 0) throw new Error(`${path} is no file of an access log`);
      await removeSegment(join(this.place, process), name);
    }
  }

  /** Folders themselves, and no links to others. */
  private async processes(): Promise<readonly string[]> {
    try {
      const entries = await readdir(this.place, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    } catch (error) {
      // No process has written yet.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }
}
