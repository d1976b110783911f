import { lstat, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { AtbError } from '../../domain/error';
import { tokensOf } from '../../domain/json-pointer';
import type { OperationContext, OperationOutcome } from '../../domain/ports';
import { runCommand } from './command';
import { filled } from './definitions';
import type { CommitDefinition } from './definitions';

const GIT = '/usr/bin/git';
// Somebody else's commit may come in between.
const MOST_PUSHES = 3;

/**
 * Sets values in one file of a repository and pushes that as one commit, which Argo CD or Flux picks up. The same again
 * finds the file as it wants it, and pushes nothing.
 */
export async function commit(
  definition: CommitDefinition,
  values: Readonly<Record<string, string>>,
  context: OperationContext,
): Promise<OperationOutcome> {
  const until = Date.now() + definition.timeout_seconds * 1000;
  for (let push = 1; ; push += 1) {
    const directory = await mkdtemp(join(tmpdir(), 'atb-commit-'));
    try {
      const pushed = await once(new Git(definition, directory, until, context), definition, values, context);
      if (pushed.good || push === MOST_PUSHES) return pushed;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

async function once(
  git: Git,
  { repository, branch, file, set, author }: CommitDefinition,
  values: Readonly<Record<string, string>>,
  { change, percent }: OperationContext,
): Promise<OperationOutcome> {
  const cloned = await git.run(
    'clone',
    '--depth=1',
    '--single-branch',
    `--branch=${branch}`,
    '--',
    repository,
    '.',
  );
  if (!cloned.good) return cloned;
  const path = join(git.directory, file);
  // A link would lead out of the repository.
  if (!(await lstat(path).catch(() => undefined))?.isFile()) {
    return { good: false, detail: `${file} is no file of the repository`, outputDigest: null };
  }
  const before = await readFile(path, 'utf8');
  const after = edited(before, set, values);
  if (after === before) return { good: true, detail: `${file} is so already`, outputDigest: null };
  await writeFile(path, after);
  const message = `${change} at ${percent} percent\n\nATB-Change: ${change}\nATB-Percent: ${percent}\n`;
  const steps = [
    ['add', '--', file],
    [
      ...['-c', `user.name=${author.name}`, '-c', `user.email=${author.email}`],
      ...['commit', '--quiet', '--no-verify', '--message', message],
    ],
    ['push', '--quiet', 'origin', `HEAD:refs/heads/${branch}`],
    ['rev-parse', 'HEAD'],
  ];
  let last = cloned;
  for (const step of steps) {
    last = await git.run(...step);
    if (!last.good) return last;
  }
  return { ...last, detail: `pushed ${last.detail}` };
}

/** The file with the values in it; what was a number or a switch there stays one, and what is around it stays as it is. */
function edited(
  text: string,
  set: Readonly<Record<string, string>>,
  values: Readonly<Record<string, string>>,
): string {
  const document = parseDocument(text);
  for (const [pointer, template] of Object.entries(set)) {
    const path = tokensOf(pointer);
    const value = filled(template, values);
    const there = document.getIn(path);
    document.setIn(path, typeof there === 'number' ? Number(value) : value);
  }
  return document.toString({ lineWidth: 0 });
}

class Git {
  constructor(
    private readonly definition: CommitDefinition,
    readonly directory: string,
    private readonly until: number,
    private readonly context: OperationContext,
  ) {}

  async run(...args: readonly string[]): Promise<OperationOutcome> {
    const { exitCode, why, lastWords, outputDigest } = await runCommand({
      ...{ program: GIT, arguments: args, directory: this.directory },
      environment: {
        HOME: this.directory,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_TERMINAL_PROMPT: '0',
        ...this.definition.environment,
      },
      timeoutMs: Math.max(1, this.until - Date.now()),
      signal: this.context.signal,
    });
    if (why === 'interrupted') throw new AtbError('operation_interrupted', 'git was cut short');
    const words = lastWords.trim();
    if (exitCode === 0) return { good: true, detail: words, outputDigest };
    const how = why === 'timed out' ? 'took too long' : `exit code ${exitCode}`;
    return { good: false, detail: `git ${args[0] ?? ''}: ${how}: ${words}`, outputDigest };
  }
}
