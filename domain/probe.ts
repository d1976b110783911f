import { AtbError } from './error';
import { isJsonObject } from './json';
import type { JsonObject } from './json';
import { askedMandateOf } from './mandate-request';
import type { AskedMandate, PoaRequest } from './mandate-request';
import type { Proposed } from './proposal';
import { parseAtbSpiffeId } from './spiffe-id';

/** What a probe looks like to those who are asked to approve it. */
export interface Probe {
  /** The SPIFFE ID of the agent that seems to ask. */
  readonly agent: string;
  readonly asked: AskedMandate;
  /** How long after its approval it begins. */
  readonly afterSeconds: number;
}

const LONGEST_DELAY_SECONDS = 30 * 24 * 3_600;

/**
 * The content of a proposal of the kind `probe`: `{"agent": …, "request": the body of POST /issue}`, and where it begins
 * later `"after_seconds"`, up to thirty days. Throws `proposal_malformed`, `unknown_field`.
 */
export function parseProbe({ content }: Pick<Proposed, 'content'>): Probe {
  const { agent, request, after_seconds: afterSeconds = 0, ...unknown } = content;
  requireNone(unknown);
  if (!isJsonObject(request) || typeof request.act !== 'string') throw malformed('its request has no act');
  if (
    typeof afterSeconds !== 'number' ||
    !Number.isSafeInteger(afterSeconds) ||
    afterSeconds < 0 ||
    afterSeconds > LONGEST_DELAY_SECONDS
  ) {
    throw malformed('its after_seconds is no whole number of seconds up to thirty days');
  }
  return { agent: spiffeIdIn(agent), asked: askedMandateOf(request), afterSeconds };
}

/** The content of a proposal of the kind `suspension_lift`: `{"person": …}`. Throws `proposal_malformed`. */
export function parseSuspensionLift({ content }: Pick<Proposed, 'content'>): { readonly person: string } {
  const { person, ...unknown } = content;
  requireNone(unknown);
  return { person: spiffeIdIn(person) };
}

/** Throws where the content is not what its kind has. */
export function requireContent(proposed: Proposed): void {
  if (proposed.kind === 'probe') parseProbe(proposed);
  if (proposed.kind === 'suspension_lift') parseSuspensionLift(proposed);
}

/** The proposal by which a request is a probe; undefined where somebody really asks. */
export function probeProposalOf({ evidence }: PoaRequest): string | undefined {
  return evidence.kind === 'probe' ? evidence.proposal : undefined;
}

function requireNone(unknown: JsonObject): void {
  const [more] = Object.keys(unknown);
  if (more !== undefined) throw malformed(`its content has ${more}, which does not belong there`);
}

function spiffeIdIn(value: unknown): string {
  if (typeof value !== 'string') throw malformed('it names nobody by their SPIFFE ID');
  return parseAtbSpiffeId(value).uri;
}

function malformed(why: string): AtbError {
  return new AtbError('proposal_malformed', `the proposal is malformed: ${why}`);
}
