import { readFileSync } from 'node:fs';

/** Attack 46: a document that claims what nothing shows. */
describe('docs/threat-model.md', () => {
  const page = readFileSync('docs/threat-model.md', 'utf8');
  const claims = [...page.matchAll(/`(test\/[\w./-]+\.spec\.ts): ([^`]+)`/g)].map(
    ([, file = '', name = '']) => ({
      file,
      name,
    }),
  );

  it('names tests at all', () => {
    expect(claims.length).toBeGreaterThan(20);
  });

  it.each(claims)('names a test that exists: $file: $name', ({ file, name }) => {
    const source = readFileSync(file, 'utf8');
    const quoted = [`'${name.replaceAll("'", "\\'")}'`, `"${name}"`, `\`${name}\``];
    expect(quoted.some((text) => source.includes(text))).toBe(true);
  });

  it('names a test for whatever is claimed to hold, to be noticed or to be undone, or says that none shows it', () => {
    const claimed = page.split(/^- \*\*/m).filter((point) => /^(?:Cannot|Noticed by|Undone by):/.test(point));
    expect(claimed.length).toBeGreaterThan(30);
    expect(claimed.filter((point) => !/`test\/|No test shows this\./.test(point))).toEqual([]);
  });

  it.each([
    "An agent's key",
    "An approver's key",
    'AgentAuth',
    "Temporal's UI or client certificate",
    'Write access to the database',
    'The worker, or the signing key',
    'The policy repository',
    'The object store',
    'A notification channel',
  ])('tells of %s what it can, what it cannot, how it is noticed and how undone', (heading) => {
    const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
    for (const part of ['**Can:**', '**Cannot:**', '**Noticed by:**', '**Undone by:**']) {
      expect(section).toContain(part);
    }
  });
});
