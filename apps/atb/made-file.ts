import { randomBytes } from 'node:crypto';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { visible } from '../../domain/foreign-text';
import { Unwritten, UsageError } from './refusal';

type Piece = string | Uint8Array;

/** File systems that know no second name for a file, such as those of memory sticks. */
const NO_LINKS = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'];

/**
 * Writes a file for a person: whole under its name or not at all, and for nobody else to read unless `mode` says so. Throws `UsageError` where it
 * cannot be made, or is there already and `replace` was not said, and `Unwritten` where the disk is full. A device or a
 * pipe of that name is written to as it is.
 */
export async function writeMadeFile(
  file: string,
  pieces: Iterable<Piece> | AsyncIterable<Piece>,
  { replace = false, mode = 0o600 }: { readonly replace?: boolean; readonly mode?: number } = {},
): Promise<void> {
  const there = await stat(file).catch(() => undefined);
  if (there && !replace) throw alreadyThere(file);
  if (there && !there.isFile()) {
    await writeAll(await opened(file, file, { flags: 'w', mode }), file, pieces);
    return;
  }
  const temporary = `${file}.${randomBytes(4).toString('hex')}.part`;
  const handle = await opened(temporary, file, { flags: 'wx', mode });
  try {
    await writeAll(handle, file, pieces);
    await put(temporary, file, replace);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function opened(
  name: string,
  file: string,
  { flags, mode }: { readonly flags: string; readonly mode: number },
): Promise<FileHandle> {
  try {
    return await open(name, flags, mode);
  } catch (cause) {
    throw new UsageError(`${visible(file)} cannot be written`, { cause });
  }
}

async function writeAll(
  handle: FileHandle,
  file: string,
  pieces: Iterable<Piece> | AsyncIterable<Piece>,
): Promise<void> {
  try {
    for await (const piece of pieces) await kept(file, handle.appendFile(piece));
    // What is no file has nothing to be synced.
    if ((await handle.stat()).isFile()) await kept(file, handle.sync());
  } finally {
    await handle.close();
  }
}

async function kept(file: string, writing: Promise<void>): Promise<void> {
  try {
    await writing;
  } catch (cause) {
    throw new Unwritten(`${visible(file)} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

async function put(temporary: string, file: string, replace: boolean): Promise<void> {
  if (replace) return kept(file, rename(temporary, file));
  try {
    // Not over one that somebody else made meanwhile.
    await link(temporary, file);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw alreadyThere(file, cause);
    if (!NO_LINKS.includes(code)) throw new Unwritten(`${visible(file)} cannot be written`, { cause });
    await kept(file, rename(temporary, file));
  }
}

function alreadyThere(file: string, cause?: unknown): UsageError {
  return new UsageError(`${visible(file)} is there already`, { cause });
}
