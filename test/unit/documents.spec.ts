import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Attack 46: variables that nothing reads, and documents of what does not exist. */
describe('docs/configuration.md', () => {
  const read = new Set(
    sources(
      'apps/agentauth',
      'apps/worker',
      'apps/broker',
      'apps/registration',
      'apps/migration',
      'apps/temporal.ts',
      'apps/policy.ts',
    ).flatMap((text) =>
      [
        ...text.matchAll(
          /environment\s*\.(?:required|optional|text|integer|port|list|flag|oneOf)\(\s*'((?:ATB|ALLOW)_[A-Z_]+)'/g,
        ),
      ].map(([, name]) => name ?? ''),
    ),
  );
  const documented = new Set(
    readFileSync('docs/configuration.md', 'utf8').match(/\b(?:ATB|ALLOW)_[A-Z_]+\b/g),
  );

  it('names every variable that the processes read', () => {
    expect([...read].filter((name) => !documented.has(name))).toEqual([]);
    expect(read.size).toBeGreaterThan(20);
  });

  it('names no variable that nothing reads', () => {
    expect([...documented].filter((name) => !read.has(name))).toEqual([]);
  });
});

function sources(...paths: string[]): string[] {
  return paths.flatMap((path) =>
    path.endsWith('.ts')
      ? [readFileSync(path, 'utf8')]
      : readdirSync(path)
          .filter((name) => name.endsWith('.ts'))
          .map((name) => readFileSync(join(path, name), 'utf8')),
  );
}
