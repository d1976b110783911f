import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { FINANCE_BOT, TestBroker } from '../support/broker';
import { startEnvoy } from '../support/envoy';
import type { HttpCaller } from '../support/http';
import { freePortBase } from '../../apps/atb/dev/ports';

const GATEWAY = 'spiffe://corp.example/gateway/envoy';
const CRM = 'spiffe://corp.example/agent/crm-assistant';
const TYPES = 'type.googleapis.com/envoy.extensions';
// Envoy gives up what it asks over gRPC after a fifth of a second, unless told.
const PATIENCE = '30s';

let test: TestBroker;
let stopEnvoy: () => Promise<void> = () => Promise.resolve();
let urls: Readonly<Record<string, string>>;
const callers = new Map<string, HttpCaller>();

beforeAll(async () => {
  test = await TestBroker.start({
    environment: { ATB_TRUSTED_PROXIES: GATEWAY, ATB_BROKER_GRPC_PORT: '0' },
  });
  const base = await freePortBase();
  urls = { gRPC: `https://localhost:${base}`, HTTP: `https://localhost:${base + 1}` };
  stopEnvoy = await startEnvoy(await configuration(base), join(test.directory, 'envoy.json'));
});
afterAll(async () => {
  await stopEnvoy();
  await test.stop();
});
beforeEach(() => {
  test.seen.length = 0;
});

/** Two listeners before the same system: one asks the broker over gRPC, one over HTTP, as docs/gateways.md says. */
async function configuration(port: number): Promise<object> {
  const { cert, key } = await test.svid(GATEWAY, { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
  const file = async (name: string, content: string) => {
    await writeFile(join(test.directory, name), content);
    return { filename: join(test.directory, name) };
  };
  const common = {
    tls_certificates: [
      {
        certificate_chain: await file('envoy-cert.pem', cert),
        private_key: await file('envoy-key.pem', key),
      },
    ],
    validation_context: { trusted_ca: await file('envoy-ca.pem', test.ca.certificatePem) },
  };
  const body = { max_request_bytes: 65_536, allow_partial_message: false, pack_as_bytes: true };
  const asks = { transport_api_version: 'V3', failure_mode_allow: false, with_request_body: body };
  const connector = {
    'envoy.filters.http.ext_authz': {
      '@type': `${TYPES}.filters.http.ext_authz.v3.ExtAuthzPerRoute`,
      check_settings: { context_extensions: { connector: 'erp' } },
    },
  };
  const allowed = ['authorization', 'content-type', 'content-encoding', 'dpop'].map((exact) => ({ exact }));
  return {
    static_resources: {
      listeners: [
        listener(port, common, connector, {
          ...asks,
          include_peer_certificate: true,
          grpc_service: { envoy_grpc: { cluster_name: 'broker_grpc' }, timeout: PATIENCE },
        }),
        listener(port + 1, common, undefined, {
          ...asks,
          allowed_headers: { patterns: [...allowed, { prefix: 'x-' }] },
          http_service: {
            server_uri: { uri: test.broker.url, cluster: 'broker_http', timeout: PATIENCE },
            path_prefix: '/ext_authz/erp',
          },
        }),
      ],
      clusters: [
        cluster('broker_grpc', test.broker.extAuthzGrpcPort ?? 0, common, { http2_protocol_options: {} }),
        cluster('broker_http', Number(new URL(test.broker.url).port), common, { http_protocol_options: {} }),
        cluster('erp', test.upstreamPort, common, { http_protocol_options: {} }),
      ],
    },
  };
}

function listener(port: number, tls: object, perRoute: object | undefined, authorization: object): object {
  const route = {
    ...{ match: { prefix: '/' }, route: { cluster: 'erp', prefix_rewrite: '/api/', timeout: PATIENCE } },
    ...(perRoute && { typed_per_filter_config: perRoute }),
  };
  return {
    name: `agents_${port}`,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        transport_socket: {
          name: 'tls',
          typed_config: {
            '@type': `${TYPES}.transport_sockets.tls.v3.DownstreamTlsContext`,
            require_client_certificate: true,
            common_tls_context: tls,
          },
        },
        filters: [
          {
            name: 'http',
            typed_config: {
              '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: 'agents',
              forward_client_cert_details: 'SANITIZE_SET',
              set_current_client_cert_details: { cert: true },
              route_config: { virtual_hosts: [{ name: 'erp', domains: ['*'], routes: [route] }] },
              http_filters: [
                {
                  name: 'envoy.filters.http.ext_authz',
                  typed_config: {
                    '@type': `${TYPES}.filters.http.ext_authz.v3.ExtAuthz`,
                    ...authorization,
                  },
                },
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

function cluster(name: string, port: number, tls: object, protocol: object): object {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name,
    connect_timeout: PATIENCE,
    type: 'STATIC',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: protocol,
      },
    },
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': `${TYPES}.transport_sockets.tls.v3.UpstreamTlsContext`,
        sni: 'localhost',
        common_tls_context: tls,
      },
    },
  };
}

async function pay(
  way: string,
  mandate: string,
  {
    amount = 100,
    by = FINANCE_BOT,
    headers = {},
  }: { amount?: number; by?: string; headers?: Record<string, string> } = {},
) {
  const key = `${way} ${by}`;
  const caller = callers.get(key) ?? (await test.caller(by, urls[way]));
  callers.set(key, caller);
  return caller.post('/payments', { amount }, { authorization: `PoA ${mandate}`, ...headers });
}

describe.each(['gRPC', 'HTTP'])('a real Envoy that asks over %s', (way) => {
  it('lets through what was approved, once, and without the mandate', async () => {
    const claims = await test.claims();
    const mandate = await test.keys.signer.sign(claims);
    expect(await pay(way, mandate)).toMatchObject({ status: 200, body: { done: true } });
    expect(test.seen).toMatchObject([{ method: 'POST', url: '/api/payments', body: '{"amount":100}' }]);
    expect(test.seen[0]?.headers).not.toHaveProperty('authorization');
    expect(test.seen[0]?.headers).not.toHaveProperty('x-forwarded-client-cert');
    expect((await test.recorded(claims.req, 'poa_redeemed')).actor).toBe(FINANCE_BOT);
    expect(await pay(way, mandate)).toMatchObject({
      ...{ status: 409, body: { code: 'poa_single_use_replay_blocked' } },
    });
    expect(test.seen).toHaveLength(1);
  });

  it('lets nothing else through, with the code of what refused it, and uses nothing up by that', async () => {
    const mandate = await test.mint();
    expect(await pay(way, mandate, { amount: 101 })).toMatchObject({
      ...{ status: 403, body: { code: 'parameter_mismatch' } },
    });
    expect(await pay(way, mandate, { by: CRM })).toMatchObject({ status: 403 });
    const bot = encodeURIComponent((await test.identity(FINANCE_BOT)).cert);
    expect(
      await pay(way, mandate, { by: CRM, headers: { 'x-forwarded-client-cert': `Cert="${bot}"` } }),
    ).toMatchObject({ status: 403 });
    for (const [name, code] of [
      ['x-http-method-override', 'header_forbidden'],
      ['content-encoding', 'media_type_unsupported'],
    ] as const) {
      expect(await pay(way, mandate, { headers: { [name]: 'DELETE' } })).toMatchObject({ body: { code } });
    }
    expect(await pay(way, 'a.b.c')).toMatchObject({ status: 400, body: { code: 'mandate_invalid' } });
    expect(test.seen).toEqual([]);
    expect(await pay(way, mandate)).toMatchObject({ status: 200 });
  });
});

it('a real Envoy lets nothing through while the broker is away', async () => {
  const mandate = await test.mint();
  await test.broker.close();
  for (const way of ['gRPC', 'HTTP']) expect((await pay(way, mandate)).status).toBe(403);
  expect(test.seen).toEqual([]);
});
