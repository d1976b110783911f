import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { signVerdict } from '../adapters/jose/verdict-statement';
import { JsonClient } from '../apps/atb/dev/json-client';
import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { isAtbError, isRetryable } from '../domain/error';

/** What the benchmark needs of dev.json. */
export interface Identities {
  readonly agentauth: { readonly url: string };
  readonly trust_bundle: string;
  readonly identities: Readonly<Record<string, { readonly cert: string; readonly key: string }>>;
}

export function loadIdentities(devJson: string): Identities {
  return JSON.parse(devJson) as Identities;
}

const TRIES = 10;
const TRIED_AGAIN_MS = 500;
const ACCOUNTABLE = { jurisdiction: 'EU', accountable_party: { type: 'employee', id: 'emp-200' } };

/** One client of the benchmark: an agent and two approvers, each on its own kept-alive connection. */
export class BenchAgent {
  private readonly low: JsonClient;
  private readonly high: JsonClient;
  private readonly approvers: readonly [Approver, Approver];

  constructor(dev: Identities) {
    this.low = clientOf(dev, 'agent/crm-assistant');
    this.high = clientOf(dev, 'agent/finance-bot');
    this.approvers = [
      new Approver(dev, 'person/bob', 'compliance'),
      new Approver(dev, 'person/carol', 'security'),
    ];
  }

  /** Answers the request's id. */
  async issueLow(): Promise<string> {
    const { status, body } = await this.low.post('/issue', {
      act: 'crm.contact.read',
      con: { params: { contact_id: 'C-42' } },
      leg: { ...ACCOUNTABLE, basis: 'LI', ref: 'LI-2024-001' },
    });
    if (status !== 201 || typeof body.mandate !== 'string')
      throw new Error(`no mandate: ${JSON.stringify(body)}`);
    return String(body.request_id);
  }

  /**
   * Asks for what one person must approve, again where the machine was too busy to answer: it only fills a queue.
   * Answers the request's id.
   */
  async askMedium(): Promise<string> {
    for (let tries = 1; ; tries++) {
      try {
        return String((await this.medium()).request_id);
      } catch (error) {
        if (!isAtbError(error) || !isRetryable(error.code) || tries === TRIES) throw error;
        await sleep(TRIED_AGAIN_MS);
      }
    }
  }

  /** As `askMedium`, with the approver's statement signed. Answers how to give it, which ends when it is collectable. */
  async askToApprove(): Promise<() => Promise<void>> {
    const asked = await this.medium();
    const [approver] = this.approvers;
    const requestId = String(asked.request_id);
    const statement = await approver.sign(requestId, asked.to_approve);
    return async () => {
      const state = await approver.give(requestId, statement);
      if (state !== 'approved') throw new Error(`not collectable: ${state}`);
    };
  }

  private async medium(): Promise<Record<string, unknown>> {
    const { body } = await this.high.post('/issue', {
      act: 'erp.order.create',
      leg: { ...ACCOUNTABLE, basis: 'CONTRACT', ref: 'MSA-12345' },
    });
    return body;
  }

  /** The whole high-tier path: asked, two verdicts, collected. Answers the request's id. */
  async issueHigh(): Promise<string> {
    const asked = await this.high.post('/issue', {
      act: 'sap.payment.execute',
      con: { params: { amount: 1250 } },
      leg: { ...ACCOUNTABLE, basis: 'CONTRACT', ref: 'MSA-12345' },
    });
    const requestId = String(asked.body.request_id);
    for (const approver of this.approvers) await approver.approve(requestId, asked.body.to_approve);
    const { body } = await this.high.post(`/requests/${requestId}/collect`);
    if (typeof body.mandate !== 'string') throw new Error(`no mandate: ${JSON.stringify(body)}`);
    return requestId;
  }

  close(): void {
    this.low.close();
    this.high.close();
    for (const approver of this.approvers) approver.close();
  }
}

class Approver {
  private readonly client: JsonClient;
  private readonly key: KeyObject;
  private readonly chain: readonly Uint8Array[];

  constructor(
    dev: Identities,
    name: string,
    private readonly role: string,
  ) {
    this.client = clientOf(dev, name);
    const { cert, key } = filesOf(dev, name);
    this.key = createPrivateKey(key);
    this.chain = [new X509Certificate(cert).raw];
  }

  async approve(requestId: string, content: unknown): Promise<void> {
    await this.give(requestId, await this.sign(requestId, content));
  }

  sign(requestId: string, content: unknown): Promise<string> {
    return signVerdict(this.key, this.chain, {
      req: requestId,
      dig: sha256Base64url(canonicalJson(content)),
      verdict: 'approve',
      role: this.role,
      reason: 'benchmark',
      attests: [],
      iat: Math.floor(Date.now() / 1000),
      jti: randomBytes(16).toString('base64url'),
    });
  }

  /** Answers the state that the request is in then. */
  async give(requestId: string, verdict: string): Promise<string> {
    return String((await this.client.post(`/requests/${requestId}/verdicts`, { verdict })).body.state);
  }

  close(): void {
    this.client.close();
  }
}

function clientOf(dev: Identities, name: string): JsonClient {
  return new JsonClient({
    url: dev.agentauth.url,
    ca: readFileSync(dev.trust_bundle, 'utf8'),
    ...filesOf(dev, name),
  });
}

function filesOf(dev: Identities, name: string): { cert: string; key: string } {
  const identity = dev.identities[name];
  if (!identity) throw new Error(`${name} is no identity of the stack`);
  return { cert: readFileSync(identity.cert, 'utf8'), key: readFileSync(identity.key, 'utf8') };
}
