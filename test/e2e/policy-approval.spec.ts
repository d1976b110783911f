import { createPrivateKey } from 'node:crypto';
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openUnverifiedBundle, packBundle, signBundle } from '../../adapters/opa/bundle';
import { AGENTAUTH_ID, BROKER_ID } from '../../apps/atb/dev/example-company';
import { startBroker } from '../../apps/broker/broker';
import { brokerConfiguration } from '../../apps/broker/configuration';
import { operationsConfiguration } from '../../apps/operations/configuration';
import { startOperations } from '../../apps/operations/operations';
import { registrationConfiguration } from '../../apps/registration/configuration';
import { startRegistration } from '../../apps/registration/registration';
import type { JsonObject } from '../../domain/json';
import { freePortBase, portsFrom } from '../../apps/atb/dev/ports';
import { SILENT } from '../../apps/atb/dev/progress';
import { startStack } from '../../apps/atb/dev/stack';
import { atbIn } from '../support/atb';
import { Apart } from '../support/apart';
import { builtPolicy } from '../support/policy-bundle';
import { approvePolicy, policyProposal } from '../support/policy-approval';
import { Signer } from '../support/signer';
import { changedPolicy } from '../support/policy';
import { TestStack } from '../support/stack';
import { eventually } from '../support/eventually';

let stack: TestStack;
let heidi: Signer;
let dave: Signer;
let genesis: string;

beforeAll(async () => {
  stack = await TestStack.start({ ATB_POLICY_POLL_SECONDS: '1' });
  heidi = new Signer(stack, 'person/heidi', 'team_lead');
  dave = new Signer(stack, 'person/dave', 'security_lead');
  genesis = await deciding();
});

afterAll(() => stack.stop());

const bundleFile = (directory = stack.directory) => join(directory, 'policy', 'bundle.tar.gz');

/** The built policy with other data, signed with the key that all processes trust: as somebody with the repository can. */
async function aBundle(
  data: JsonObject,
  directory = stack.directory,
): Promise<{ bytes: Buffer; revision: string; digest: string }> {
  const source = await builtPolicy();
  const { bytes } = packBundle({ ...source, data: { ...source.data, ...data } });
  const privateKey = createPrivateKey(await readFile(join(directory, 'policy', 'signing-key.pem')));
  const { revision, digest } = openUnverifiedBundle(bytes);
  return { bytes: await signBundle(bytes, { privateKey, keyId: 'policy' }), revision, digest };
}

async function deliver(bytes: Uint8Array, directory = stack.directory): Promise<void> {
  const file = bundleFile(directory);
  await writeFile(`${file}.next`, bytes);
  await rename(`${file}.next`, file);
}

async function deciding(): Promise<string> {
  const { body } = await stack.as('agent/crm-assistant').post('/plan', { act: 'crm.contact.read' });
  return String(body.policy_revision);
}

const decides = (revision: string) => eventually(deciding, (now) => now === revision);

async function refusals(revision: string) {
  const ledger = await stack.ledger();
  const events = await ledger.events({ type: 'policy_refused', limit: 1_000 });
  return events.filter(({ data }) => (data.detail as string).includes(revision));
}

/** Resolves once worker and broker have said that they do not take it. */
const isRefused = (revision: string) =>
  eventually(
    () => refusals(revision),
    ({ length }) => length >= 2,
  );

describe('a policy bundle (operating model §2.3)', () => {
  it('that Security has not approved decides nothing, whoever signed it: the old one stays, and log and metrics say so', async () => {
    const { bytes, revision } = await aBundle({ more: 'unapproved' });
    await deliver(bytes);
    await isRefused(revision);
    expect(await deciding()).toBe(genesis);
    const events = await refusals(revision);
    expect(events[0]).toMatchObject({ reasons: ['policy_not_approved'], data: { stays: genesis } });
    const metrics = await (await fetch(`${stack.stack.agentauthAdminUrl}/metrics`)).text();
    expect(metrics).toMatch(/atb_policy_changes_total\{change="refused"\} [1-9]/);
    // It is looked at again and again, and told once.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await refusals(revision)).toHaveLength(2);
  });

  it('decides once Security has approved exactly it, and the one before decides again when it is delivered', async () => {
    const { bytes, revision, digest } = await aBundle({ more: 'approved' });
    await deliver(bytes);
    await isRefused(revision);
    const proposed = policyProposal({ revision, digest });
    const id = String((await heidi.propose(proposed)).body.proposal_id);
    expect(await heidi.signOff(id, proposed, 'security_review')).toMatchObject({ status: 403 });
    expect(await deciding()).toBe(genesis);
    expect((await dave.signOff(id, proposed, 'security_review')).body).toMatchObject({ state: 'approved' });
    await decides(revision);

    // The commit is reverted: the policy of before needs no other approval.
    const before = await aBundle({});
    expect(before.revision).toBe(genesis);
    await deliver(before.bytes);
    await decides(genesis);
  });

  it('that was changed by one byte after its approval decides nothing', async () => {
    const { bytes, revision, digest } = await aBundle({ more: 'reviewed' });
    const proposed = policyProposal({ revision, digest });
    const id = String((await heidi.propose(proposed)).body.proposal_id);
    await dave.signOff(id, proposed, 'security_review');
    const changed = await aBundle({ more: 'reviewee' });
    await deliver(changed.bytes);
    await isRefused(changed.revision);
    // And one whose revision was approved with another digest.
    const other = await aBundle({ more: 'digest' });
    const wrong = policyProposal({ revision: other.revision, digest });
    const wrongId = String((await heidi.propose(wrong)).body.proposal_id);
    await dave.signOff(wrongId, wrong, 'security_review');
    await deliver(other.bytes);
    await isRefused(other.revision);
    expect(await deciding()).toBe(genesis);
    await deliver(bytes);
    await decides(revision);
    await deliver((await aBundle({})).bytes);
    await decides(genesis);
  });

  it('is proposed with green tests only', async () => {
    const { revision, digest } = await aBundle({ more: 'red' });
    for (const tests of [{ passed: 261, failed: 1 }, { passed: 0, failed: 0 }, {}]) {
      expect(await heidi.propose(policyProposal({ revision, digest }, tests))).toMatchObject({
        status: 400,
        body: { code: 'proposal_malformed' },
      });
    }
  });

  it('is proposed and approved by commands, which run opa test', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'atb-bundle-')), 'bundle.tar.gz');
    const { bytes, revision } = await aBundle({});
    await writeFile(file, bytes);
    const proposed = await atb(
      'policy',
      'propose',
      file,
      '--as',
      'person/heidi',
      '--reason',
      'as it is',
      '--json',
    );
    expect(proposed).toMatchObject({ code: 0 });
    const { proposal_id: id } = JSON.parse(proposed.out) as { proposal_id: string };
    expect(id).toContain(`policy_bundle.${revision}.`);
    const word = ['--as', 'person/dave', '--reason', 'read it', '--yes'];
    const untested = await atb('proposal', 'sign', id, ...word);
    expect(untested).toMatchObject({
      code: 64,
      err: expect.stringContaining('its own command, which tests it'),
    });
    const approved = await atb('policy', 'approve', id, file, ...word);
    expect(approved.out).toContain('is approved');
    expect(approved.err).toContain('next: commit the bundle as candidate.tar.gz');
    await writeFile(file, (await aBundle({ more: 'else' })).bytes);
    const other = await atb('policy', 'propose', file, '--as', 'person/heidi', '--reason', 'x');
    expect(other).toMatchObject({ code: 64, err: expect.stringContaining('its source gives') });
  });
});

describe('a policy of which a test fails', () => {
  const word = ['--reason', 'x', '--yes'];
  let file: string;
  let red: string;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atb-red-'));
    file = join(folder, 'bundle.tar.gz');
    await writeFile(file, (await aBundle({})).bytes);
    red = join(folder, 'policy');
    await cp('policy', red, { recursive: true });
    await writeFile(join(red, 'atb', 'red_test.rego'), 'package atb.red_test\n\ntest_red if false\n');
  });

  it('is not proposed', async () => {
    const proposed = await atb('policy', 'propose', file, '--as', 'person/heidi', ...word, '--source', red);
    expect(proposed).toMatchObject({
      code: 64,
      err: expect.stringContaining('tests fail: data.atb.red_test'),
    });
  });

  it.each([
    ['a test that fails', () => ['--source', red], 'tests fail: data.atb.red_test'],
    ['other tests than are told of', () => [], 'the proposal says that 9999 tests passed, and here'],
  ])(
    'is not approved though its proposal says that all is well: %s (attack: a forged result)',
    async (_, source, why) => {
      const { revision, digest } = await aBundle({});
      const proposed = policyProposal({ revision, digest }, { passed: 9_999, failed: 0 });
      const id = String((await heidi.propose(proposed)).body.proposal_id);
      const dave = ['--as', 'person/dave', ...word];
      const approved = await atb('policy', 'approve', id, file, ...dave, ...source());
      expect(approved).toMatchObject({ code: 64, err: expect.stringContaining(why) });
      expect((await stack.as('person/dave').get(`/proposals/${id}`)).body).toMatchObject({
        ...{ state: 'pending', words: [] },
      });
      // To say no, nothing has to be tested.
      expect((await atb('policy', 'approve', id, '--reject', ...dave)).code).toBe(0);
    },
  );

  it('is not approved by the proposal of another bundle', async () => {
    const { revision, digest } = await aBundle({ more: 'green' });
    const id = String((await heidi.propose(policyProposal({ revision, digest }))).body.proposal_id);
    const approved = await atb('policy', 'approve', id, file, '--as', 'person/dave', ...word);
    expect(approved).toMatchObject({ code: 64, err: expect.stringContaining(`is of policy ${revision}`) });
  });
});

describe('a process of its own', () => {
  it.each(['worker', 'agentauth'] as const)(
    'starts with no other policy than the one before, or one that was approved: %s',
    async (name) => {
      const { bytes, revision } = await aBundle({ more: `while ${name} was down` }, apart.directory);
      await deliver(bytes, apart.directory);
      const { code, said } = await apart.once(name);
      expect(code).toBe(1);
      expect(said).toContain(`Security has not approved policy ${revision}`);
    },
  );

  it('forecasts by the old policy until Security has approved the new one: AgentAuth, which asks the worker', async () => {
    const revisionOf = async () =>
      (await apart.as('agent/crm-assistant').post('/plan', { act: 'crm.contact.read' })).body.policy_revision;
    expect(await revisionOf()).toBe(genesis);
    const approved = await aBundle({ more: 'apart' }, apart.directory);
    await approvePolicy(apart, approved);
    await deliver(approved.bytes, apart.directory);
    await eventually(revisionOf, (now) => now === approved.revision);
  });

  let apart: Apart;
  beforeAll(async () => {
    apart = await Apart.start({ ATB_POLICY_POLL_SECONDS: '1' });
  });
  afterAll(() => apart.stop());
});

describe('a process with the way to the database', () => {
  const at = (name: string) => join(stack.directory, name);
  const throwing = (error: unknown) => {
    throw error;
  };
  const environment = () => ({
    ...{ ATB_REGISTRATION_PORT: '0', ATB_TRUST_BUNDLE_FILE: stack.trustBundle },
    ATB_TLS_CERT_FILE: at('identities/agentauth/cert.pem'),
    ATB_TLS_KEY_FILE: at('identities/agentauth/key.pem'),
    ATB_PERSON_CA_CERT_FILE: at('corp.example.pem'),
    ATB_PERSON_CA_KEY_FILE: at('ca-key.pem'),
    ATB_DATABASE_URL_FILE: at('database-url'),
    ATB_AUDIT_KEYS_FILE: at('audit-keys.json'),
    ATB_CODEC_KEYS_FILE: at('codec-keys.json'),
    ATB_POLICY_BUNDLE_FILE: bundleFile(),
    ATB_POLICY_PUBLIC_KEY_FILE: at('policy/public-key.pem'),
    ...{ ATB_TEMPORAL_ADDRESS: stack.stack.temporalAddress, ATB_OPERATIONS_ADMIN_PORT: '0' },
    ATB_OPERATIONS_FILE: 'deploy/operations/operations.json',
    ...{ ATB_ISSUER: AGENTAUTH_ID, ATB_AUDIENCE: BROKER_ID, ATB_TICKETS_FILE: at('tickets.json') },
    ...{ ATB_BROKER_PORT: '0', ATB_BROKER_ADMIN_PORT: '0', ATB_CONNECTORS_DIR: at('connectors') },
    ATB_BROKER_TLS_CERT_FILE: at('identities/broker/cert.pem'),
    ATB_BROKER_TLS_KEY_FILE: at('identities/broker/key.pem'),
    ATB_BROKER_JWKS_URL: `${stack.stack.agentauthUrl}/.well-known/jwks.json`,
    ATB_BROKER_JWKS_CA_FILE: stack.trustBundle,
  });
  /** Each with the way to end it. */
  const starting: Readonly<Record<string, () => Promise<() => Promise<void>>>> = {
    registration: async () => {
      const started = await startRegistration(registrationConfiguration(environment()));
      return () => started.close();
    },
    broker: async () => {
      const parts = { environment: environment(), onDefect: throwing };
      const started = await startBroker(brokerConfiguration(parts.environment), parts);
      return () => started.close();
    },
    operations: async () => {
      const started = await startOperations(operationsConfiguration(environment()), throwing);
      return () => started.stop();
    },
  };

  it.each(Object.keys(starting))(
    'starts with a policy that was approved, and with no other: %s',
    async (name) => {
      const { bytes, revision } = await aBundle({ more: `for the ${name}` });
      await deliver(bytes);
      await expect(starting[name]?.()).rejects.toMatchObject({
        code: 'configuration_invalid',
        message: expect.stringContaining(`Security has not approved policy ${revision}`),
      });
      await deliver((await aBundle({})).bytes);
      const stop = await starting[name]?.();
      await stop?.();
    },
  );
});

describe('a development stack that finds another policy than the one that decides', () => {
  it('has its own people approve it, and starts with it then', async () => {
    const stateDirectory = await mkdtemp(join(tmpdir(), 'atb-again-'));
    const starting = async (environment: Record<string, string> = {}) =>
      startStack({
        ...{ stateDirectory, environment, progress: SILENT, ports: portsFrom(await freePortBase()) },
        onFatal: (error) => {
          throw error;
        },
      });
    await (await starting()).stop();
    const policy = await changedPolicy((data) => {
      data.requests.poll.interval_seconds += 1;
    });
    const again = await starting({ ATB_POLICY_DIR: policy });
    try {
      const { revision } = openUnverifiedBundle(await readFile(bundleFile(stateDirectory)));
      expect(revision).not.toBe(genesis);
      const metrics = await (await fetch(`${again.agentauthAdminUrl}/metrics`)).text();
      expect(metrics).toContain(`atb_policy_revision{revision="${revision}"} 1`);
    } finally {
      await again.stop();
      await rm(stateDirectory, { recursive: true, force: true });
    }
  });
});

async function atb(...argv: string[]) {
  const { exit: code, ...said } = await atbIn(stack.directory, argv);
  return { code, ...said };
}
