import { createPrivateKey, randomBytes, randomUUID, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createActivities } from '../../activities';
import type { ActivityPorts } from '../../activities';
import type { Assessment, IssuanceOutcome, VerdictOutcome } from '../../activities/types';
import { mandateOpener } from '../../adapters/jose/mandate-jws';
import {
  importMandateJwks,
  loadMandateKeySet,
  writeNewMandateKeySet,
} from '../../adapters/jose/mandate-keys';
import { callerTokens } from '../../adapters/jose/caller-token';
import { verifyDpopProof } from '../../adapters/jose/dpop';
import { RemoteIssuerTokens } from '../../adapters/jose/issuer-token';
import { signedRequestOpener } from '../../adapters/jose/signed-request';
import { signVerdict, verdictOpener } from '../../adapters/jose/verdict-statement';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, SvidProfile } from '../../adapters/spiffe/development-ca';
import { jwtSvids } from '../../adapters/identity/jwt-svids';
import { Svids, loadTrustBundles } from '../../adapters/identity/svids';
import { FileTickets } from '../../adapters/ticket/file-tickets';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import type { AskedMandate, PoaRequest } from '../../domain/mandate-request';
import type { Notification } from '../../domain/ports';
import type { VerdictClaims } from '../../domain/verdict';
import { MemoryStops } from './memory-stops';
import { MemoryLedger } from './memory-ledger';
import { noProposals } from './no-proposals';
import { changedPolicy } from './policy';
import type { PolicyData } from './policy';
import { LEG } from './http';

export const agent = (name: string) => `spiffe://corp.example/agent/${name}`;
export const person = (name: string) => `spiffe://corp.example/person/${name}`;

/** Bodies that policy accepts, one for each tier above low. */
export const ORDER = { by: 'finance-bot', act: 'erp.order.create' };
export const PAYMENT = { by: 'finance-bot', act: 'sap.payment.execute', params: { amount: 1250 } };
export const ROTATION = { by: 'explorer', act: 'security.master_key.rotate', ticket: 'CHG-1' };

export interface Asking {
  readonly by: string;
  readonly act: string;
  readonly params?: AskedMandate['con']['params'];
  readonly limits?: AskedMandate['con']['limits'];
  readonly leg?: AskedMandate['leg'];
  readonly ticket?: string;
  readonly approvers?: readonly string[];
  readonly requiresDualControl?: boolean;
  readonly reversal?: true;
}

export interface Credential {
  readonly key: KeyObject;
  /** DER, leaf first. */
  readonly chain: readonly Buffer[];
}

/** A request that was admitted, with what its verdicts are signed over. */
export interface Asked {
  readonly request: PoaRequest;
  readonly assessment: Assessment;
}

/**
 * The worker's steps over everything real but the database and the clock: certificates, signatures, policy, tickets.
 * No Temporal: a step can be called with whatever a forged history would hand it.
 */
export class WorkerSteps {
  /** The worker's clock. */
  now = new Date();
  readonly told: Notification[] = [];
  /** SPIFFE IDs of people whose verdicts do not count. */
  readonly suspended: string[] = [];
  private readonly credentials = new Map<string, Credential>();

  private constructor(
    readonly ports: ActivityPorts,
    readonly ledger: MemoryLedger,
    readonly ca: DevelopmentCa,
    private readonly directory: string,
  ) {}

  static async open(
    change: (data: PolicyData) => void = () => undefined,
    others: readonly DevelopmentCa[] = [],
  ): Promise<WorkerSteps> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-steps-'));
    const ca = await createDevelopmentCa('corp.example', 30);
    const bundles = join(directory, 'bundles');
    await mkdir(bundles);
    for (const { trustDomain, certificatePem } of [ca, ...others]) {
      await writeFile(join(bundles, `${trustDomain}.pem`), certificatePem);
    }
    await writeNewMandateKeySet(directory);
    const { signer, jwks } = await loadMandateKeySet(join(directory, 'mandate-keys.json'));
    await writeFile(join(directory, 'tickets.json'), JSON.stringify({ 'CHG-1': { state: 'open' } }));
    const issuer = 'spiffe://corp.example/agentauth';
    const audience = 'spiffe://corp.example/broker';
    const keys = importMandateJwks(jwks);
    const ledger = new MemoryLedger();
    const steps: WorkerSteps = new WorkerSteps(
      {
        clock: () => steps.now,
        ledger,
        stops: new MemoryStops(),
        policy: await WasmPolicy.load(await changedPolicy(change)),
        svids: new Svids(loadTrustBundles(bundles)),
        verdicts: verdictOpener,
        ...noProposals(() => steps.suspended),
        requests: signedRequestOpener,
        tokens: callerTokens(jwtSvids(loadTrustBundles(bundles), 300), keys, issuer),
        dpop: { verify: verifyDpopProof },
        issuerTokens: new RemoteIssuerTokens(),
        identityTokens: signer.identityTokens,
        mandates: mandateOpener(keys, { issuer, audience }),
        signer,
        tickets: new FileTickets(join(directory, 'tickets.json')),
        notifier: {
          notify: (notification) => {
            steps.told.push(notification);
            return Promise.resolve();
          },
        },
        agingStores: [],
        issuer,
        audience,
        pendingCaps: { perAgent: 1_000, total: 10_000 },
        signedRequestMaxAgeSeconds: 300,
      },
      ledger,
      ca,
      directory,
    );
    return steps;
  }

  get activities() {
    return createActivities(this.ports);
  }

  /** Another bundle is loaded: the same rules over changed data, or data that `change` makes of today's. */
  async movePolicy(change: (data: PolicyData) => void): Promise<void> {
    Object.assign(this.ports, { policy: await WasmPolicy.load(await changedPolicy(change)) });
  }

  async setTicket(id: string, entry: object): Promise<void> {
    const file = join(this.directory, 'tickets.json');
    const tickets = JSON.parse(await readFile(file, 'utf8')) as Record<string, object>;
    await writeFile(file, JSON.stringify({ ...tickets, [id]: entry }));
  }

  later(seconds: number): void {
    this.now = new Date(this.now.getTime() + seconds * 1000);
  }

  /** The key and SVID of somebody of the example company, `person/bob` for example: made once. */
  async credential(name: string): Promise<Credential> {
    const known = this.credentials.get(name);
    if (known) return known;
    const made = await this.newCredential(`spiffe://corp.example/${name}`);
    this.credentials.set(name, made);
    return made;
  }

  newCredential(spiffeId: string, profile: Partial<SvidProfile> = {}, ca = this.ca): Promise<Credential> {
    // Its clock stands still, and so must not be before what is made later.
    const notBefore = new Date(Math.min(this.now.getTime(), Date.now()) - 60_000);
    return credentialOf(ca, { spiffeId, ttlHours: 72, notBefore, ...profile });
  }

  async requestOf(asking: Asking): Promise<PoaRequest> {
    const { chain } = await this.credential(`agent/${asking.by}`);
    return {
      requestId: randomUUID(),
      asked: {
        act: asking.act,
        con: { params: asking.params ?? {}, limits: asking.limits ?? {} },
        leg: asking.leg ?? LEG,
        justification: null,
        ticket: asking.ticket ?? null,
        requiresDualControl: asking.requiresDualControl ?? false,
        approvers: asking.approvers ?? [],
        ttlSeconds: null,
        ...(asking.reversal && { reversal: true }),
      },
      evidence: this.evidence(chain),
      forecast: 'require',
    };
  }

  evidence(chain: readonly Buffer[]) {
    return {
      chain: chain.map((der) => der.toString('base64')),
      presentedAt: Math.floor(this.now.getTime() / 1000),
    };
  }

  /** Admits a request that has to wait for people. */
  async ask(asking: Asking): Promise<Asked> {
    const request = await this.requestOf(asking);
    const admission = await this.activities.admitRequest(request);
    if (admission.effect === 'deny') throw new Error(`denied: ${admission.reasons.join(', ')}`);
    return { request, assessment: admission.assessment };
  }

  claims({ request, assessment }: Asked, role: string, changes: Partial<VerdictClaims> = {}): VerdictClaims {
    return {
      req: request.requestId,
      dig: sha256Base64url(canonicalJson(assessment.toApprove)),
      verdict: 'approve',
      role,
      reason: 'it is right',
      attests: [],
      iat: Math.floor(this.now.getTime() / 1000),
      jti: randomBytes(16).toString('base64url'),
      ...changes,
    };
  }

  /** The signed statement of somebody, `bob` for example. */
  async statement(
    asked: Asked,
    name: string,
    role: string,
    changes: Partial<VerdictClaims> = {},
  ): Promise<string> {
    const { key, chain } = await this.credential(`person/${name}`);
    return signVerdict(key, chain, this.claims(asked, role, changes));
  }

  /** As `statement`, of anybody. */
  signAs({ key, chain }: Credential, asked: Asked, role: string): Promise<string> {
    return signVerdict(key, chain, this.claims(asked, role));
  }

  record(asked: Asked, statement: string, counted: readonly string[] = []): Promise<VerdictOutcome> {
    return this.activities.recordVerdict({ request: asked.request, counted, statement });
  }

  /** Records statements one after the other, each of which must count, and answers them. */
  async counted(asked: Asked, ...statements: readonly string[]): Promise<readonly string[]> {
    const before: string[] = [];
    for (const statement of statements) {
      const outcome = await this.record(asked, statement, before);
      if (outcome.outcome !== 'counted') throw new Error(`not counted: ${JSON.stringify(outcome)}`);
      before.push(statement);
    }
    return before;
  }

  async collect(asked: Asked, statements: readonly string[], by?: Credential): Promise<IssuanceOutcome> {
    const { chain } =
      by ?? (await this.credential(asked.assessment.agent.replace('spiffe://corp.example/', '')));
    return this.activities.issueMandate({
      request: asked.request,
      statements,
      collector: this.evidence(chain),
    });
  }

  async eventTypes({ request }: Pick<Asked, 'request'>): Promise<readonly string[]> {
    const events = await this.ledger.events({ requestId: request.requestId, limit: 1_000 });
    return events.map(({ type }) => type);
  }

  async close(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

export async function credentialOf(ca: DevelopmentCa, profile: SvidProfile): Promise<Credential> {
  const { privateKeyPem, chainPem } = await issueSvid(ca, profile);
  return { key: createPrivateKey(privateKeyPem), chain: [new X509Certificate(chainPem).raw] };
}
