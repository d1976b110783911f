import type { JsonObject } from './json';

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
}

/** What a caller proved about itself on the connection: its X.509-SVID chain, leaf first, base64 DER. */
export interface IdentityEvidence {
  readonly chain: readonly string[];
  /** When the chain was presented, in epoch seconds. */
  readonly presentedAt: number;
}

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
}

export function toApprove(
  requestId: string,
  asked: AskedMandate,
  granted: { readonly subject: string; readonly limits: JsonObject; readonly audience: string },
): ToApprove {
  return {
    req: requestId,
    sub: granted.subject,
    act: asked.act,
    con: { params: asked.con.params, limits: granted.limits },
    leg: asked.leg,
    ticket: asked.ticket,
    aud: granted.audience,
  };
}
