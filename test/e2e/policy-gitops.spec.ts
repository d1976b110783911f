import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openUnverifiedBundle } from '../../adapters/opa/bundle';
import type { JsonObject } from '../../domain/json';
import { atbIn } from '../support/atb';
import { eventually } from '../support/eventually';
import { LEG } from '../support/http';
import { approvePolicy } from '../support/policy-approval';
import { aPolicyKey, builtPolicy, signedBundle } from '../support/policy-bundle';
import { TestStack } from '../support/stack';

const AGENT = 'spiffe://corp.example/agent/crm-assistant';
const FILES = ['bundle.tar.gz', 'candidate.tar.gz'] as const;
const key = aPolicyKey();
let folder: string;
let stack: TestStack;
let before: Buffer;
let after: Buffer;

const git = async (...argv: string[]) => {
  const as = ['-c', 'user.name=Policy', '-c', 'user.email=policy@corp.example', '-c', 'commit.gpgsign=false'];
  await promisify(execFile)('git', [...as, ...argv], { cwd: join(folder, 'repository') });
};
const inRepository = (name: string) => join(folder, 'repository', name);
const mounted = (name: string) => join(folder, 'mount', name);

/** What Argo CD or Flux and the kubelet do: the main branch's files, mounted as a ConfigMap is, whole or not at all. */
async function sync(): Promise<void> {
  const version = `..${randomBytes(6).toString('hex')}`;
  await mkdir(mounted(version), { recursive: true });
  for (const name of FILES) await copyFile(inRepository(name), join(mounted(version), name));
  await symlink(version, mounted('..next'));
  await rename(mounted('..next'), mounted('..data'));
}

async function commit(
  files: Partial<Record<(typeof FILES)[number], Uint8Array>>,
  why: string,
): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) await writeFile(inRepository(name), bytes);
  await git('add', '.');
  await git('commit', '--quiet', '--message', why);
  await sync();
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-gitops-'));
  await mkdir(join(folder, 'repository'));
  await git('init', '--quiet', '--initial-branch=main');
  before = await signedBundle(key);
  const agents = structuredClone((await builtPolicy()).data.agents) as Record<string, JsonObject>;
  after = await signedBundle(key, {
    agents: { ...agents, [AGENT]: { ...agents[AGENT], state: 'suspended' } },
  });
  await commit({ 'bundle.tar.gz': before, 'candidate.tar.gz': before }, 'The policy to begin with');
  for (const name of FILES) await symlink(join('..data', name), mounted(name));
  await writeFile(join(folder, 'public.pem'), key.publicPem);
  stack = await TestStack.start({
    ...{ ATB_POLICY_POLL_SECONDS: '1', ATB_POLICY_PUBLIC_KEY_FILE: join(folder, 'public.pem') },
    ATB_POLICY_BUNDLE_FILE: mounted('bundle.tar.gz'),
    ATB_POLICY_CANDIDATE_FILE: mounted('candidate.tar.gz'),
  });
});

afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

const asked = async () =>
  (
    await stack.as('agent/crm-assistant').post('/issue', {
      act: 'crm.contact.read',
      con: { params: { contact_id: 'C-42' } },
      leg: LEG as JsonObject,
    })
  ).status;

async function metrics(): Promise<string> {
  return (await fetch(`${stack.stack.agentauthAdminUrl}/metrics`)).text();
}

const until = (isSo: () => Promise<boolean>) => eventually(isSo, (so) => so);

const decides = (bytes: Uint8Array) => async () =>
  (await metrics()).includes(`atb_policy_revision{revision="${openUnverifiedBundle(bytes).revision}"} 1`);

/** From an approved bundle to all requests, by commits of a real repository and the commands that are told (operating model §2.3). */
describe('a policy that is delivered by commits', () => {
  const rollOut = async (percent: string) => {
    const { revision } = openUnverifiedBundle(after);
    const word = ['--as', 'person/grace', '--reason', 'as it is told', '--yes'];
    const { exit, err } = await atbIn(stack.directory, [
      ...['policy', 'rollout', revision, '--percent', percent, ...word],
    ]);
    expect(exit).toBe(0);
    await until(async () => (await metrics()).includes(`atb_policy_canary_percent ${percent}`));
    return err;
  };

  it('is asked beside the other as the candidate, decides all of a share of 100, and then is committed in its place', async () => {
    await approvePolicy(stack, openUnverifiedBundle(after));
    await commit({ 'candidate.tar.gz': after }, 'Try the policy on live requests');
    await until(async () => {
      expect(await asked()).toBe(201);
      return (await metrics()).includes('atb_policy_shadow_total{outcome="different"}');
    });
    expect(await rollOut('10')).toContain('a larger share: atb policy rollout');
    expect(await rollOut('100')).toContain('commit candidate.tar.gz in the place of bundle.tar.gz');
    expect(await asked()).toBe(403);
    await commit({ 'bundle.tar.gz': after }, 'Roll the policy out');
    await until(decides(after));
    // The rollout is over: what was said of the share counts no more.
    await until(async () => (await metrics()).includes('atb_policy_canary_percent 0'));
    expect(await asked()).toBe(403);
  });

  it('is rolled back by reverting the commit, though it had a share of 100 before', async () => {
    await git('revert', '--no-edit', 'HEAD');
    await sync();
    await until(decides(before));
    for (let tries = 0; tries < 5; tries++) expect(await asked()).toBe(201);
    expect(await metrics()).toContain('atb_policy_canary_percent 0');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await asked()).toBe(201);
  });

  it('is rolled back by reverting the commit of the candidate, while it decides a share', async () => {
    await rollOut('100');
    expect(await asked()).toBe(403);
    await git('revert', '--no-edit', 'HEAD~2');
    await sync();
    await until(async () => (await asked()) === 201);
  });
});
