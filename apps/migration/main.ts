import { readFile } from 'node:fs/promises';
import { migrate } from '../../adapters/postgres/schema';
import { isAtbError } from '../../domain/error';
import { Environment } from '../environment';

/** Brings the database to this version and ends: the only process that holds the owner's account. */
async function main(): Promise<void> {
  const environment = new Environment(process.env);
  const ownerUrlFile = environment.required('ATB_DATABASE_OWNER_URL_FILE');
  environment.finish('the migration');
  await migrate((await readFile(ownerUrlFile, 'utf8')).trim());
}

main().catch((error: unknown) => {
  process.stderr.write(
    isAtbError(error) ? `migration: ${error.message}\n` : `migration: ${String((error as Error).stack)}\n`,
  );
  process.exitCode = 1;
});
