import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createActivities } from '../../activities';
import type { ActivityPorts } from '../../activities';
import type { Activities, Assessment } from '../../activities/types';
import {
  importMandateJwks,
  loadMandateKeySet,
  writeNewMandateKeySet,
} from '../../adapters/jose/mandate-keys';
import { mandateOpener } from '../../adapters/jose/mandate-jws';
import { callerTokens } from '../../adapters/jose/caller-token';
import { verifyDpopProof } from '../../adapters/jose/dpop';
import { RemoteIssuerTokens } from '../../adapters/jose/issuer-token';
import { signedRequestOpener } from '../../adapters/jose/signed-request';
import { signVerdict, verdictOpener } from '../../adapters/jose/verdict-statement';
import { WasmPolicy } from '../../adapters/opa/wasm-policy';
import { createDevelopmentCa, issueSvid } from '../../adapters/spiffe/development-ca';
import type { DevelopmentCa, IssuedSvid } from '../../adapters/spiffe/development-ca';
import { jwtSvids } from '../../adapters/identity/jwt-svids';
import { Svids, loadTrustBundles } from '../../adapters/identity/svids';
import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import type { AskedMandate, IdentityEvidence, PoaRequest, ToApprove } from '../../domain/mandate-request';
import type { VerdictClaims } from '../../domain/verdict';
import { MemoryStops } from './memory-stops';
import { MemoryLedger } from './memory-ledger';
import { noProposals } from './no-proposals';
import { LEG } from './http';

const ISSUER = 'spiffe://corp.example/agentauth';
const AUDIENCE = 'spiffe://corp.example/broker';

/** The steps of a request without Temporal: real policy, certificates and signatures over a ledger in memory. */
export class Steps {
  private readonly svids = new Map<string, IssuedSvid>();

  private constructor(
    readonly activities: Activities,
    readonly ledger: MemoryLedger,
    private readonly ca: DevelopmentCa,
    private readonly directory: string,
  ) {}

  static async open(changes: Partial<ActivityPorts> = {}): Promise<Steps> {
    const directory = await mkdtemp(join(tmpdir(), 'atb-steps-'));
    const ca = await createDevelopmentCa('corp.example', 1);
    const caFile = join(directory, 'corp.example.pem');
    await writeFile(caFile, ca.certificatePem);
    const { signer, jwks } = await loadMandateKeySet(await writeNewMandateKeySet(join(directory, 'keys')));
    const keys = importMandateJwks(jwks);
    const ledger = new MemoryLedger();

    const activities = createActivities({
      clock: () => new Date(),
      ledger,
      stops: new MemoryStops(),
      policy: await WasmPolicy.load('policy/dist'),
      svids: new Svids(loadTrustBundles(caFile)),
      verdicts: verdictOpener,
      ...noProposals(),
      requests: signedRequestOpener,
      tokens: callerTokens(jwtSvids(loadTrustBundles(caFile), 300), keys, ISSUER),
      dpop: { verify: verifyDpopProof },
      issuerTokens: new RemoteIssuerTokens(),
      identityTokens: signer.identityTokens,
      mandates: mandateOpener(keys, { issuer: ISSUER, audience: AUDIENCE }),
      signer,
      tickets: { lookUp: () => Promise.resolve(null) },
      notifier: { notify: () => Promise.resolve() },
      agingStores: [],
      issuer: ISSUER,
      audience: AUDIENCE,
      pendingCaps: { perAgent: 100, total: 100 },
      signedRequestMaxAgeSeconds: 300,
      ...changes,
    });
    return new Steps(activities, ledger, ca, directory);
  }

  async request(agent: string, asked: Partial<AskedMandate> & { readonly act: string }): Promise<PoaRequest> {
    return {
      requestId: randomBytes(20).toString('base64url'),
      forecast: 'require',
      evidence: await this.evidence(agent),
      asked: {
        con: { params: asked.act === 'sap.payment.execute' ? { amount: 1250 } : {}, limits: {} },
        leg: LEG,
        justification: null,
        ticket: null,
        requiresDualControl: false,
        approvers: [],
        ttlSeconds: null,
        ...asked,
      },
    };
  }

  async evidence(name: string): Promise<IdentityEvidence> {
    const { chainPem } = await this.svid(name);
    const chain = [new X509Certificate(chainPem).raw.toString('base64')];
    return { chain, presentedAt: Math.floor(Date.now() / 1000) };
  }

  /** A verdict of a person over what they are asked to approve. */
  async verdict(
    person: string,
    role: string,
    { toApprove }: { readonly toApprove: ToApprove },
    changes: Partial<VerdictClaims> = {},
  ): Promise<string> {
    const { chainPem, privateKeyPem } = await this.svid(person);
    return signVerdict(createPrivateKey(privateKeyPem), [new X509Certificate(chainPem).raw], {
      req: toApprove.req,
      dig: sha256Base64url(canonicalJson(toApprove)),
      verdict: 'approve',
      role,
      reason: 'it is right',
      attests: [],
      iat: Math.floor(Date.now() / 1000),
      jti: randomBytes(16).toString('base64url'),
      ...changes,
    });
  }

  /** Admits a request that people have to decide about. */
  async admitted(request: PoaRequest): Promise<Assessment> {
    const admission = await this.activities.admitRequest(request);
    if (admission.effect === 'deny') throw new Error(`denied: ${admission.reasons.join(', ')}`);
    return admission.assessment;
  }

  async close(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  private async svid(name: string): Promise<IssuedSvid> {
    const known = this.svids.get(name);
    if (known) return known;
    const svid = await issueSvid(this.ca, { spiffeId: `spiffe://corp.example/${name}`, ttlHours: 1 });
    this.svids.set(name, svid);
    return svid;
  }
}
