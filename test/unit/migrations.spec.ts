import { readdirSync } from 'node:fs';
import { MIGRATIONS } from '../../adapters/postgres/migrations';

it('knows every step of the schema that has a file, in the order of their numbers', () => {
  const files = readdirSync('adapters/postgres/migrations').flatMap((name) => /^\d{4}(?=-)/.exec(name) ?? []);
  expect(MIGRATIONS.map(({ version }) => version)).toEqual(files.map(Number).sort((a, b) => a - b));
});
