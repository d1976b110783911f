import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { openBundle, openUnverifiedBundle, packBundle, signBundle } from '../../../adapters/opa/bundle';
import type { PolicyBundle } from '../../../adapters/opa/bundle';
import { policyCases } from '../../../adapters/opa/policy-cases';
import type { PolicyCase } from '../../../adapters/opa/policy-cases';
import { readPolicySource } from '../../../adapters/opa/policy-source';
import { WasmPolicy } from '../../../adapters/opa/wasm-policy';
import { testPolicy } from '../../../adapters/opa/policy-tests';
import { projectRoot } from '../../../adapters/process/project-root';
import { visible } from '../../../domain/foreign-text';
import { isJsonObject } from '../../../domain/json';
import type { JsonObject } from '../../../domain/json';
import { parsePolicyApproval, policyProposal } from '../../../domain/policy-approval';
import type { PolicyApproval } from '../../../domain/policy-approval';
import { EXIT } from '../exit';
import type { ExitCode } from '../exit';
import { writeMadeFile } from '../made-file';
import { Output } from '../output';
import type { Surroundings } from '../output';
import { changesBetween, readRecorded } from '../policy-changes';
import type { Change } from '../policy-changes';
import { propose, signOff, standingInWords } from '../proposal';
import type { SignOffOptions } from '../proposal';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { SigningOptions } from '../signed-word';
import { listedJson, withRequestOptions, withSigningOptions } from './proposals';

interface SignOptions {
  readonly built: string;
  readonly source: string;
  readonly key: string;
  readonly keyId: string;
  readonly newKey: boolean;
  readonly out: string;
  readonly json?: boolean;
}

interface Sources {
  readonly source: string;
  readonly built: string;
}

interface DiffOptions {
  readonly recorded?: string;
  readonly cases?: string;
  readonly limit: string;
  readonly json?: boolean;
}

const policyFolder = () => join(projectRoot(), 'policy');

/** `atb policy`: for those who change policy, deliver it, and want to know what a change would do. */
export function registerPolicy(program: Command, surroundings: Surroundings): void {
  const policy = program
    .command('policy')
    .description('sign a policy bundle, and see what a change would change');

  policy
    .command('sign')
    .description('make a bundle of the built policy, and sign it')
    .option(
      '--built <dir>',
      'policy.wasm and data.json, as npm run policy:build leaves them',
      join(policyFolder(), 'dist'),
    )
    .option('--source <dir>', 'the folder with the Rego files', policyFolder())
    .requiredOption('--key <file>', 'the private key, PEM: EC P-256 or P-384, or RSA')
    .option('--key-id <name>', 'what an OPA that verifies calls the key', 'policy')
    .option('--new-key', 'make the key (P-256) where the file is missing, and FILE.pub beside it', false)
    .requiredOption('--out <file>', 'where the bundle goes; a process that watches it takes it')
    .option('--json', 'answer with one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  atb policy sign --key policy-key.pem --new-key --out bundle.tar.gz
  atb policy sign --key .atb/policy/signing-key.pem --out next.tar.gz     (for a running atb dev: propose it then)`,
    )
    .action(async (options: SignOptions) => {
      const { privateKey, publicFile } = await signingKey(options);
      const { bytes, revision } = packBundle(await readPolicySource(options.built, options.source));
      const signed = await signBundle(bytes, { privateKey, keyId: options.keyId });
      // The signature is looked at as those who load it will: a bundle that nobody takes is no bundle.
      await openBundle(signed, publicPem(privateKey));
      await writeMadeFile(resolve(options.out), [signed], { replace: true });
      new Output(surroundings, options.json === true).answer(
        {
          revision,
          bundle: options.out,
          bytes: signed.byteLength,
          ...(publicFile !== null && { public_key: publicFile }),
        },
        `policy ${revision} is signed: ${options.out}${publicFile === null ? '' : `; its public key: ${publicFile}`}`,
      );
    });

  policy
    .command('verify')
    .argument('<bundle>')
    .description('check the signature and the revision of a bundle')
    .requiredOption('--public-key <file>', 'the key that it must be signed with, PEM')
    .option('--json', 'answer with one JSON document on stdout')
    .action(async (file: string, options: { readonly publicKey: string; readonly json?: boolean }) => {
      const { revision } = await openBundle(await read(file), await publicKeyIn(options.publicKey));
      new Output(surroundings, options.json === true).answer(
        { revision, verified: true },
        `policy ${revision}: good`,
      );
    });

  withSources(withRequestOptions(withCommonOptions(policy.command('propose'))))
    .argument('<bundle>', 'the signed bundle, as it will be delivered')
    .description('run opa test, and ask Security to approve exactly this policy')
    .addHelpText(
      'after',
      "\nExample:\n  atb policy propose bundle.tar.gz --as person/heidi --reason 'a lower ceiling for payments'",
    )
    .action(async (file: string, options: SigningOptions & Sources) => {
      await inSession(surroundings, options, async (session) => {
        const approval = await approvalOf(await read(file), options);
        session.output.note(`${approval.tests.passed} tests of policy ${approval.revision} passed`);
        const shown = await propose(session, policyProposal(approval), options);
        session.output.answer(listedJson(shown), standingInWords(shown));
      });
    });

  withSources(withSigningOptions(withCommonOptions(policy.command('approve'))))
    .argument('<proposal-id>')
    .argument('[bundle]', 'the signed bundle, as it will be delivered; to say no it is not needed')
    .description('run opa test yourself, and approve a policy, as Security, after seeing what you sign')
    .addHelpText(
      'after',
      "\nExample:\n  atb policy approve policy_bundle.96123555fadf3128.Zk3V… bundle.tar.gz --as person/dave --reason 'read the diff'",
    )
    .action(async (id: string, file: string | undefined, options: SignOffOptions & Sources) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const exit = await signOff(session, id, options, async (shown) => {
          await requireSame(parsePolicyApproval(shown), file, options);
        });
        if (exit === EXIT.done && options.reject !== true) session.output.note(AFTER_APPROVAL);
        return exit;
      });
    });

  withRequestOptions(withCommonOptions(policy.command('rollout')))
    .argument('<revision>', 'an approved candidate')
    .requiredOption('--percent <n>', 'the share of requests that it decides; 0: none')
    .description('let a candidate decide a share of the requests, by your signed word')
    .addHelpText(
      'after',
      "\nExample:\n  atb policy rollout 96123555fadf3128 --percent 10 --as person/grace --reason 'no differences'",
    )
    .action(async (revision: string, options: SigningOptions & { readonly percent: string }) => {
      if (!/^\d{1,3}$/.test(options.percent))
        throw new UsageError('--percent is a whole number from 0 to 100');
      await rollOut(revision, Number(options.percent), options);
    });

  withRequestOptions(withCommonOptions(policy.command('rollback')))
    .argument('<revision>', 'the candidate')
    .description('let a candidate decide nothing any more, at once, by your signed word')
    .addHelpText(
      'after',
      "\nExample:\n  atb policy rollback 96123555fadf3128 --as person/grace --reason 'it denies too much'",
    )
    .action(async (revision: string, options: SigningOptions) => {
      await rollOut(revision, 0, options);
    });

  async function rollOut(revision: string, percent: number, options: SigningOptions): Promise<void> {
    process.exitCode = await inSession(surroundings, options, async (session) => {
      const rollout = await propose(
        session,
        { kind: 'policy_rollout', name: revision, content: { percent } },
        options,
      );
      const exit = await signOff(session, rollout.id, options);
      if (exit === EXIT.done) session.output.note(afterRollout(revision, percent));
      return exit;
    });
  }

  policy
    .command('shadow')
    .argument('<file>', 'what a worker lists (ATB_POLICY_SHADOW_FILE)')
    .description('list what a candidate policy would decide otherwise than the one that decides')
    .option('--json', 'answer with one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  atb policy shadow policy-shadow.jsonl')
    .action(async (file: string, options: { readonly json?: boolean }) => {
      // The last line may be one that a worker is just writing.
      const lines = (await read(file)).toString('utf8').split('\n').slice(0, -1);
      const differences = lines.map((line, at) => objectIn(line, `${file}:${at + 1}`));
      const words = differences.map(
        ({ time, action, decided, other }) =>
          `${visible(JSON.stringify(time))} ${visible(JSON.stringify(action))}: ${visible(JSON.stringify(decided))}, other: ${visible(JSON.stringify(other))}`,
      );
      new Output(surroundings, options.json === true).answer(
        { differences },
        [...words, `${differences.length} decisions differ`].join('\n'),
      );
    });

  policy
    .command('diff')
    .argument('<old>', 'a bundle, or a folder with policy.wasm and data.json')
    .argument('<new>', 'likewise')
    .description('list every case whose decision changes between two policies')
    .option('--recorded <file>', 'recorded requests as well (ATB_POLICY_RECORD_FILE of a worker)')
    .option('--cases <file>', 'further cases, one JSON object a line: {"name", "input"}')
    .option('--limit <n>', 'show at most so many', '50')
    .option('--json', 'answer with one JSON document on stdout')
    .addHelpText(
      'after',
      `
The cases are every action by every agent in the situations that rules tell apart, from the data of both policies.
Exits with 0 where no decision changes, and with 1 where one does.

Examples:
  atb policy diff main-bundle.tar.gz policy/dist
  atb policy diff old new --recorded policy-inputs.jsonl --json`,
    )
    .action(async (oldPath: string, newPath: string, options: DiffOptions) => {
      const [before, after] = [await policyAt(oldPath), await policyAt(newPath)];
      const cases = distinct([
        ...policyCases(before.data),
        ...policyCases(after.data),
        ...(options.cases === undefined
          ? []
          : (await readRecorded(options.cases)).map(({ name, input }) => ({ name, input }))),
        ...(options.recorded === undefined ? [] : await readRecorded(options.recorded)),
      ]);
      surroundings.err(`comparing ${cases.length} cases\n`);
      const old = await WasmPolicy.of(before);
      const changes = changesBetween(
        cases,
        ({ input }) => old.evaluate(input, DECISION),
        await WasmPolicy.of(after),
      );
      process.exitCode = answerChanges(surroundings, options, changes, {
        old: before.revision,
        new: after.revision,
        cases: cases.length,
      });
    });

  policy
    .command('replay')
    .argument(
      '[policy]',
      'a bundle, or a folder with policy.wasm and data.json',
      join(policyFolder(), 'dist'),
    )
    .requiredOption('--recorded <file>', 'recorded requests (ATB_POLICY_RECORD_FILE of a worker)')
    .description('decide recorded requests again, and list those whose decision is another one now')
    .option('--limit <n>', 'show at most so many', '50')
    .option('--json', 'answer with one JSON document on stdout')
    .addHelpText(
      'after',
      `
Exits with 0 where every recorded decision comes out again, and with 1 where one does not.

Example:
  atb policy replay policy/dist --recorded policy-inputs.jsonl`,
    )
    .action(async (path: string, options: DiffOptions & { readonly recorded: string }) => {
      const policyNow = await policyAt(path);
      const recorded = await readRecorded(options.recorded);
      const undecided = recorded.filter(({ decision }) => decision === undefined).length;
      if (undecided > 0) throw new UsageError(`${undecided} of the recorded requests carry no decision`);
      const decisions = new Map(recorded.map((one) => [one as PolicyCase, one.decision]));
      const changes = changesBetween(recorded, (one) => decisions.get(one), await WasmPolicy.of(policyNow));
      process.exitCode = answerChanges(surroundings, options, changes, {
        new: policyNow.revision,
        cases: recorded.length,
      });
    });
}

/** What Security is asked to approve. Throws `UsageError` where the bundle is of another source, or a test fails. */
async function approvalOf(bytes: Uint8Array, { built, source }: Sources): Promise<PolicyApproval> {
  const { revision, digest } = openUnverifiedBundle(bytes);
  const ours = packBundle(await readPolicySource(built, source));
  if (ours.revision !== revision) {
    throw new UsageError(`the bundle is policy ${revision}, and its source gives ${ours.revision}`);
  }
  const tested = await testPolicy(source, built);
  if (tested.failed.length > 0) throw new UsageError(`tests fail: ${tested.failed.join(', ')}`);
  return { revision, bundleDigest: digest, tests: { passed: tested.passed, failed: 0 } };
}

/** Throws `UsageError` where what is proposed is not what is here, or its tests do not say here what they are said to. */
async function requireSame(
  proposed: PolicyApproval,
  file: string | undefined,
  sources: Sources,
): Promise<void> {
  if (file === undefined) throw new UsageError('which bundle? Name the file that you reviewed');
  const here = await approvalOf(await read(file), sources);
  if (here.revision !== proposed.revision || here.bundleDigest !== proposed.bundleDigest) {
    throw new UsageError(`the proposal is of policy ${proposed.revision}, and ${file} is ${here.revision}`);
  }
  if (here.tests.passed !== proposed.tests.passed) {
    throw new UsageError(
      `the proposal says that ${proposed.tests.passed} tests passed, and here ${here.tests.passed} did`,
    );
  }
}

function withSources(command: Command): Command {
  return command
    .option('--source <dir>', 'the folder with the Rego files and their tests', policyFolder())
    .option('--built <dir>', 'the built policy that the bundle is of', join(policyFolder(), 'dist'));
}

const AFTER_APPROVAL = `next: commit the bundle as candidate.tar.gz (deploy/gitops/policy), to ask it beside the one that decides:
  atb policy shadow FILE lists what it would decide otherwise; atb policy rollout REVISION --percent N gives it a share`;

/** What to do after a share was signed off. */
function afterRollout(revision: string, percent: number): string {
  if (percent === 0) return `policy ${revision} decides nothing, and is asked beside the one that decides`;
  const back = `back, at once: atb policy rollback ${revision}`;
  return percent < 100
    ? `next: atb policy shadow FILE, and a larger share: atb policy rollout ${revision} --percent N; ${back}`
    : `next: commit candidate.tar.gz in the place of bundle.tar.gz (deploy/gitops/policy), which ends the rollout; ${back}`;
}

const DECISION = 'atb/poa/decision';

function answerChanges(
  surroundings: Surroundings,
  options: { readonly limit: string; readonly json?: boolean },
  changes: readonly Change[],
  about: { readonly old?: string; readonly new: string; readonly cases: number },
): ExitCode {
  if (!/^\d{1,6}$/.test(options.limit)) throw new UsageError('--limit is a whole number');
  const shown = changes.slice(0, Number(options.limit));
  const lines = shown.flatMap(({ name, before, after }) => [visible(name), `  - ${before}`, `  + ${after}`]);
  const sum = `${changes.length} of ${about.cases} decisions change`;
  new Output(surroundings, options.json === true).answer(
    { ...about, changed: changes.length, changes: changes.map((change) => ({ ...change })) },
    [
      ...lines,
      ...(shown.length < changes.length ? [`… and ${changes.length - shown.length} more`] : []),
      sum,
    ].join('\n'),
  );
  return changes.length === 0 ? EXIT.done : EXIT.refused;
}

/** A bundle whatever its signature, or a built folder: to compare, not to decide by. */
async function policyAt(path: string): Promise<Omit<PolicyBundle, 'digest'>> {
  if (!existsSync(path)) throw new UsageError(`there is no policy at ${path}`);
  if (!statSync(path).isDirectory()) return openUnverifiedBundle(await read(path));
  const data = objectIn((await read(join(path, 'data.json'))).toString('utf8'), `${path}/data.json`);
  return {
    data,
    wasm: await read(join(path, 'policy.wasm')),
    revision: typeof data.revision === 'string' ? data.revision : '',
  };
}

/** One case for each question, whoever asks it. */
function distinct(cases: readonly PolicyCase[]): PolicyCase[] {
  return [...new Map(cases.map((one) => [JSON.stringify(one.input), one])).values()];
}

async function signingKey({
  key,
  newKey,
}: SignOptions): Promise<{ privateKey: KeyObject; publicFile: string | null }> {
  let publicFile: string | null = null;
  if (newKey && !existsSync(key)) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    publicFile = `${key}.pub`;
    await writeMadeFile(resolve(publicFile), [publicPem(privateKey)], { mode: 0o644 });
    await writeMadeFile(resolve(key), [privateKey.export({ format: 'pem', type: 'pkcs8' })]);
  }
  try {
    return { privateKey: createPrivateKey(await read(key)), publicFile };
  } catch (cause) {
    throw new UsageError(`${key} is no private key that can be read`, { cause });
  }
}

function publicPem(privateKey: KeyObject): string {
  return createPublicKey(privateKey.export({ format: 'pem', type: 'pkcs8' }))
    .export({ format: 'pem', type: 'spki' })
    .toString();
}

/** Throws `UsageError` where it is something else. */
function objectIn(text: string, place: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isJsonObject(value)) throw new UsageError(`${visible(place)} is no JSON object`);
  return value;
}

/** Throws `UsageError` where it is none. */
async function publicKeyIn(file: string): Promise<string> {
  const pem = (await read(file)).toString('utf8');
  try {
    createPublicKey(pem);
    return pem;
  } catch (cause) {
    throw new UsageError(`${visible(file)} is no public key that can be read`, { cause });
  }
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new UsageError(`${file} cannot be read`, { cause });
  }
}
