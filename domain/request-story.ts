import type { Leaf } from './audit-leaf';
import { canonicalJson } from './canonical-json';
import { commitmentTo } from './commitment';
import { sha256Base64url } from './digest';
import { AtbError, isAtbError } from './error';
import { digestOf } from './evidence';
import type { Evidence } from './evidence';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { approversOf, mandateClaimsOf } from './mandate';
import type { Confirmation, MandateClaims, MandateParts } from './mandate';
import { askedMandateOf, toApprove } from './mandate-request';
import type { AskedMandate } from './mandate-request';
import { policyInputOf, reversalTermsOf } from './policy';
import type { ClimbedRung, PolicyInput, Tier, VerdictFact } from './policy';
import type { SvidValidator, VerdictOpener } from './ports';
import { provenEvents } from './proven-event';
import type { ProvenEvent } from './proven-event';
import type { RecordedVerdict } from './request-status';
import type { NoteVerifier } from './signed-note';
import { ticketFactOf } from './ticket';

/** What evidence is verified with: public things only. */
export interface StoryMeans {
  readonly logKeys: readonly NoteVerifier[];
  readonly verdicts: VerdictOpener;
  readonly svids: SvidValidator;
}

export interface VerdictStory {
  readonly jti: string;
  readonly verdict: RecordedVerdict['verdict'];
  readonly role: string;
  readonly at: Date;
  /** Null where that is withheld. */
  readonly by: string | null;
  readonly reason: string | null;
  readonly attests: readonly string[];
  /** What policy was told of it, its signature and certificate verified; null where the statement is withheld. */
  readonly fact: VerdictFact | null;
  /** Whether it was verified that exactly what was asked was signed; false only where part of that is withheld. */
  readonly overContent: boolean;
}

export interface MandateStory {
  readonly jti: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly tier: Tier;
  readonly dualControl: boolean;
  readonly policyRevision: string;
  /** Null for each that is withheld. */
  readonly approvers: readonly (string | null)[];
  /** Made again from what was asked and the verdicts; null where part of that is withheld. */
  readonly claims: MandateClaims | null;
  /** Base64url SHA-256 of the claims, which is the payload of the token; null where withheld. */
  readonly digest: string | null;
  /** All that policy was told when it said yes; null where part of that is withheld. */
  readonly policyInput: PolicyInput | null;
}

export interface RedemptionStory {
  readonly at: Date;
  readonly connector: string;
  readonly route: string;
  /** Nothing had been sent: the mandate was free again. */
  readonly givenBack: boolean;
}

/** What evidence proves of one request. */
export interface Story {
  readonly requestId: string;
  readonly log: { readonly origin: string; readonly size: number };
  readonly events: readonly ProvenEvent[];
  readonly agent: string | null;
  readonly action: string | null;
  readonly askedAt: Date | null;
  /** Null where it is withheld, or was too long for the log. */
  readonly asked: AskedMandate | null;
  readonly verdicts: readonly VerdictStory[];
  readonly mandate: MandateStory | null;
  readonly redemptions: readonly RedemptionStory[];
  readonly revokedAt: Date | null;
  /** How it ended without a mandate. */
  readonly end: { readonly type: string; readonly at: Date; readonly reasons: readonly string[] } | null;
  /** What nobody can read in this file, by event and place. */
  readonly withheld: readonly string[];
}

const ISSUED = ['poa_issued', 'poa_issued_dual_control'];
const ENDED = ['poa_rejected', 'poa_withdrawn', 'poa_expired', 'poa_cancelled', 'poa_denied'];
// Operating model §2.1: 5 min TTL.
const LONGEST_LIFETIME_SECONDS = 300;
// The most that a broker may be told to allow (ATB_CLOCK_SKEW_SECONDS).
const CLOCK_SKEW_SECONDS = 30;

/**
 * Verifies one request's whole story: that each event is in the log; each verdict by signature, certificate as of its
 * receipt, and content; that the mandate follows from what was asked and from the verdicts; and that it was used once at
 * most. Throws `checkpoint_malformed`, `checkpoint_untrusted` and `evidence_invalid`, with the first thing that is wrong,
 * and `evidence_unverifiable` where nothing is wrong, but an earlier version recorded too little.
 * What is withheld is not verified, and is named in the story. That nothing else happened cannot be told by one file:
 * the log itself can.
 */
export async function verifiedStory(
  evidence: Evidence & { readonly digest: string },
  means: StoryMeans,
): Promise<Story> {
  const { checkpoint, events } = provenEvents(evidence, means.logKeys);
  const { requestId } = evidence;
  const requested = onlyOne(events, ['poa_requested']);
  const ends = ofTypes(events, ENDED);
  const end = ends.at(-1);
  if (!requested && !end) throw invalid('nothing tells what was asked');
  const asked = requested ? askedOf(requested) : null;

  const verdicts: VerdictStory[] = [];
  for (const event of ofTypes(events, ['poa_verdict_recorded'])) {
    verdicts.push(await verdictOf(event, { requestId, requested, asked }, means));
  }
  const issued = onlyOne(events, ISSUED);
  const mandate = issued ? mandateOf(issued, { requestId, requested, asked, verdicts, events }) : null;
  const finished = ends.find(({ leaf }) => leaf.type !== 'poa_denied');
  if (issued && finished) throw invalid(`there is a mandate, and ${finished.leaf.id} says there is none`);

  const story: Story = {
    requestId,
    log: { origin: checkpoint.origin, size: checkpoint.size },
    events,
    agent: (requested ?? end)?.leaf.subject ?? null,
    action: (requested ?? end)?.leaf.action ?? null,
    askedAt: requested ? timeOf(requested) : null,
    asked,
    verdicts,
    mandate,
    redemptions: redemptionsOf(events, issued, asked),
    revokedAt: revokedAt(events),
    end:
      issued || !end ? null : { type: end.leaf.type, at: timeOf(end), reasons: end.leaf.reasons.map(String) },
    withheld: events.flatMap(({ leaf, withheld }) => withheld.map((name) => `${leaf.id} ${name}`)),
  };
  if (evidence.digest !== digestOf(evidence)) throw invalid('its digest is not that of its content');
  return story;
}

/** What was asked, whole, or null; it is what the digest says, where that is shown. */
function askedOf({ leaf, withheld }: ProvenEvent): AskedMandate | null {
  requireTold(leaf, ['asked', 'asked_digest']);
  const { asked, asked_digest: digest } = leaf.data;
  if (!isJsonObject(asked) || withheld.some((name) => name.startsWith('/data/asked/'))) return null;
  const mandate = askedMandateOf(asked);
  if (digest !== null && sha256Base64url(canonicalJson(mandate)) !== digest) {
    throw invalid(`${leaf.id}: what was asked is not what its digest says`);
  }
  if (mandate.act !== leaf.action) throw invalid(`${leaf.id}: another action was asked`);
  return mandate;
}

async function verdictOf(
  event: ProvenEvent,
  {
    requestId,
    requested,
    asked,
  }: {
    readonly requestId: string;
    readonly requested: ProvenEvent | undefined;
    readonly asked: AskedMandate | null;
  },
  { verdicts, svids }: StoryMeans,
): Promise<VerdictStory> {
  const { leaf } = event;
  const { data, id } = leaf;
  if (!requested || requested.index >= event.index) throw invalid(`${id} comes before the request`);
  requireTold(leaf, ['statement', 'limits', 'audience']);
  const told = {
    jti: text(leaf, 'jti'),
    verdict: text(leaf, 'verdict') as RecordedVerdict['verdict'],
    role: text(leaf, 'role'),
    attests: (data.attests ?? []) as readonly string[],
    at: timeOf(event),
  };
  const { statement } = data;
  if (typeof statement !== 'string') {
    return { ...told, by: leaf.actor, reason: null, fact: null, overContent: false };
  }
  const wrong = (why: string, cause?: unknown) => invalid(`the verdict ${told.jti}: ${why}`, cause);
  if (sha256Base64url(statement) !== data.statement_digest) throw wrong('another statement was recorded');
  const { claims, svid } = await opened(statement, told.at, { verdicts, svids }, wrong);
  if (leaf.actor !== null && leaf.actor !== svid.spiffeId) throw wrong(`it was signed by ${svid.spiffeId}`);
  const same =
    claims.req === requestId &&
    claims.jti === told.jti &&
    claims.verdict === told.verdict &&
    claims.role === told.role &&
    canonicalJson(claims.attests) === canonicalJson(told.attests);
  if (!same) throw wrong('the event does not say what was signed');
  if (asked && claims.dig !== contentDigest(requestId, requested, asked, leaf)) {
    throw wrong('it was signed over something else than what was asked');
  }
  const { spiffeId: by, x5tS256: certificate } = svid;
  return {
    ...told,
    by,
    reason: claims.reason,
    overContent: asked !== null,
    fact: {
      ...{ jti: told.jti, by, certificate, verdict: told.verdict, role: told.role, attests: told.attests },
      reasoned: claims.reason.trim() !== '',
      issuedAt: claims.iat,
      receivedAt: epochSeconds(told.at),
    },
  };
}

async function opened(
  statement: string,
  at: Date,
  { verdicts, svids }: Pick<StoryMeans, 'verdicts' | 'svids'>,
  wrong: (why: string, cause?: unknown) => AtbError,
) {
  try {
    const { claims, chain } = await verdicts.open(statement);
    return { claims, svid: svids.validate(chain, at) };
  } catch (cause) {
    if (!isAtbError(cause)) throw cause;
    throw wrong(cause.message, cause);
  }
}

/** The digest over what approvers saw (`to_approve`), with the limits and the audience that the event tells. */
function contentDigest(
  requestId: string,
  requested: ProvenEvent,
  asked: AskedMandate,
  { data, id }: Leaf,
): string {
  const { limits, audience } = data;
  if (!isJsonObject(limits) || typeof audience !== 'string')
    throw invalid(`${id} tells no limits, or no audience`);
  const subject = requested.leaf.subject ?? '';
  const reversal = isJsonObject(data.reversal) ? reversalTermsOf(data.reversal) : null;
  return sha256Base64url(canonicalJson(toApprove(requestId, asked, { subject, limits, audience, reversal })));
}

function mandateOf(
  issued: ProvenEvent,
  {
    requestId,
    requested,
    asked,
    verdicts,
    events,
  }: {
    readonly requestId: string;
    readonly requested: ProvenEvent | undefined;
    readonly asked: AskedMandate | null;
    readonly verdicts: readonly VerdictStory[];
    readonly events: readonly ProvenEvent[];
  },
): MandateStory {
  const { leaf } = issued;
  const wrong = (why: string) => invalid(`the mandate ${text(leaf, 'jti')}: ${why}`);
  if (!requested || requested.index >= issued.index) throw wrong('it was issued before it was asked for');
  if (leaf.subject !== requested.leaf.subject || leaf.action !== requested.leaf.action) {
    throw wrong('it is for another agent or action than the request');
  }
  requireTold(leaf, [
    'verdicts',
    'requirement',
    'limits',
    'audience',
    'confirmation',
    'decided_at',
    'mandate_digest',
  ]);
  const iat = epochSeconds(timeOf(issued));
  const exp = number(leaf, 'exp');
  if (!(exp > iat && exp - iat <= LONGEST_LIFETIME_SECONDS)) throw wrong(`it lives for ${exp - iat} s`);

  const counted = ((leaf.data.verdicts ?? []) as readonly string[]).map((jti) => {
    const found = verdicts.find((verdict) => verdict.jti === jti);
    const event = events.find(({ leaf: { id } }) => id === `${requestId}/poa_verdict_recorded/${jti}`);
    if (!found || !event) throw wrong(`the verdict ${jti} counted, and was not recorded`);
    if (event.index >= issued.index) throw wrong(`the verdict ${jti} came after it`);
    return found;
  });
  const dualControl = leaf.type === 'poa_issued_dual_control';
  requireMet(leaf, counted, dualControl, wrong);

  const approvers = (leaf.data.approvers ?? []) as readonly (string | null)[];
  const digest = typeof leaf.data.mandate_digest === 'string' ? leaf.data.mandate_digest : null;
  const claims = asked && claimsAgain(leaf, { requestId, asked, counted, dualControl, iat, exp });
  if (claims && digest !== null && sha256Base64url(canonicalJson(claims)) !== digest) {
    throw wrong('its claims do not follow from what was asked and from the verdicts');
  }
  const due = claims && approversOf(claims.leg);
  if (due && !approvers.every((id, index) => (id ?? due[index]) === due[index] && due.length > index)) {
    throw wrong('its approvers are not those who signed');
  }
  return {
    jti: text(leaf, 'jti'),
    issuedAt: timeOf(issued),
    expiresAt: new Date(exp * 1000),
    tier: leaf.tier as Tier,
    dualControl,
    policyRevision: text(leaf, 'policy_revision'),
    approvers,
    claims,
    digest,
    policyInput:
      asked && inputAgain(issued, { asked, counted, climbed: climbedBefore(issued, requested, events) }),
  };
}

/** Enough people said yes, each another one, and none of them the agent. Operating model §2.2. */
function requireMet(
  { data, subject }: Leaf,
  counted: readonly VerdictStory[],
  dualControl: boolean,
  wrong: (why: string) => AtbError,
): void {
  const requirement = isJsonObject(data.requirement) ? data.requirement : {};
  const approvals = counted.filter(({ verdict }) => verdict === 'approve');
  const releases = counted.filter(({ verdict }) => verdict === 'release');
  const least = Math.max(Number(requirement.approvals ?? 0), dualControl ? 2 : 0);
  if (approvals.length < least) throw wrong(`${approvals.length} approved, and ${least} had to`);
  const releaseRoles = (requirement.release_roles ?? []) as readonly string[];
  if (releaseRoles.length > 0 && releases.length === 0) throw wrong('nobody released it');
  const people = [...approvals, ...releases].flatMap(({ by }) => (by === null ? [] : [by]));
  if (new Set(people).size < people.length) throw wrong('one person decided twice');
  if (subject !== null && people.includes(subject)) throw wrong('the agent approved it itself');
  if (counted.some(({ verdict }) => verdict === 'reject')) throw wrong('a rejection counted for it');
}

function claimsAgain(
  leaf: Leaf,
  {
    requestId,
    asked,
    counted,
    dualControl,
    iat,
    exp,
  }: {
    readonly requestId: string;
    readonly asked: AskedMandate;
    readonly counted: readonly VerdictStory[];
    readonly dualControl: boolean;
    readonly iat: number;
    readonly exp: number;
  },
): MandateClaims | null {
  const { data, actor, subject, tier } = leaf;
  const records = counted.flatMap(({ jti, verdict, role, attests, by, reason, at }) =>
    by === null
      ? []
      : [{ jti, verdict, role, attests, by, reason: reason ?? '', receivedAt: epochSeconds(at) }],
  );
  if (records.length < counted.length || actor === null || subject === null || tier === null) return null;
  // Null where it is withheld; mandates of before had none.
  if (data.salt === null) return null;
  const requirement = isJsonObject(data.requirement) ? data.requirement : {};
  return mandateClaimsOf({
    ...{ issuer: actor, audience: text(leaf, 'audience'), agent: subject, requestId, asked, tier, iat, exp },
    jti: text(leaf, 'jti'),
    policyRevision: text(leaf, 'policy_revision'),
    limits: object(leaf, 'limits'),
    requirement: { dualControl, ticket: requirement.ticket === true },
    verdicts: records,
    attestedByTicket: (data.attested_by_ticket ?? []) as readonly string[],
    confirmation: object(leaf, 'confirmation') as JsonObject & Confirmation,
    reversal: isJsonObject(data.reversal) ? reversalAgain(leaf, data.reversal) : null,
    salt: saltOf(leaf),
  });
}

function reversalAgain({ id }: Leaf, { jti, exp, ...terms }: JsonObject): MandateParts['reversal'] {
  if (typeof jti !== 'string' || typeof exp !== 'number') throw invalid(`${id} tells no proper reversal`);
  return { terms: reversalTermsOf(terms), jti, exp };
}

// Of those that counted alone: whoever was suspended then is none of them.
function inputAgain(
  { leaf }: ProvenEvent,
  {
    asked,
    counted,
    climbed,
  }: {
    readonly asked: AskedMandate;
    readonly counted: readonly VerdictStory[];
    readonly climbed: readonly ClimbedRung[];
  },
): PolicyInput | null {
  const facts = counted.flatMap(({ fact }) => (fact ? [fact] : []));
  if (facts.length < counted.length || leaf.subject === null) return null;
  const { ticket } = leaf.data;
  return policyInputOf(leaf.subject, asked, {
    ticketFact: isJsonObject(ticket) ? ticketFactOf(ticket) : null,
    verdicts: facts,
    climbed,
    now: number(leaf, 'decided_at'),
  });
}

/** The rungs that the request had climbed by then. */
function climbedBefore(
  issued: ProvenEvent,
  requested: ProvenEvent,
  events: readonly ProvenEvent[],
): readonly ClimbedRung[] {
  return ofTypes(events, ['poa_escalated'])
    .filter(({ index }) => index < issued.index)
    .map((event) => ({
      rung: number(event.leaf, 'rung'),
      waitedSeconds: epochSeconds(timeOf(event)) - epochSeconds(timeOf(requested)),
    }));
}

/** At most one use, of this mandate, in its time, with what was asked. */
function redemptionsOf(
  events: readonly ProvenEvent[],
  issued: ProvenEvent | undefined,
  asked: AskedMandate | null,
): readonly RedemptionStory[] {
  const givenBack = new Set(ofTypes(events, ['poa_given_back']).map(({ leaf }) => useOf(leaf)));
  const uses = ofTypes(events, ['poa_redeemed']).map((event) => {
    const { leaf } = event;
    if (!issued || issued.index >= event.index) throw invalid(`${leaf.id}: there was no mandate to redeem`);
    if (leaf.data.jti !== issued.leaf.data.jti || leaf.subject !== issued.leaf.subject) {
      throw invalid(`${leaf.id}: another mandate, or by another agent`);
    }
    if (epochSeconds(timeOf(event)) >= number(issued.leaf, 'exp') + CLOCK_SKEW_SECONDS) {
      throw invalid(`${leaf.id}: the mandate had lapsed`);
    }
    const params = asked && paramsDigest(issued, asked.con.params);
    if (params !== null && leaf.data.params_digest !== params) {
      throw invalid(`${leaf.id}: it was used with other parameters than were asked`);
    }
    return {
      at: timeOf(event),
      connector: text(leaf, 'connector'),
      route: text(leaf, 'route'),
      givenBack: givenBack.has(useOf(leaf)),
    };
  });
  const used = uses.filter((use) => !use.givenBack).length;
  if (used > 1) throw invalid(`the mandate was used ${used} times`);
  if (uses.length - used > 1) throw invalid('the mandate was given back more than once');
  return uses;
}

/** What the use of a mandate with these parameters is recorded as; null where its salt is not told. */
function paramsDigest({ leaf }: ProvenEvent, params: JsonObject): string | null {
  const salt = saltOf(leaf);
  return salt === undefined ? null : commitmentTo({ salt, name: '/data/params_digest', value: params });
}

function saltOf({ data }: Leaf): string | undefined {
  return typeof data.salt === 'string' ? data.salt : undefined;
}

/** `redemption/<use>/redeemed` and `redemption/<use>/given_back` are of one use. */
function useOf({ id }: Leaf): string {
  return id.split('/')[1] ?? id;
}

function revokedAt(events: readonly ProvenEvent[]): Date | null {
  const revoked = onlyOne(events, ['poa_revoked']);
  return revoked ? timeOf(revoked) : null;
}

/** What is withheld is null, and there; what an earlier version did not tell is not there. Throws `evidence_unverifiable`. */
function requireTold({ id, data }: Leaf, names: readonly string[]): void {
  const missing = names.filter((name) => !Object.hasOwn(data, name));
  if (missing.length === 0) return;
  throw new AtbError(
    'evidence_unverifiable',
    `${id} is in the log, as it was recorded; but by a version of ATB whose events do not tell ${missing.join(', ')}, so that the story cannot be verified from it`,
  );
}

function ofTypes(events: readonly ProvenEvent[], types: readonly string[]): readonly ProvenEvent[] {
  return events.filter(({ leaf: { type } }) => types.includes(type));
}

function onlyOne(events: readonly ProvenEvent[], types: readonly string[]): ProvenEvent | undefined {
  const [first, second] = ofTypes(events, types);
  if (second) throw invalid(`${second.leaf.id} is told a second time`);
  return first;
}

function timeOf({ leaf }: ProvenEvent): Date {
  return new Date(leaf.time);
}

function text({ id, data }: Leaf, name: string): string {
  const value: Json | undefined = data[name];
  if (typeof value !== 'string') throw invalid(`${id} tells no ${name}`);
  return value;
}

function number({ id, data }: Leaf, name: string): number {
  const value: Json | undefined = data[name];
  if (typeof value !== 'number') throw invalid(`${id} tells no ${name}`);
  return value;
}

function object({ id, data }: Leaf, name: string): JsonObject {
  const value: Json | undefined = data[name];
  if (!isJsonObject(value)) throw invalid(`${id} tells no ${name}`);
  return value;
}

function epochSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}

function invalid(why: string, cause?: unknown): AtbError {
  return new AtbError('evidence_invalid', `the evidence does not hold: ${why}`, { cause });
}
