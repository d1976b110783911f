import { readFile } from 'node:fs/promises';
import { migrate } from '../../adapters/postgres/schema';
import { Environment } from '../environment';
import { runProcess } from '../process';

/** Brings the database to this version and ends: the only process that holds the owner's account. */
async function main(): Promise<void> {
  const environment = new Environment(process.env);
  const ownerUrlFile = environment.required('ATB_DATABASE_OWNER_URL_FILE');
  environment.finish('the migration');
  await migrate((await readFile(ownerUrlFile, 'utf8')).trim());
}

runProcess('migration', main);
