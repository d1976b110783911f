import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** One file of an access log. It keeps its name, which says when it was begun, for as long as it lives. */
export interface Segment {
  readonly name: string;
  readonly begun: Date;
  readonly bytes: number;
}

const NAME = /^access-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z\.ndjson$/;

export function segmentName(begun: Date): string {
  return `access-${begun.toISOString().replaceAll(/[-:.]/g, '')}.ndjson`;
}

/** When a segment was begun, by its name; undefined for every other file. */
export function beginOf(name: string): Date | undefined {
  const [, year, month, day, hour, minute, second, ms] = NAME.exec(name) ?? [];
  const begun = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
  return Number.isNaN(begun.getTime()) ? undefined : begun;
}

/** The segments of a folder, oldest first. Only plain files with such a name: nothing else is ever read or removed here. */
export async function segmentsOf(folder: string): Promise<readonly Segment[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const found: Segment[] = [];
  for (const entry of entries) {
    const begun = entry.isFile() ? beginOf(entry.name) : undefined;
    if (begun === undefined) continue;
    const { size } = await stat(join(folder, entry.name)).catch(gone);
    if (size !== undefined) found.push({ name: entry.name, begun, bytes: size });
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

export async function removeSegment(folder: string, name: string): Promise<void> {
  if (beginOf(name) === undefined) throw new Error(`${name} is no segment of an access log`);
  await rm(join(folder, name), { force: true });
}

/** The bytes of a segment from a place on, at most so many; empty where there are none, undefined where it is gone. */
export async function readSegment(
  folder: string,
  name: string,
  from: number,
  most: number,
): Promise<Buffer | undefined> {
  const file = await open(join(folder, name), 'r').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const buffer = Buffer.alloc(most);
    const { bytesRead } = await file.read(buffer, 0, most, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Removed between two looks. */
function gone(error: unknown): { readonly size: undefined } {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { size: undefined };
  throw error;
}
