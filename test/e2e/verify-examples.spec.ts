import { execFileSync, spawnSync } from 'node:child_process';
import { createHmac, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { transformFileSync } from '@swc/core';
import { loadMandateKeySet, writeNewMandateKeySet } from '../../adapters/jose/mandate-keys';
import type { MandateKeySet } from '../../adapters/jose/mandate-keys';
import { TestStack } from '../support/stack';
import { describeVectors, reportVectors, vectorFiles, vectorJson } from '../support/vectors';

const ISSUER = 'spiffe://corp.example/agentauth';
const AUDIENCE = 'spiffe://corp.example/broker';
const EXAMPLES = resolve('docs/verify');
const CACHE = resolve('.cache/verify');

/** How each example is made ready, and then run. */
const LANGUAGES = {
  TypeScript: () => {
    const { code } = transformFileSync(join(EXAMPLES, 'typescript/verify.ts'), {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    });
    const file = join(CACHE, 'verify.cjs');
    writeFileSync(file, code);
    return [process.execPath, file];
  },
  Python: () => {
    const python = join(CACHE, 'python/bin/python');
    const requirements = join(EXAMPLES, 'python/requirements.txt');
    if (!existsSync(python)) run('python3', ['-m', 'venv', join(CACHE, 'python')]);
    run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
    return [python, join(EXAMPLES, 'python/verify.py')];
  },
  Go: () => {
    const file = join(CACHE, 'verify-go');
    run('go', ['build', '-mod=readonly', '-o', file, '.'], join(EXAMPLES, 'go'));
    return [file];
  },
} as const;

/** Throws where the tool is missing or fails: without it, there is nothing to be sure of. */
function run(command: string, args: readonly string[], cwd = process.cwd()): void {
  execFileSync(command, [...args], { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
}

let stack: TestStack;
let own: MandateKeySet;
let signingKey: ReturnType<typeof createPrivateKey>;
let fresh: string;
let jwks: { keys: Record<string, unknown>[] };

beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true });
  stack = await TestStack.start();
  const issuers = (await stack.nobody().get('/.well-known/jwks.json')).body as typeof jwks;
  // And a key of this test, to sign what AgentAuth never would.
  const folder = join(stack.directory, 'own-keys');
  own = await loadMandateKeySet(await writeNewMandateKeySet(folder));
  signingKey = createPrivateKey(readFileSync(join(folder, `mandate-key-${own.signer.kid}.pem`)));
  jwks = { keys: [...issuers.keys, ...(own.jwks.keys as unknown as typeof jwks.keys)] };
});
afterAll(() => stack.stop());

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const header = () => ({ alg: 'EdDSA', kid: own.signer.kid, typ: 'poa+jwt' });
const claims = () =>
  JSON.parse(Buffer.from(fresh.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;

function forged(head: object, body: unknown, signature?: (input: string) => Buffer): string {
  const input = `${part(head)}.${part(body)}`;
  const made = signature?.(input) ?? sign(null, Buffer.from(input), signingKey);
  return `${input}.${made.toString('base64url')}`;
}

/** What nobody may take for a mandate, by what is wrong with it. */
function forgeries(): Readonly<Record<string, string>> {
  const [head = '', body = '', signature = ''] = fresh.split('.');
  const { exp, ...endless } = claims();
  const now = Math.floor(Date.now() / 1000);
  const other = generateKeyPairSync('ed25519').privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const last = signature.at(-1) ?? '';
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const flipped = LETTERS[LETTERS.indexOf(last) ^ 1] ?? '';
  const publicKey = String(own.jwks.keys[0] && (own.jwks.keys[0] as unknown as { x: string }).x);
  return {
    'no mandate at all': 'nonsense',
    'alg none': `${part({ ...header(), alg: 'none' })}.${body}.`,
    'alg none with a signature': forged({ ...header(), alg: 'none' }, claims()),
    'HS256 with the public key': forged({ ...header(), alg: 'HS256' }, claims(), (input) =>
      createHmac('sha256', Buffer.from(publicKey, 'base64url')).update(input).digest(),
    ),
    ES256: forged({ ...header(), alg: 'ES256' }, claims(), (input) =>
      sign('sha256', Buffer.from(input), { key: ec, dsaEncoding: 'ieee-p1363' }),
    ),
    'another key under our kid': forged(header(), claims(), (input) => sign(null, Buffer.from(input), other)),
    'an unknown kid': forged({ ...header(), kid: 'unknown' }, claims()),
    'a kid with a path': forged({ ...header(), kid: '../../dev/null' }, claims()),
    'no kid': forged({ alg: 'EdDSA', typ: 'poa+jwt' }, claims()),
    'a key of its own': forged({ ...header(), jwk: own.jwks.keys[0] }, claims()),
    crit: forged({ ...header(), crit: ['b64'], b64: true }, claims()),
    'another typ': forged({ ...header(), typ: 'JWT' }, claims()),
    'no typ': forged({ alg: 'EdDSA', kid: own.signer.kid }, claims()),
    'other claims under the signature': `${head}.${part({ ...claims(), act: 'sap.payment.execute' })}.${signature}`,
    'a signature cut short': fresh.slice(0, -4),
    'no signature': `${head}.${body}.`,
    'two signatures': `${fresh}.${signature}`,
    padding: `${fresh}==`,
    'a blank': ` ${fresh}`,
    'other bits in the last letter': fresh.slice(0, -1) + flipped,
    'another issuer': forged(header(), { ...claims(), iss: `${ISSUER}2` }),
    'another audience': forged(header(), { ...claims(), aud: `${AUDIENCE}2` }),
    'two audiences': forged(header(), { ...claims(), aud: [AUDIENCE, 'other'] }),
    'no audience': forged(header(), { ...claims(), aud: undefined }),
    'an end that has come': forged(header(), { ...claims(), iat: now - 100, nbf: now - 100, exp: now - 10 }),
    'a beginning that has not': forged(header(), { ...claims(), nbf: now + 100, exp: now + 200 }),
    'no end': forged(header(), endless),
    'no beginning': forged(header(), { ...claims(), nbf: undefined }),
    'no binding': forged(header(), { ...claims(), cnf: undefined }),
    'no jti': forged(header(), { ...claims(), jti: undefined }),
    'claims that are no object': forged(header(), [claims(), exp]),
  };
}

describe.each(Object.entries(LANGUAGES))('the example in %s', (_, prepare) => {
  let command: readonly string[];
  beforeAll(async () => {
    command = prepare();
    // Only now: to make it ready may take longer than a mandate lives.
    const asked = await stack.as('agent/crm-assistant').post('/issue', { act: 'crm.contact.read' });
    fresh = String(asked.body.mandate);
  }, 600_000);

  /** What the example says of each. */
  function says(mandates: readonly string[], keys: unknown = jwks): readonly string[] {
    const file = join(stack.directory, 'verify-jwks.json');
    writeFileSync(file, JSON.stringify(keys));
    const [program = '', ...args] = command;
    const { status, stdout, stderr } = spawnSync(program, [...args, file, ISSUER, AUDIENCE], {
      input: mandates.map((line) => `${line}\n`).join(''),
      encoding: 'utf8',
    });
    // Some libraries refuse a key set as a whole, before they read anything.
    if (status === 2) return mandates.map(() => 'refused the keys');
    if (status !== 0) throw new Error(stderr);
    return stdout.split('\n').slice(0, -1);
  }

  it('takes a mandate that was just issued, and a good one by the key of this test', () => {
    const good = 'valid spiffe://corp.example/agent/crm-assistant crm.contact.read';
    expect(says([fresh, forged(header(), claims())])).toEqual([good, good]);
  });

  it('refuses every forgery', () => {
    const all = forgeries();
    const answers = says(Object.values(all));
    const taken = Object.keys(all).filter((_, index) => answers[index]?.startsWith('refused ') !== true);
    expect(answers).toHaveLength(Object.keys(all).length);
    expect(taken).toEqual([]);
  });

  describeVectors('and the published vectors', () => {
    it('refuses every one: good signatures over what is no mandate, and bad ones', () => {
      const { testGroups } = vectorJson('wycheproof', 'json_web_key_test.json') as {
        testGroups: { public?: unknown; private?: unknown; tests: { jws: string }[] }[];
      };
      let ran = 0;
      for (const { public: publicKeys, tests } of testGroups) {
        const compact = tests
          .map(({ jws }) => jws)
          .filter((jws) => typeof jws === 'string' && !/\s/.test(jws));
        if (publicKeys === undefined || compact.length === 0) continue;
        const keys = {
          keys: (publicKeys as { keys?: Record<string, unknown>[] }).keys ?? [
            publicKeys as Record<string, unknown>,
          ],
        };
        const known = { keys: keys.keys.map((key) => ({ kid: 'none', ...key })) };
        for (const answer of says(compact, known)) expect(answer).toMatch(/^refused /);
        ran += compact.length;
      }
      const cookbook = vectorFiles('jose-cookbook', 'jws').flatMap((file) => {
        const { output } = vectorJson('jose-cookbook', 'jws', file) as { output?: { compact?: string } };
        return output?.compact ?? [];
      });
      for (const answer of says(cookbook)) expect(answer).toMatch(/^refused /);
      reportVectors('wycheproof and jose-cookbook as mandates', ran + cookbook.length);
      expect(ran + cookbook.length).toBeGreaterThan(10);
    });
  });
});
