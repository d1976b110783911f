import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BundlePolicy } from '../../adapters/opa/bundle-policy';
import { PolicyRecorder, withoutPersonalData } from '../../adapters/opa/policy-recorder';
import type { JsonObject } from '../../domain/json';
import type { PolicyInput } from '../../domain/policy';
import { runAtb } from '../support/atb';

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atb-policy-commands-'));
});

afterAll(async () => {
  process.exitCode = 0;
  await rm(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function atb(argv: readonly string[], answers?: Record<string, string>): Promise<Ended> {
  const asked = answers && ((question: string) => Promise.resolve(answers[question.split(':')[0]!] ?? ''));
  const environment = { ATB_STATE_DIR: at('nowhere') };
  const { exit: code, ...said } = await runAtb(argv, { environment, ask: asked });
  return { code, ...said };
}

/** The built policy with a change of its data. */
async function changedBuild(name: string, change: (data: JsonObject) => JsonObject): Promise<string> {
  const target = await mkdtemp(at(`${name}-`));
  await copyFile('policy/dist/policy.wasm', join(target, 'policy.wasm'));
  const data = JSON.parse(await readFile('policy/dist/data.json', 'utf8')) as JsonObject;
  await writeFile(join(target, 'data.json'), JSON.stringify(change(data)));
  return target;
}

const highNeedsThree = (data: JsonObject): JsonObject => {
  const tiers = data.tiers as Record<string, JsonObject>;
  return { ...data, tiers: { ...tiers, high: { ...tiers.high, approvals: 3 } } };
};

describe('atb policy sign', () => {
  it('makes a key, signs, and what it signed is taken by a process with the public key', async () => {
    const signed = await atb([
      'policy',
      'sign',
      '--key',
      at('key.pem'),
      '--new-key',
      '--out',
      at('b.tar.gz'),
      '--json',
    ]);
    expect(signed).toMatchObject({ code: 0, err: '' });
    const { revision, public_key: publicKey } = JSON.parse(signed.out) as Record<string, string>;
    expect((await stat(at('key.pem'))).mode & 0o077).toBe(0);
    const policy = await BundlePolicy.open({
      bundleFile: at('b.tar.gz'),
      publicKeyFile: publicKey!,
      pollSeconds: 60,
    });
    expect(policy.revision).toBe(revision);
    await policy.close();
    expect((await atb(['policy', 'verify', at('b.tar.gz'), '--public-key', publicKey!])).out).toContain(
      revision,
    );
  });

  it('says what is wrong with a file that is none of what it should be', async () => {
    const bundle = at('named.tar.gz');
    await atb(['policy', 'sign', '--key', at('named.pem'), '--new-key', '--out', bundle]);
    await writeFile(at('nothing'), '');
    await writeFile(at('broken'), '{"time":1}\n{"ti\n');
    await writeFile(at('cut-short'), '{"time":"T","action":"a","decided":1,"other":2}\n{"ti');
    for (const [argv, said] of [
      [['verify', bundle, '--public-key', at('nothing')], 'is no public key'],
      [['sign', '--key', at('named.pem'), '--out', at('nowhere/b.tar.gz')], 'cannot be written'],
      [['shadow', at('broken')], ':2 is no JSON object'],
    ] as const) {
      const { code, err } = await atb(['policy', ...argv]);
      expect({ code, err }).toEqual({ code: 64, err: expect.stringContaining(said) as string });
    }
    // What a worker is just writing is no fault.
    expect(await atb(['policy', 'shadow', at('cut-short')])).toMatchObject({
      code: 0,
      out: expect.stringContaining('1 decisions differ') as string,
    });
  });

  it('names the same revision for the same policy, and exits with 1 for a bundle of another key', async () => {
    const [one, other] = await Promise.all(
      ['one', 'other'].map((name) =>
        atb(['policy', 'sign', '--key', at(`${name}.pem`), '--new-key', '--out', at(`${name}.gz`), '--json']),
      ),
    );
    expect(JSON.parse(one!.out)).toMatchObject({ revision: (JSON.parse(other!.out) as JsonObject).revision });
    const refused = await atb([
      'policy',
      'verify',
      at('one.gz'),
      '--public-key',
      at('other.pem.pub'),
      '--json',
    ]);
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.out)).toMatchObject({ code: 'policy_bundle_refused' });
  });

  it.each([
    [['policy', 'sign', '--key', '/nowhere/key.pem', '--out', '/tmp/x']],
    [['policy', 'sign', '--out', '/tmp/x']],
    [['policy', 'verify', '/nowhere', '--public-key', 'package.json']],
    [['policy', 'diff', '/nowhere', 'policy/dist']],
    [['policy', 'replay']],
    [['policy', 'replay', '--recorded', '/nowhere']],
    [['policy', 'replay', '--recorded', 'package.json']],
  ])('%j is wrong use', async (argv) => {
    expect((await atb(argv)).code).toBe(64);
  });
});

describe('atb policy diff', () => {
  it('finds nothing between a policy and itself, as a folder and as a bundle', async () => {
    await atb(['policy', 'sign', '--key', at('d.pem'), '--new-key', '--out', at('d.gz')]);
    const { code, out } = await atb(['policy', 'diff', 'policy/dist', at('d.gz'), '--json']);
    expect([code, (JSON.parse(out) as JsonObject).changed]).toEqual([0, 0]);
  });

  it('lists every case whose decision changes, and no other', async () => {
    const changed = await changedBuild('three', highNeedsThree);
    const { code, out } = await atb(['policy', 'diff', 'policy/dist', changed, '--json']);
    expect(code).toBe(1);
    const { changes } = JSON.parse(out) as { changes: { name: string; before: string; after: string }[] };
    expect(changes.length).toBeGreaterThan(50);
    const data = JSON.parse(await readFile('policy/dist/data.json', 'utf8')) as {
      catalogue: { actions: Record<string, { tier: string }> };
    };
    for (const { name, before, after } of changes) {
      const action = name.split(/[ :]/)[1]!;
      expect(['high', 'critical']).toContain(
        after.match(/tier (\w+)/)?.[1] ?? data.catalogue.actions[action]?.tier,
      );
      expect(before).not.toBe(after);
    }
    expect(changes.some(({ name }) => name.includes('sap.payment.execute'))).toBe(true);
    const words = await atb(['policy', 'diff', 'policy/dist', changed, '--limit', '1']);
    expect(words.out).toMatch(/\d+ of \d+ decisions change\n$/);
  });

  it('tells of an action that is new, or gone', async () => {
    const gone = await changedBuild('gone', (data) => {
      const catalogue = structuredClone(data.catalogue) as { actions: Record<string, unknown> };
      Reflect.deleteProperty(catalogue.actions, 'crm.contact.read');
      return { ...data, catalogue } as JsonObject;
    });
    for (const [from, to] of [
      ['policy/dist', gone],
      [gone, 'policy/dist'],
    ] as const) {
      const { out } = await atb(['policy', 'diff', from, to, '--json']);
      const { changes } = JSON.parse(out) as { changes: { name: string }[] };
      expect(changes.length).toBeGreaterThan(0);
      expect(changes.every(({ name }) => name.includes('crm.contact.read'))).toBe(true);
    }
  });
});

describe('recorded requests', () => {
  const asked = (amount: number, more: object = {}): PolicyInput => ({
    subject: { id: 'spiffe://corp.example/agent/finance-bot' },
    action: { name: 'sap.payment.execute' },
    context: {
      params: { amount, whose: 'Mallory' },
      limits: {},
      leg: {
        ...{ basis: 'CONSENT', data_subject: 'user@example.com', purpose: 'billing', ref: 'CONSENT-1' },
        accountable_party: { type: 'employee', id: 'emp-100' },
      },
      ticket: null,
      ticketFact: null,
      requiresDualControl: false,
      approvers: [],
      ttlSeconds: null,
      verdicts: [],
      climbed: [],
      now: 1_772_625_600,
      ...more,
    },
  });

  it('are replayed: the same policy decides them alike, another one where it differs; no personal data is kept', async () => {
    await atb(['policy', 'sign', '--key', at('r.pem'), '--new-key', '--out', at('r.gz')]);
    const recorder = new PolicyRecorder(at('recorded.jsonl'), (error) => {
      throw error;
    });
    const files = { bundleFile: at('r.gz'), publicKeyFile: at('r.pem.pub'), pollSeconds: 60, recorder };
    const policy = await BundlePolicy.open(files);
    await policy.decide(asked(5));
    await policy.snapshot().decide(asked(7));
    await new Promise((go) => setImmediate(go));
    await policy.close();
    const text = await readFile(at('recorded.jsonl'), 'utf8');
    expect(text.trim().split('\n')).toHaveLength(2);
    expect(text).not.toMatch(/example\.com|Mallory|emp-100|CONSENT-1/);
    expect((await stat(at('recorded.jsonl'))).mode & 0o077).toBe(0);
    expect((await atb(['policy', 'replay', 'policy/dist', '--recorded', at('recorded.jsonl')])).code).toBe(0);
    const dearer = await changedBuild('dearer', (data) => {
      const catalogue = structuredClone(data.catalogue) as { actions: Record<string, { tier: string }> };
      catalogue.actions['sap.payment.execute']!.tier = 'critical';
      return { ...data, catalogue };
    });
    const { code, out } = await atb([
      'policy',
      'replay',
      dearer,
      '--recorded',
      at('recorded.jsonl'),
      '--json',
    ]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ cases: 2, changed: 2 });
  });

  it('keep what the rules need: amounts, kinds and codes', () => {
    const data = { catalogue: { actions: { 'x.y': { params: { amount: {}, name: { personal: true } } } } } };
    const input = {
      action: { name: 'x.y' },
      context: {
        params: { amount: 5, name: 'Eve', other: 1 },
        leg: { basis: 'LI', jurisdiction: 'EU', ref: '' },
        now: 1,
      },
    };
    expect(withoutPersonalData(input, data)).toEqual({
      action: { name: 'x.y' },
      context: {
        params: { amount: 5, name: 'redacted', other: 'redacted' },
        leg: { basis: 'LI', jurisdiction: 'EU', ref: '' },
        now: 1,
      },
    });
  });
});

describe('atb template', () => {
  const contract = [
    '--set',
    'jurisdiction=EU',
    '--set',
    'accountable_party=employee:emp-100',
    '--set',
    'ref=MSA-12345',
  ];

  it('lists the four of operating model §4', async () => {
    const { out } = await atb(['template', 'ls', '--json']);
    const { templates } = JSON.parse(out) as { templates: { basis: string }[] };
    expect(templates.map(({ basis }) => basis).sort()).toEqual(['CONSENT', 'CONTRACT', 'LEGAL', 'LI']);
    expect((await atb(['template', 'ls'])).out).toMatch(/consent +CONSENT +.*data_subject, purpose/);
  });

  it('shows one with its fields', async () => {
    const { out } = await atb(['template', 'show', 'consent']);
    expect(out).toMatch(/data_subject +yes/);
  });

  it('fills one in, and prints the leg', async () => {
    const { code, out } = await atb(['template', 'use', 'contract', ...contract]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      basis: 'CONTRACT',
      jurisdiction: 'EU',
      accountable_party: { type: 'employee', id: 'emp-100' },
      ref: 'MSA-12345',
    });
  });

  it('names everything that is missing, unknown or malformed at once, and prints nothing', async () => {
    const { code, out, err } = await atb([
      'template',
      'use',
      'consent',
      '--set',
      'jurisdiction=Europe',
      '--set',
      'approval=bob',
    ]);
    expect([code, out]).toEqual([64, '']);
    for (const field of ['jurisdiction', 'accountable_party', 'ref', 'data_subject', 'purpose', 'approval']) {
      expect(err).toContain(field);
    }
  });

  it('asks a person at a terminal for what is missing, and for nothing else', async () => {
    const { code, out } = await atb(['template', 'use', 'contract', '--set', 'ref=MSA-1'], {
      jurisdiction: 'DE',
      accountable_party: 'team:finance',
      ref: 'never asked',
    });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      ref: 'MSA-1',
      jurisdiction: 'DE',
      accountable_party: { id: 'finance' },
    });
  });

  it('does not know others', async () => {
    expect(await atb(['template', 'show', 'blank-cheque'])).toMatchObject({ code: 64 });
  });
});
