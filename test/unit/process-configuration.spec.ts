import { JwksSource } from '../../adapters/jose/jwks-source';
import { agentAuthConfiguration } from '../../apps/agentauth/configuration';
import { brokerConfiguration } from '../../apps/broker/configuration';
import { Environment } from '../../apps/environment';
import { registrationConfiguration } from '../../apps/registration/configuration';
import { temporalConfiguration } from '../../apps/temporal';
import { workerConfiguration } from '../../apps/worker/configuration';
import { isAtbError } from '../../domain/error';

const POLICY = { ATB_POLICY_BUNDLE_FILE: 'bundle', ATB_POLICY_PUBLIC_KEY_FILE: 'key' };
const NAMES = { ATB_ISSUER: 'spiffe://corp.example/agentauth', ATB_AUDIENCE: 'spiffe://corp.example/broker' };
const SOCKET = { SPIFFE_ENDPOINT_SOCKET: 'unix:///run/spire/agent.sock' };
const AGENTAUTH = { ...NAMES, ...SOCKET };
const BROKER = {
  ...{ ...POLICY, ...NAMES, ...SOCKET },
  ATB_BROKER_JWKS_FILE: 'jwks',
  ATB_DATABASE_URL_FILE: 'database',
  ATB_TICKETS_FILE: 'tickets',
  ATB_CONNECTORS_DIR: 'connectors',
};

/** The settings that a process finds fault with. */
function faults(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (isAtbError(error)) return error.errors.map(({ pointer }) => pointer.slice(1));
    throw error;
  }
  return [];
}

describe('a process that is told nothing says all that is missing, and does not start (attack 2)', () => {
  const IDENTITY = 'ATB_TRUST_BUNDLE_FILE or SPIFFE_ENDPOINT_SOCKET';
  it.each<[string, () => unknown, readonly string[]]>([
    ['AgentAuth', () => agentAuthConfiguration({}), [IDENTITY, 'ATB_ISSUER', 'ATB_AUDIENCE']],
    [
      'the worker',
      () => workerConfiguration({}),
      [IDENTITY, 'ATB_SIGNING_KEYS_FILE', 'ATB_DATABASE_URL_FILE', 'ATB_POLICY_BUNDLE_FILE'],
    ],
    [
      'the broker',
      () => brokerConfiguration({}),
      [
        IDENTITY,
        'ATB_BROKER_JWKS_FILE or ATB_BROKER_JWKS_URL',
        'ATB_POLICY_BUNDLE_FILE',
        'ATB_CONNECTORS_DIR',
      ],
    ],
    [
      'the registration',
      () => registrationConfiguration({}),
      ['ATB_PERSON_CA_CERT_FILE', 'ATB_PERSON_CA_KEY_FILE', 'ATB_POLICY_BUNDLE_FILE'],
    ],
  ])('%s', (_, read, missing) => {
    expect(faults(read)).toEqual(expect.arrayContaining([...missing]));
  });

  it('and what is here said is enough, so that the faults below are what they say', () => {
    expect(faults(() => agentAuthConfiguration(AGENTAUTH))).toEqual([]);
    expect(faults(() => brokerConfiguration(BROKER))).toEqual([]);
  });
});

describe('a setting with a typo in it means nothing, least of all open (attack 34)', () => {
  it.each(['True', 'yes', '1', 'ture', 'false '.repeat(2)])('ALLOW_UNMANDATED_LOW_RISK=%s', (value) => {
    expect(faults(() => brokerConfiguration({ ...BROKER, ALLOW_UNMANDATED_LOW_RISK: value }))).toEqual([
      'ALLOW_UNMANDATED_LOW_RISK',
    ]);
  });

  it.each([
    'spiffe://corp.example/*',
    'spiffe://corp.example/edge.*',
    'spiffe://corp.example',
    'spiffe://corp.example/',
    '^spiffe://corp.example/edge',
    '*',
    'corp.example/edge',
    'spiffe://corp.example/edge,*',
  ])('ATB_TRUSTED_PROXIES=%s, a pattern or nobody in particular', (value) => {
    expect(faults(() => agentAuthConfiguration({ ...AGENTAUTH, ATB_TRUSTED_PROXIES: value }))).toEqual([
      'ATB_TRUSTED_PROXIES',
    ]);
  });

  it('an identity from two places', () => {
    const both = { ...AGENTAUTH, ATB_TLS_CERT_FILE: 'c', ATB_TLS_KEY_FILE: 'k', ATB_TRUST_BUNDLE_FILE: 'b' };
    expect(faults(() => agentAuthConfiguration(both))).toHaveLength(3);
  });
});

describe('the certificate for Temporal', () => {
  const temporal = (variables: Record<string, string>) => {
    const environment = new Environment({ ATB_TEMPORAL_ADDRESS: 'temporal:7233', ...variables });
    return faults(() => {
      temporalConfiguration(environment);
      environment.finish('this test');
    });
  };

  it.each([
    [{ ATB_TEMPORAL_TLS: 'svid' }, ['SPIFFE_ENDPOINT_SOCKET']],
    [
      { ATB_TEMPORAL_TLS: 'files' },
      ['ATB_TEMPORAL_TLS_CERT_FILE', 'ATB_TEMPORAL_TLS_KEY_FILE', 'ATB_TEMPORAL_TLS_CA_FILE'],
    ],
    [{ ATB_TEMPORAL_TLS_CERT_FILE: 'c' }, ['ATB_TEMPORAL_TLS_KEY_FILE', 'ATB_TEMPORAL_TLS_CA_FILE']],
    [{ ATB_TEMPORAL_TLS: 'spiffe' }, ['ATB_TEMPORAL_TLS']],
    [{ ATB_TEMPORAL_TLS: 'svid', ...SOCKET }, []],
  ])('%j lacks %j', (variables, missing) => {
    expect(temporal(variables)).toEqual(missing);
  });
});

describe('the keys of the mandates', () => {
  it.each([
    'http://agentauth.corp.example/.well-known/jwks.json',
    'http://127.0.0.1/jwks.json',
    'jwks.json',
    '',
  ])('are not fetched from %j: over HTTPS only (attack 16)', async (url) => {
    const times = { refreshMs: 1_000, maxAgeMs: 1_000, cooldownMs: 1_000 };
    await expect(JwksSource.start({ url, caFile: 'ca.pem' }, times)).rejects.toMatchObject({
      code: 'configuration_invalid',
    });
  });

  it('are not fetched without the one authority that vouches for their server (attack 16)', () => {
    const others = { ...BROKER, ATB_BROKER_JWKS_FILE: '' };
    const remote = { ...others, ATB_BROKER_JWKS_URL: 'https://agentauth.corp.example/.well-known/jwks.json' };
    expect(faults(() => brokerConfiguration(remote))).toEqual(['ATB_BROKER_JWKS_CA_FILE']);
  });
});
