import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { LogBucket } from '../../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../../adapters/audit-log/log-directory';
import { LogReader } from '../../../adapters/audit-log/log-reader';
import { LogUrl } from '../../../adapters/audit-log/log-url';
import { parseVerifierKey } from '../../../adapters/audit-log/note-key';
import { isAtbError } from '../../../domain/error';
import { visible } from '../../../domain/foreign-text';
import type { LogStore } from '../../../domain/ports';
import type { NoteVerifier } from '../../../domain/signed-note';
import { noStack } from '../identity';
import { UsageError } from '../refusal';
import { withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';

export interface LogOptions extends CommonOptions {
  readonly log?: string;
  readonly vkey?: string;
}

export function withLogOptions(command: Command): Command {
  return withCommonOptions(command)
    .option(
      '--log <folder or URL>',
      'a log in the layout of C2SP tlog-tiles: https://…, or s3://bucket/prefix',
    )
    .option('--vkey <key or file>', 'its verifier key: name+id+base64');
}

/** The log that is meant, and the keys that its checkpoints must be signed with. Throws `UsageError`. */
export async function sealedLog(
  session: Session,
  options: LogOptions,
): Promise<{ readonly reader: LogReader; readonly keys: readonly NoteVerifier[] }> {
  const { stack, stateDirectory } = session.where;
  const log = options.log ?? stack?.log;
  if (log === undefined) throw new UsageError(`${noStack(stateDirectory, 'the sealed log')}, or say --log`);
  const keys = await logKeys(session, options);
  return { reader: new LogReader(await storeAt(log, session)), keys };
}

async function storeAt(log: string, { surroundings }: Session): Promise<Pick<LogStore, 'read'>> {
  if (/^https?:\/\//.test(log)) return new LogUrl(log);
  if (!log.startsWith('s3://')) return new LogDirectory(log);
  try {
    return await LogBucket.at(log, surroundings.environment);
  } catch (cause) {
    throw isAtbError(cause) ? new UsageError(cause.message, { cause }) : cause;
  }
}

/** The keys that checkpoints must be signed with: those of this stack's log unless told. Throws `UsageError`. */
export async function logKeys(session: Session, options: LogOptions): Promise<readonly NoteVerifier[]> {
  const { stack } = session.where;
  const vkey = options.vkey ?? (options.log === undefined ? stack?.logKeyFile : undefined);
  if (vkey === undefined) throw new UsageError('whose log is it? --vkey');
  return [await verifierKey(vkey)];
}

/** From a file, or the key itself. */
async function verifierKey(keyOrFile: string): Promise<NoteVerifier> {
  const text = await readFile(keyOrFile, 'utf8').catch(() => keyOrFile);
  try {
    return parseVerifierKey(text.trim());
  } catch (cause) {
    throw new UsageError(`--vkey ${visible(keyOrFile)} is no verifier key, nor a file with one`, { cause });
  }
}
