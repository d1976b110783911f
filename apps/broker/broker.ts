import { readFile } from 'node:fs/promises';
import { loadConnectors } from '../../adapters/connector/definitions';
import { RouteTable } from '../../adapters/connector/route-table';
import { Credentials } from '../../adapters/credential/credentials';
import { RuleGuardrail } from '../../adapters/guardrail/rule-guardrail';
import ourRules from '../../adapters/guardrail/guardrails.json';
import type { RuleSet } from '../../adapters/guardrail/rule-set';
import { readRuleSet, ruleSetDigest } from '../../adapters/guardrail/rule-set';
import { JwksSource } from '../../adapters/jose/jwks-source';
import { requireInTime } from '../../adapters/jose/mandate-jws';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import { PostgresRedemptions } from '../../adapters/postgres/redemptions';
import { PostgresReversals } from '../../adapters/postgres/reversals';
import { RevocationWatch } from '../../adapters/postgres/revocation-watch';
import { requirePrepared } from '../../adapters/postgres/schema';
import type { Resolver } from '../../adapters/upstream/egress';
import { Upstream } from '../../adapters/upstream/upstream';
import type { Clock } from '../../domain/ports';
import { openAccessLog } from '../access-log';
import { startAdminServer } from '../admin-server';
import { ProcessRecord } from '../process-record';
import { hasSvid, openIdentity } from '../identity';
import { openPolicy, reportPolicy } from '../policy';
import { withCandidate } from '../policy-candidate';
import { recordedSignOffs, signedOffPolicies } from '../policy-gate';
import { openTickets } from '../tickets';
import type { BrokerConfiguration } from './configuration';
import { CallPace } from './checks/pace';
import { ConnectorRegister, OPEN_REGISTER } from './connector-register';
import type { Register } from './connector-register';
import { AuthzenEntry } from './gateway/authzen';
import { GrpcExtAuthz } from './gateway/ext-authz-grpc';
import { HttpExtAuthz } from './gateway/ext-authz-http';
import { Gateways } from './gateway/gateway';
import { AgentAuthCarrier } from './mcp/agentauth';
import { McpEntry } from './mcp/mcp';
import { BrokerMetrics } from './metrics';
import { Proxy } from './proxy';
import { Redemptions } from './redemption';
import { Reversals } from './reversals';

export interface Broker {
  readonly url: string;
  readonly adminUrl: string;
  /** Undefined where it is not offered. */
  readonly extAuthzGrpcPort: number | undefined;
  /** The decision by itself, for other ways in than the proxy. */
  readonly redemptions: Redemptions;
  readonly connectors: ReadonlyMap<string, RouteTable>;
  close(): Promise<void>;
}

export interface BrokerParts {
  /** The environment that credentials are looked up in. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly onDefect: (error: unknown) => void;
  readonly resolver?: Resolver;
  /** Told when a connector comes into service (null), or is in service no more, and why. */
  readonly onConnector?: (connector: string, reason: string | null) => void;
  /** The system's, unless a test says otherwise. */
  readonly clock?: Clock;
}

// An unknown key may cause one reading of the keys in this time.
const UNKNOWN_KEY_COOLDOWN_MS = 10_000;
const SHUTDOWN_GRACE_MS = 8_000;

/** Starts a broker. Throws where something that it decides by is not to be had: there is no start with less. */
export async function startBroker(configuration: BrokerConfiguration, parts: BrokerParts): Promise<Broker> {
  const undo: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const connectors = new Map(
      [...loadConnectors(configuration.connectorsDirectory)].map(([id, connector]) => [
        id,
        new RouteTable(connector),
      ]),
    );
    const metrics = new BrokerMetrics(new Set(connectors.keys()));
    const identity = await openIdentity(configuration.identity);
    undo.push(() => {
      identity.close();
    });
    const clock = parts.clock ?? (() => new Date());
    const databaseUrl = (await readFile(configuration.databaseUrlFile, 'utf8')).trim();
    await requirePrepared(databaseUrl);
    const proposals = new PostgresProposals(databaseUrl);
    undo.push(() => proposals.end());
    const judging = recordedSignOffs(identity, proposals, clock);
    const [stable, tickets, rules] = await Promise.all([
      openPolicy(configuration.policy, metrics.registry, signedOffPolicies(judging)),
      openTickets(configuration.tickets),
      configuration.guardrailsFile === undefined
        ? (ourRules as RuleSet)
        : readRuleSet(configuration.guardrailsFile),
    ]);
    const policy = await withCandidate(stable, configuration.policy, judging, metrics.candidate);
    undo.push(() => policy.close());
    reportPolicy(policy, metrics.registry);
    const store = new PostgresRedemptions(databaseUrl);
    undo.push(() => store.end());
    const record = new ProcessRecord(policy, store, {
      process: 'broker',
      actor: configuration.audience,
      configuration: {
        ...configuration,
        guardrails: ruleSetDigest(rules),
        connectors: [...connectors].map(([id, { connector }]) => [id, connector.digest]),
      },
    });
    undo.push(() => record.close());
    const orders = await RevocationWatch.start(databaseUrl, {
      pollMs: configuration.revocationPollMs,
      maxAgeMs: configuration.revocationMaxAgeMs,
    });
    undo.push(() => orders.end());
    let register: Register = OPEN_REGISTER;
    if (configuration.requireConnectorSignOff) {
      const opened = await ConnectorRegister.start(
        { ...judging, policy },
        [...connectors.values()].map(({ connector }) => connector),
        {
          pollMs: configuration.revocationPollMs,
          maxAgeMs: configuration.revocationMaxAgeMs,
          onChange: (connector, reason) => {
            parts.onConnector?.(connector, reason);
          },
        },
      );
      undo.push(() => {
        opened.end();
      });
      register = opened;
    }
    const jwks = await JwksSource.start(configuration.jwks, {
      refreshMs: configuration.jwksRefreshSeconds * 1000,
      maxAgeMs: configuration.jwksMaxAgeSeconds * 1000,
      cooldownMs: UNKNOWN_KEY_COOLDOWN_MS,
    });
    undo.push(() => {
      jwks.end();
    });
    const { issuer, audience, clockSkewSeconds } = configuration;
    const redemptions = new Redemptions({
      clock,
      svids: judging.svids,
      mandates: {
        verify: (compact, now) => jwks.verify(compact, { issuer, audience, now, clockSkewSeconds }),
        requireInTime: (mandate, now) => {
          requireInTime(mandate, { now, clockSkewSeconds });
        },
      },
      connectors,
      trustedProxies: new Set(configuration.trustedProxies),
      register,
      orders,
      guardrails: [new RuleGuardrail(rules)],
      handling: (classification) => ({
        secrets: rules.handling.secrets[classification],
        personalData: rules.handling.personal_data[classification],
      }),
      pace: new CallPace(rules.limits.calls_per_minute),
      outcomeGraceMs: configuration.outcomeGraceSeconds * 1000,
      store,
      policy,
      tickets,
      allowUnmandatedLowRisk: configuration.allowUnmandatedLowRisk,
      watch: {
        decided: (connector, outcome) => {
          metrics.decided(connector, outcome);
        },
        checked: (check, milliseconds) => {
          metrics.checked(check, milliseconds);
        },
        unrecorded: (_, cause) => {
          metrics.lost();
          parts.onDefect(cause);
        },
      },
    });
    const upstreams = new Map(
      [...connectors].map(([id, { connector }]) => [
        id,
        new Upstream(connector, {
          identity,
          ...(parts.resolver && { resolver: parts.resolver }),
        }),
      ]),
    );
    undo.push(async () => {
      await Promise.all([...upstreams.values()].map((upstream) => upstream.destroy()));
    });
    const credentials = new Credentials(parts.environment);
    const owed = new PostgresReversals(databaseUrl);
    undo.push(() => owed.close());
    const reversals = new Reversals({
      ...{ clock, owed, used: store, connectors, register, orders, upstreams, credentials, policy, tickets },
      pace: configuration.reversals,
      verify: (compact, now) => jwks.verifyReversal(compact, { issuer, audience, now, clockSkewSeconds }),
      self: () => identity.svid.id.uri,
      allowUnmandatedLowRisk: false,
      onDefect: parts.onDefect,
    });
    const accessLog = await openAccessLog(configuration.accessLog, metrics.registry);
    undo.push(() => accessLog.close());
    const proxy = new Proxy(
      {
        identity,
        publicUrl: configuration.publicUrl,
        maxConnections: configuration.maxConnections,
        maxHeaderBytes: configuration.maxHeaderBytes,
        headersTimeoutMs: configuration.headersTimeoutMs,
        requestTimeoutMs: configuration.requestTimeoutMs,
      },
      {
        redemptions,
        reversals,
        upstreams,
        credentials,
        metrics,
        accessLog,
        onDefect: parts.onDefect,
      },
    );
    const carrier =
      configuration.agentauth &&
      new AgentAuthCarrier(
        configuration.agentauth.url,
        await readFile(configuration.agentauth.caFile, 'utf8'),
        identity,
      );
    undo.push(() => carrier?.close());
    const gateways = new Gateways(new Set(configuration.trustedProxies), (chain) =>
      redemptions.caller(chain),
    );
    proxy.enter([
      new HttpExtAuthz(gateways, redemptions),
      new AuthzenEntry({ gateways, redemptions, publicUrl: () => proxy.publicUrl }),
      new McpEntry({
        connectors: connectors.values(),
        publicUrl: () => proxy.publicUrl,
        issuer,
        agentauth: carrier,
        decideAt: configuration.decideAt,
        requireCaller: (chain) => redemptions.caller(chain),
        perform: (call, chain, sink, access) => proxy.perform(call, chain, sink, access),
        record: (error, chain, access) => redemptions.recordUnreadable(error, chain, access.known),
        onDefect: parts.onDefect,
      }),
    ]);
    let extAuthzGrpcPort: number | undefined;
    if (configuration.extAuthzGrpcPort !== undefined) {
      const grpc = new GrpcExtAuthz({
        ...{ identity, gateways, redemptions, accessLog },
        onDefect: parts.onDefect,
      });
      extAuthzGrpcPort = await grpc.listen(configuration.extAuthzGrpcPort, configuration.host);
      undo.push(() => grpc.close());
    }
    reversals.start();
    undo.push(() => reversals.close());
    await proxy.listen(configuration.port, configuration.host);
    undo.push(() => proxy.close(SHUTDOWN_GRACE_MS));
    const isReady = async () => {
      await store.ping();
      return orders.isFresh && hasSvid(identity, new Date());
    };
    const admin = await startAdminServer(
      configuration.admin.host,
      configuration.admin.port,
      isReady,
      metrics.registry,
    );
    undo.push(() => admin.close());
    const address = proxy.server.address();
    const port = typeof address === 'object' && address !== null ? address.port : configuration.port;
    return {
      ...{ url: `https://localhost:${port}`, adminUrl: admin.url, extAuthzGrpcPort },
      ...{ redemptions, connectors, close },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
