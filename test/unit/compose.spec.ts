import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { HANDOFF_PATH } from '../../adapters/opa/bundle-handoff';
import { sidecarArguments } from '../../adapters/opa/sidecar-server';
import { readOperations } from '../../adapters/operations/definitions';
import { agentAuthConfiguration } from '../../apps/agentauth/configuration';
import { brokerConfiguration } from '../../apps/broker/configuration';
import { logConfiguration } from '../../apps/log/configuration';
import { operationsConfiguration } from '../../apps/operations/configuration';
import { workerConfiguration } from '../../apps/worker/configuration';

interface Service {
  readonly build?: { readonly target: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly read_only?: boolean;
  readonly command?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
}

const compose = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly networks: Readonly<Record<string, unknown>>;
};

function service(name: string): Service {
  const found = compose.services[name];
  if (!found) throw new Error(`there is no service ${name}`);
  return found;
}

const environmentOf = (name: string) => service(name).environment ?? {};

describe.each<[string, (variables: Readonly<Record<string, string>>) => unknown, number]>([
  ['agentauth', agentAuthConfiguration, 9464],
  ['worker', workerConfiguration, 9465],
  ['broker', brokerConfiguration, 9466],
  ['log', logConfiguration, 9468],
  ['operations', operationsConfiguration, 9469],
])('the service %s of the compose file', (name, configuration, adminPort) => {
  it('is told all that its process must know', () => {
    expect(() => configuration(environmentOf(name))).not.toThrow();
  });

  it('has each file that its settings name', () => {
    const { secrets = [], volumes = [] } = service(name);
    const mounted = volumes.map((volume) => volume.split(':')[1] ?? '');
    for (const [setting, path] of Object.entries(environmentOf(name))) {
      if (!/_(?:FILE|DIR)$/.test(setting) || path === '') continue;
      const secret = /^\/run\/secrets\/(.+)$/.exec(path)?.[1];
      const isThere =
        secret === undefined ? mounted.some((folder) => path.startsWith(folder)) : secrets.includes(secret);
      expect([setting, isThere]).toEqual([setting, true]);
    }
  });

  it('is asked whether it is ready, and Prometheus finds it there', () => {
    expect(service(name).healthcheck?.test.join(' ')).toContain(`127.0.0.1:${adminPort}/readyz`);
    expect(readFileSync('deploy/prometheus/prometheus.yml', 'utf8')).toContain(`'${name}:${adminPort}'`);
  });

  it('writes nowhere but where it is told, and is built from an image of its own', () => {
    expect(service(name).read_only).toBe(true);
    expect(readFileSync('Dockerfile', 'utf8')).toContain(`AS ${service(name).build?.target}\n`);
  });
});

describe('the secrets of the compose file', () => {
  it('are each declared, told of in their README, and read by somebody', () => {
    const used = new Set(Object.values(compose.services).flatMap(({ secrets = [] }) => secrets));
    const told = readFileSync('deploy/secrets/README.md', 'utf8');
    expect([...used].sort()).toEqual(Object.keys(compose.secrets).sort());
    for (const { file } of Object.values(compose.secrets)) {
      const name = file.replace('./deploy/secrets/', '');
      // `a_cert.pem`, `_key.pem` stands for both.
      const isTold = [name, name.replace(/_key\.pem$/, '_cert.pem')].some((one) =>
        told.includes(`\`${one}\``),
      );
      expect([name, isTold]).toEqual([name, true]);
    }
  });

  it('of the signing key are the worker’s alone', () => {
    const holders = Object.entries(compose.services).filter(([, { secrets = [] }]) =>
      secrets.some((secret) => secret.startsWith('signing_key')),
    );
    expect(holders.map(([name]) => name)).toEqual(['worker']);
  });
});

describe('the OPA sidecar of the compose file', () => {
  it('gets its bundle from its worker alone, with the token, and verifies the signature', () => {
    const { sidecar } = workerConfiguration(environmentOf('worker')).policy;
    const { command = [], secrets } = service('opa');
    const bundle = {
      ...{ server: `http://127.0.0.1:${sidecar?.bundlePort}`, path: HANDOFF_PATH },
      tokenFile: sidecar?.tokenFile ?? '',
    };
    const wanted = sidecarArguments({
      ...{ bundle, keyId: 'policy', port: 8181, publicKeyFile: '/run/secrets/policy_public_key' },
    }).filter((argument) => !argument.startsWith('--log-level'));
    expect([...command].filter((argument) => !argument.startsWith('--log-level')).sort()).toEqual(
      wanted.sort(),
    );
    expect(secrets).toEqual(['opa_token', 'policy_public_key']);
    expect(sidecar?.url).toBe('http://127.0.0.1:8181');
  });
});

describe('what carries changes out', () => {
  it('is alone with the way to production, and nobody reaches it from the host', () => {
    const there = Object.entries(compose.services).filter(([, { networks = [] }]) =>
      networks.includes('production'),
    );
    expect(there.map(([name]) => name)).toEqual(['operations']);
    expect(service('operations')).not.toHaveProperty('ports');
  });

  it('has an allowlist that it can read, with the files that git is told of, and room for a commit', async () => {
    const { operations } = await readOperations('deploy/operations/operations.json');
    const [gitops] = Object.values(operations);
    const { secrets = [], tmpfs } = service('operations');
    for (const [, secret = ''] of JSON.stringify(gitops).matchAll(/\/run\/secrets\/(\w+)/g)) {
      expect(secrets).toContain(secret);
    }
    expect(tmpfs).toEqual(['/tmp']);
  });
});
