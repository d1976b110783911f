import { AtbError } from './error';
import type { JsonObject } from './json';
import { reversalContent } from './reversal';
import type { ReversalContent, ReversalTerms } from './reversal';

/** What an agent asks for, after the edge has parsed it: the body of POST /issue in camelCase. */
export interface AskedMandate {
  /** The action's name in the catalogue. */
  readonly act: string;
  readonly con: {
    /** What exactly will be done. */
    readonly params: JsonObject;
    /** Narrower ceilings than policy's; empty where none were asked. */
    readonly limits: JsonObject;
  };
  /** The legal ground as asked (operating model §3, §4); approvals never come from here. */
  readonly leg: JsonObject;
  readonly justification: string | null;
  readonly ticket: string | null;
  readonly requiresDualControl: boolean;
  /** SPIFFE IDs of nominated approvers; empty where the agent nominates none. */
  readonly approvers: readonly string[];
  readonly ttlSeconds: number | null;
  /** Whether a reversal mandate is asked for beside it; absent where not. */
  readonly reversal?: true;
}

/** The fields of the body of POST /issue, each with where it goes. */
const BODY_FIELDS = [
  'act',
  'con',
  'leg',
  'justification',
  'ticket',
  'requires_dual_control',
  'approvers',
  'ttl_seconds',
  'reversal',
];

/**
 * The body of POST /issue in camelCase, with what it leaves out filled in. AgentAuth does this after it has checked the
 * form; the worker does it again to what an agent signed. Throws `unknown_field`.
 */
export function askedMandateOf(body: JsonObject): AskedMandate {
  const unknown = Object.keys(body).find((name) => !BODY_FIELDS.includes(name));
  if (unknown !== undefined) throw new AtbError('unknown_field', `${unknown} is not a field of this call`);
  const con = (body.con ?? {}) as { readonly params?: JsonObject; readonly limits?: JsonObject };
  return {
    act: body.act as string,
    con: { params: con.params ?? {}, limits: con.limits ?? {} },
    leg: (body.leg ?? {}) as JsonObject,
    justification: (body.justification ?? null) as string | null,
    ticket: (body.ticket ?? null) as string | null,
    requiresDualControl: (body.requires_dual_control ?? false) as boolean,
    approvers: (body.approvers ?? []) as readonly string[],
    ttlSeconds: (body.ttl_seconds ?? null) as number | null,
    ...(body.reversal === true && { reversal: true }),
  };
}

/** The same the other way round: as the audit log has it. */
export function mandateBody(asked: AskedMandate): JsonObject {
  return {
    act: asked.act,
    con: { params: asked.con.params, limits: asked.con.limits },
    leg: asked.leg,
    justification: asked.justification,
    ticket: asked.ticket,
    requires_dual_control: asked.requiresDualControl,
    approvers: asked.approvers,
    ttl_seconds: asked.ttlSeconds,
    ...(asked.reversal && { reversal: true }),
  };
}

interface Presented {
  /** When it was presented, in epoch seconds. */
  readonly presentedAt: number;
}

/** The X.509-SVID chain of the connection, leaf first, base64 DER. That its key was proven is AgentAuth's word. */
export interface CertificateEvidence extends Presented {
  /** Absent in what was recorded before there were other kinds. */
  readonly kind?: 'certificate';
  readonly chain: readonly string[];
}

/** The request as the agent signed it with the key of its X.509-SVID: nobody's word but the agent's. */
export interface SignedRequestEvidence extends Presented {
  readonly kind: 'signed_request';
  /** A compact JWS, `typ` "poa-request+jwt"; its certificate is in it. */
  readonly statement: string;
}

/**
 * A token of an agent whose certificate does not reach us, and a DPoP proof over it (RFC 9449) by the key that the
 * mandate will be bound to. Whoever ended the agent's TLS could have made the proof up: it is AgentAuth's and that
 * hop's word.
 */
export interface TokenEvidence extends Presented {
  readonly kind: 'token';
  /** A JWT-SVID, or an identity token of our own. */
  readonly token: string;
  readonly proof: string;
  /** The call as the caller saw it. */
  readonly url: string;
}

/** That nobody asked: Security has it look as if this agent did, by an approved proposal. It proves nobody's identity. */
export interface ProbeEvidence extends Presented {
  readonly kind: 'probe';
  readonly proposal: string;
  /** Which of the proposal's requests it is, from 0. */
  readonly turn: number;
}

/** What a caller proved about itself. The worker verifies it again, whoever hands it over. */
export type IdentityEvidence = CertificateEvidence | SignedRequestEvidence | TokenEvidence | ProbeEvidence;

/** The input of the workflow `poa-request`. */
export interface PoaRequest {
  readonly requestId: string;
  readonly asked: AskedMandate;
  readonly evidence: IdentityEvidence;
  /** What AgentAuth expects policy to say. It binds nobody: it only chooses between the short path and the long one. */
  readonly forecast: 'issue' | 'require' | 'deny';
}

/**
 * What approvers sign for, as its digest (`dig`): the content of the mandate and nothing that policy may change
 * without changing what happens. Tier, requirement and policy revision stand beside it, unsigned.
 */
export interface ToApprove extends JsonObject {
  readonly req: string;
  readonly sub: string;
  readonly act: string;
  readonly con: { readonly params: JsonObject; readonly limits: JsonObject };
  readonly leg: JsonObject;
  readonly ticket: string | null;
  readonly aud: string;
  /** What the broker may do if the system fails after it has committed; absent where nobody asked for it. */
  readonly reversal?: ReversalContent;
}

export function toApprove(
  requestId: string,
  asked: AskedMandate,
  granted: {
    readonly subject: string;
    readonly limits: JsonObject;
    readonly audience: string;
    readonly reversal: ReversalTerms | null;
  },
): ToApprove {
  return {
    req: requestId,
    sub: granted.subject,
    act: asked.act,
    con: { params: asked.con.params, limits: granted.limits },
    leg: asked.leg,
    ticket: asked.ticket,
    aud: granted.audience,
    ...(granted.reversal && { reversal: reversalContent(granted.reversal, asked.con.params) }),
  };
}
