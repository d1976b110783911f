import { AtbError } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { askedMandateOf } from './mandate-request';
import type { AskedMandate, PoaRequest, ProbeEvidence } from './mandate-request';
import type { ProbeSchedule, Proposed } from './proposal';
import { parseAtbSpiffeId } from './spiffe-id';

/** Decoys, as those who are asked to approve them see them, and when they begin. */
export interface ProbeSeries extends Omit<ProbeSchedule, 'probes'> {
  /** The SPIFFE ID of the agent that seems to ask. */
  readonly agent: string;
  /** One probe each, in this order. */
  readonly asked: readonly AskedMandate[];
}

// What no policy needs more of; how much of it may be is policy's (data: probes).
const MOST_PROBES = 100;
const LONGEST_SECONDS = 366 * 24 * 3_600;

/**
 * The content of a proposal of the kind `probe`: `{"agent": SPIFFE ID, "requests": [bodies of POST /issue]}`, where the
 * first begins later `"after_seconds"`, and where there are more `"every_seconds"`. Throws `proposal_malformed`,
 * `unknown_field`.
 */
export function parseProbes({ content }: Pick<Proposed, 'content'>): ProbeSeries {
  const {
    agent,
    requests,
    after_seconds: afterSeconds = 0,
    every_seconds: everySeconds = null,
    ...unknown
  } = content;
  requireNone(unknown);
  const bodies: readonly Json[] = Array.isArray(requests) ? requests : [];
  if (bodies.length === 0 || bodies.length > MOST_PROBES) {
    throw malformed(`its requests are no list of 1 to ${MOST_PROBES}`);
  }
  if (!isSeconds(afterSeconds))
    throw malformed('its after_seconds is no whole number of seconds up to a year');
  if (bodies.length === 1 ? everySeconds !== null : !isSeconds(everySeconds) || everySeconds === 0) {
    throw malformed('every_seconds, up to a year, is for several requests, and they need it');
  }
  const asked = bodies.map((body) => {
    if (!isJsonObject(body) || typeof body.act !== 'string') throw malformed('a request of its has no act');
    return askedMandateOf(body);
  });
  return { agent: spiffeIdIn(agent), asked, afterSeconds, everySeconds: everySeconds as number | null };
}

/** What policy is told of a proposal of probes; null where it is of something else. */
export function probeSchedule(proposed: Pick<Proposed, 'kind' | 'content'>): ProbeSchedule | null {
  if (proposed.kind !== 'probe') return null;
  const { asked, afterSeconds, everySeconds } = parseProbes(proposed);
  return { probes: asked.length, afterSeconds, everySeconds };
}

/** The content of a proposal of the kind `suspension_lift`: `{"person": …}`. Throws `proposal_malformed`. */
export function parseSuspensionLift({ content }: Pick<Proposed, 'content'>): { readonly person: string } {
  const { person, ...unknown } = content;
  requireNone(unknown);
  return { person: spiffeIdIn(person) };
}

/** By what a request is a probe; undefined where somebody really asks. */
export function probeEvidenceOf({ evidence }: PoaRequest): ProbeEvidence | undefined {
  return evidence.kind === 'probe' ? evidence : undefined;
}

function requireNone(unknown: JsonObject): void {
  const [more] = Object.keys(unknown);
  if (more !== undefined) throw malformed(`its content has ${more}, which does not belong there`);
}

function spiffeIdIn(value: unknown): string {
  if (typeof value !== 'string') throw malformed('it names nobody by their SPIFFE ID');
  return parseAtbSpiffeId(value).uri;
}

function isSeconds(value: Json): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= LONGEST_SECONDS;
}

function malformed(why: string): AtbError {
  return new AtbError('proposal_malformed', `the proposal is malformed: ${why}`);
}
