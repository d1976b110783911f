import { readFile } from 'node:fs/promises';
import { Logger } from '@nestjs/common';
import type { ActivityPorts, ChangePorts, ProposalPorts } from '../../activities';
import { AccessLogArchive } from '../../adapters/access-log/access-log-archive';
import { callerTokens } from '../../adapters/jose/caller-token';
import { verifyDpopProof } from '../../adapters/jose/dpop';
import { RemoteIssuerTokens } from '../../adapters/jose/issuer-token';
import { importMandateJwks, loadMandateKeySet } from '../../adapters/jose/mandate-keys';
import type { MandateJwks } from '../../adapters/jose/mandate-keys';
import { mandateOpener } from '../../adapters/jose/mandate-jws';
import { signedRequestOpener } from '../../adapters/jose/signed-request';
import { verdictOpener } from '../../adapters/jose/verdict-statement';
import { PostgresIncidentWatch } from '../../adapters/postgres/incident-watch';
import { PostgresOutcomeWatch } from '../../adapters/postgres/outcome-watch';
import { PendingAges } from '../../adapters/postgres/pending-ages';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { PostgresProbes } from '../../adapters/postgres/probes';
import { PostgresChanges } from '../../adapters/postgres/changes';
import { PostgresProposals } from '../../adapters/postgres/proposals';
import { PostgresStops } from '../../adapters/postgres/stops';
import { readCodecKeys } from '../../adapters/temporal/codec-keys';
import { requirePrepared } from '../../adapters/postgres/schema';
import { portSpans } from '../../adapters/tracing/port-spans';
import type { MandateSigner } from '../../domain/ports';
import { jwtSvids } from '../../adapters/identity/jwt-svids';
import { ProcessRecord } from '../process-record';
import { openTrust } from '../identity';
import { openPolicy } from '../policy';
import { recordedSignOffs, signedOffPolicies } from '../policy-gate';
import { withCandidate } from '../policy-candidate';
import { openTickets } from '../tickets';
import type { WorkerConfiguration } from './configuration';
import { WorkerMetrics } from './metrics';
import { repeatedly } from './repeatedly';
import { openNotifications } from './notifications';

const PURGE_MS = 3_600_000;

/** The worker's ports over what is configured; `close` gives the connections back. */
export interface WorkerPorts extends ActivityPorts, ProposalPorts, Pick<ChangePorts, 'changes'> {
  readonly ledger: PostgresLedger;
  readonly proposals: PostgresProposals;
  readonly watched: PostgresIncidentWatch;
  readonly outcomes: PostgresOutcomeWatch;
  readonly metrics: WorkerMetrics;
  readonly jwks: MandateJwks;
  close(): Promise<void>;
}

/** Opens everything that the worker needs. Throws where something is missing: there is no start with less. */
export async function openWorkerPorts(
  configuration: Omit<WorkerConfiguration, 'temporal' | 'admin' | 'codecKeysFile' | 'sdkMetrics'>,
  metrics = new WorkerMetrics(),
): Promise<WorkerPorts> {
  const { issuer, audience } = configuration;
  const { signer, jwks } = await loadMandateKeySet(configuration.signingKeysFile);
  const keys = importMandateJwks(jwks);
  const trust = await openTrust(configuration.trust);
  const databaseUrl = (await readFile(configuration.databaseUrlFile, 'utf8')).trim();
  await requirePrepared(databaseUrl);
  const auditKeys = await readCodecKeys(configuration.auditKeysFile);
  const ledger = new PostgresLedger(databaseUrl, auditKeys);
  const proposals = new PostgresProposals(databaseUrl, auditKeys);
  const changes = new PostgresChanges(databaseUrl, auditKeys);
  const stops = new PostgresStops(databaseUrl, auditKeys);
  const probes = new PostgresProbes(databaseUrl, auditKeys);
  const watched = new PostgresIncidentWatch(databaseUrl);
  const outcomes = new PostgresOutcomeWatch(databaseUrl);
  const judging = { ...recordedSignOffs(trust, proposals), probes };
  const stable = await openPolicy(configuration.policy, metrics.registry, signedOffPolicies(judging));
  const policy = await withCandidate(stable, configuration.policy, judging, metrics.candidate);
  const pending = new PendingAges(databaseUrl);
  metrics.watchPending(pending);
  metrics.watchIncidents(watched);
  metrics.watchChanges(changes);
  const notifications = await openNotifications(configuration.notifications, databaseUrl, policy);
  const record = new ProcessRecord(policy, ledger, {
    process: 'worker',
    actor: issuer,
    configuration,
    keys: {
      active: signer.kid,
      verifying: jwks.keys.map(({ kid }) => kid).filter((kid) => kid !== signer.kid),
    },
  });
  const proofs = new Logger('Proofs');
  // Those that prove nothing any more are forgotten; what is left now is left for the next time.
  const purging = repeatedly(
    { everyMs: PURGE_MS },
    () => ledger.purgeProofs(),
    (error) => {
      proofs.warn(`proofs that ran out are kept for now: ${String(error)}`);
    },
  );
  return {
    ...judging,
    ledger,
    changes,
    stops,
    watched,
    outcomes,
    metrics,
    policy,
    verdicts: verdictOpener,
    requests: signedRequestOpener,
    tokens: callerTokens(jwtSvids(trust, configuration.jwtSvidMaxLifetimeSeconds), keys, issuer),
    dpop: { verify: verifyDpopProof },
    issuerTokens: new RemoteIssuerTokens(),
    identityTokens: portSpans('signer', signer.identityTokens, ['sign']),
    mandates: mandateOpener(keys, { issuer, audience }),
    signer: portSpans<MandateSigner>('signer', signer, ['sign', 'signReversal']),
    jwks,
    tickets: await openTickets(configuration.tickets),
    notifier: portSpans('notifier', notifications.notifier, ['notify']),
    agingStores:
      configuration.accessLog === undefined
        ? []
        : [new AccessLogArchive(configuration.accessLog.directory, configuration.accessLog.days)],
    issuer,
    audience,
    pendingCaps: { perAgent: configuration.pendingPerAgent, total: configuration.pendingTotal },
    signedRequestMaxAgeSeconds: configuration.signedRequestMaxAgeSeconds,
    async close() {
      await purging.close();
      await notifications.close();
      await record.close();
      trust.close();
      await policy.close();
      await watched.end();
      await outcomes.end();
      await probes.end();
      await proposals.end();
      await changes.end();
      await stops.end();
      await pending.end();
      await ledger.end();
    },
  };
}
