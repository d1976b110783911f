import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { AtbError } from '../../domain/error';
import type { ErrorCode } from '../../domain/error';
import { visible } from '../../domain/foreign-text';
import { UsageError } from './refusal';

/**
 * Reads a file that others may have made. Throws `UsageError` where it cannot be read or is no file, such as a device or
 * a pipe, and the code where it is longer than `mostBytes`: nothing of it is read then.
 */
export async function readForeignFile(
  file: string,
  mostBytes: number,
  code: ErrorCode = 'audit_log_malformed',
): Promise<Buffer> {
  let opened;
  try {
    // A pipe that nobody writes to would keep us waiting.
    opened = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new UsageError(`${visible(file)} cannot be read`, { cause });
  }
  try {
    const stat = await opened.stat();
    if (!stat.isFile()) throw new UsageError(`${visible(file)} is no file`);
    if (stat.size > mostBytes) {
      throw new AtbError(code, `${visible(file)} is ${stat.size} bytes long: more than ${mostBytes}`);
    }
    return await opened.readFile();
  } finally {
    await opened.close();
  }
}
