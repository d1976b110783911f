import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const LAZY = /const \{ ([^}]+) \} =\s+await import\('([^'.][^']*)'\)/g;

/** Packages that are loaded when they are needed, each with a name that is taken from it. */
const TAKEN = ['apps', 'adapters', 'activities', 'domain'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => [...readFileSync(join(folder, name), 'utf8').matchAll(LAZY)])
    .flatMap(([, names = '', from = '']) =>
      names.split(',').map((name) => [from, name.split(':', 1)[0]?.trim() ?? ''] as const),
    ),
);

// Here `import()` is turned into `require()`, which gives names that Node's own does not find in a CommonJS package.
it.each(TAKEN)('finds in %s, as Node itself imports it, %s', (from, name) => {
  const program = `console.log(Object.keys(await import(${JSON.stringify(from)})).join())`;
  const names = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  expect(names.trim().split(',')).toContain(name);
});

it('knows where packages are loaded so', () => {
  expect(TAKEN.map(([from]) => from)).toContain('@temporalio/proto');
});
