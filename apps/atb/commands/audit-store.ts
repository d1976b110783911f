import { readFile } from 'node:fs/promises';
import { readCodecKeys } from '../../../adapters/temporal/codec-keys';
import type { CodecKeys } from '../../../adapters/temporal/codec-keys';
import { noStack } from '../identity';
import { UsageError } from '../refusal';
import type { Session } from '../session';

/** The PostgreSQL URL, from a file: on a command line everybody could read it. Throws `UsageError`. */
export async function databaseUrl(session: Session, named: string | undefined): Promise<string> {
  const { stack, stateDirectory } = session.where;
  const file = named ?? session.surroundings.environment.ATB_DATABASE_URL_FILE ?? stack?.databaseUrlFile;
  if (file === undefined) {
    throw new UsageError(`${noStack(stateDirectory, 'the audit log')}, or say --database-url-file`);
  }
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new UsageError(`${file} cannot be read`, { cause });
  }
}

/** The keys that open what is personal; undefined where nobody named them, and nothing personal is read. */
export async function auditKeys(session: Session, named: string | undefined): Promise<CodecKeys | undefined> {
  const { stack } = session.where;
  const file = named ?? session.surroundings.environment.ATB_AUDIT_KEYS_FILE ?? stack?.auditKeysFile;
  return file === undefined ? undefined : readCodecKeys(file);
}
