import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { LogBucket } from '../../../adapters/audit-log/log-bucket';
import { LogDirectory } from '../../../adapters/audit-log/log-directory';
import { LogReader } from '../../../adapters/audit-log/log-reader';
import { LogUrl } from '../../../adapters/audit-log/log-url';
import { parseVerifierKey, parseWitnessKey } from '../../../adapters/audit-log/note-key';
import { isAtbError } from '../../../domain/error';
import { visible } from '../../../domain/foreign-text';
import type { LogStore } from '../../../domain/ports';
import { MAX_NOTE_BYTES, requireQuorum } from '../../../domain/signed-note';
import type { NoteVerifier } from '../../../domain/signed-note';
import { readForeignFile } from '../foreign-file';
import { noStack } from '../identity';
import { UsageError } from '../refusal';
import { withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { wholeNumber } from '../whole-number';

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
  return [await keyOf('--vkey', vkey, parseVerifierKey)];
}

export interface WitnessOptions {
  readonly witness?: readonly string[];
  readonly quorum?: number;
}

export function withWitnessOptions(command: Command): Command {
  return command
    .option('--witness <key or file>', 'the verifier key of a witness; again for each', collect)
    .option('--quorum <n>', 'how many of the witnesses must have cosigned (all of them)', wholeNumber);
}

/**
 * Answers how to find which of the witnesses that were named cosigned a checkpoint, which throws `checkpoint_untrusted`.
 * Throws `UsageError`.
 */
export async function cosigners({
  witness = [],
  quorum = witness.length,
}: WitnessOptions): Promise<(note: Uint8Array) => readonly NoteVerifier[]> {
  const keys = await Promise.all(witness.map((one) => keyOf('--witness', one, parseWitnessKey)));
  const different = keys.filter((key, at) => keys.findIndex(({ keyId }) => keyId === key.keyId) === at);
  if (quorum > keys.length || (quorum < 1 && keys.length > 0)) {
    throw new UsageError(`--quorum is from 1 to the number of --witness, which is ${keys.length}`);
  }
  return (note) => requireQuorum(note, different, quorum);
}

function collect(one: string, before: readonly string[] = []): readonly string[] {
  return [...before, one];
}

/** From a file, or the key itself. */
async function keyOf(
  option: string,
  keyOrFile: string,
  parse: (text: string) => NoteVerifier,
): Promise<NoteVerifier> {
  const text = existsSync(keyOrFile)
    ? (await readForeignFile(keyOrFile, MAX_NOTE_BYTES)).toString()
    : keyOrFile;
  try {
    return parse(text.trim());
  } catch (cause) {
    throw new UsageError(`${option} ${visible(keyOrFile)} is no verifier key, nor a file with one`, {
      cause,
    });
  }
}
