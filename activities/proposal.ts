import type { AuditEvent } from '../domain/audit-event';
import { isChangeKind, parseChange } from '../domain/change';
import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import { cutShort } from '../domain/foreign-text';
import type {
  Clock,
  Notifier,
  PolicyApprovals,
  PolicyEngine,
  Probes,
  ProposalEnd,
  ProposalEntry,
  ProposalRecord,
  Proposals,
  SignOffEntry,
  SignOffOpener,
  SvidValidator,
} from '../domain/ports';
import { parseSuspensionLift, probeSchedule } from '../domain/probe';
import { PROPOSE, proposalSubject } from '../domain/proposal';
import { requireContent } from '../domain/proposal-content';
import { proposalDigest, proposalId } from '../domain/proposal-digest';
import type {
  Proposed,
  RecordedSignOff,
  SignOffClaims,
  SignOffDecision,
  SignOffFact,
} from '../domain/proposal';
import { parseAtbSpiffeId } from '../domain/spiffe-id';
import { uncounted } from '../domain/uncounted-verdict';
import { codeOf, epochSeconds } from './assessment';
import { byCode, orRefusal } from './failure';
import type {
  ConnectorForce,
  ProposalActivities,
  ProposalConclusion,
  ProposalEnding,
  ProposalRung,
  ProposalSignal,
  ProposalStanding,
  Refused,
  SignOffInput,
} from './proposal-types';

/** What the steps of a proposal reach. */
export interface ProposalPorts {
  readonly clock: Clock;
  readonly policy: PolicyEngine;
  readonly svids: SvidValidator;
  readonly signOffs: SignOffOpener;
  readonly proposals: Proposals & Pick<PolicyApprovals, 'approved' | 'firstPolicy'>;
  readonly probes: Probes;
  readonly notifier: Notifier;
}

/** All that is needed to judge a proposal that was recorded. */
export type JudgingPorts = Pick<ProposalPorts, 'clock' | 'policy' | 'svids' | 'signOffs'> & {
  readonly proposals: Pick<Proposals, 'recordOf'>;
  readonly probes: Pick<Probes, 'suspended'>;
};

/** A word, its signature and certificate verified, and the moment of its receipt. */
export interface VerifiedWord {
  readonly claims: SignOffClaims;
  readonly fact: SignOffFact;
}

/** The activities over their ports. */
export function createProposalActivities(all: ProposalPorts): ProposalActivities {
  /** One step asks one revision of policy, from its first question to its last. */
  const step = <T>(work: (ports: ProposalPorts) => Promise<T>): Promise<T> =>
    byCode(() => work({ ...all, policy: all.policy.snapshot() }));
  return {
    propose: (input) => step((ports) => propose(ports, input)),
    signOff: (input) => step((ports) => signOff(ports, input)),
    concludeProposal: (input) => step((ports) => conclude(ports, input.id)),
    endProposal: (input) => step((ports) => end(ports, input)),
    escalateProposal: (input) => step((ports) => escalate(ports, input)),
    recordProposalSignal: (input) => step((ports) => recordSignal(ports, input)),
    connectorInForce: (input) => step((ports) => connectorInForce(ports, input)),
    lapseProposal: (input) => step((ports) => lapse(ports, input)),
  };
}

/** Who proposes is who signed; policy says whether they may, and who has to sign it off. */
async function propose(
  ports: ProposalPorts,
  {
    proposed,
    statement,
    id,
  }: { readonly proposed: Proposed; readonly statement: string; readonly id: string },
): Promise<ProposalStanding | Refused> {
  return refusable(async () => {
    if (id !== proposalId(proposed, statement)) {
      throw new AtbError('proposal_malformed', 'its id does not follow from its statement');
    }
    requireContent(proposed);
    const earlier = await ports.proposals.recordOf(id);
    const at = earlier.proposal?.proposedAt ?? ports.clock();
    const word = verify(ports, statement, at);
    requireOn(word.claims, proposalSubject(proposed), proposed);
    if (word.claims.step !== PROPOSE || word.claims.verdict !== 'approve') {
      throw new AtbError('sign_off_step_unknown', 'what proposes something is signed as the step propose');
    }
    const decision = await ports.policy.signOff({
      kind: proposed.kind,
      proposing: word.fact,
      words: [],
      suspended: [],
      schedule: probeSchedule(proposed),
      now: epochSeconds(ports.clock()),
    });
    if (decision.effect === 'deny') throw denied(decision.reasons);
    requireTimeLeft(proposed, at);
    if (!earlier.proposal) await requireThere(ports, proposed);
    await ports.proposals.propose(
      { ...proposed, id, author: word.fact.by, statement, proposedAt: at },
      {
        ...eventOf(id, 'proposal_made'),
        time: at,
        actor: word.fact.by,
        personal: { '/actor': word.fact.by },
        data: {
          ...dataOf(id, proposed),
          digest: proposalDigest(proposed),
          statement_digest: sha256Base64url(statement),
          policy_revision: decision.policyRevision,
        },
      },
    );
    return standingOf({ ...proposed, author: word.fact.by, proposedAt: at }, decision, []);
  });
}

/** A word is recorded only when it counts; one that does not is refused with the reason, and changes nothing. */
async function signOff(
  ports: ProposalPorts,
  { id, proposed, statement }: SignOffInput,
): Promise<ProposalStanding | Refused> {
  return refusable(
    () => counted(ports, { id, proposed, statement }),
    (error) => recordRefusal(ports, { id, proposed, statement }, error),
  );
}

async function counted(
  ports: ProposalPorts,
  { id, proposed, statement }: SignOffInput,
): Promise<ProposalStanding> {
  const record = await ports.proposals.recordOf(id);
  if (!record.proposal) throw new AtbError('proposal_unknown', 'no such proposal was recorded');
  if (record.end) throw new AtbError('proposal_finished', `the proposal is ${record.end}`);
  const earlier = record.words.find((word) => word.statement === statement);
  const receivedAt = earlier?.receivedAt ?? ports.clock();
  const word = verify(ports, statement, receivedAt);
  requireOn(word.claims, id, proposed);
  const before = record.words.filter((known) => known.statement !== statement);
  const { decision } = await judge(ports, record, [
    ...before,
    { jti: word.claims.jti, proposalId: id, statement, by: word.fact.by, receivedAt },
  ]);
  if (decision.effect === 'deny') throw denied(decision.reasons);
  const judgement = decision.words[word.claims.jti];
  if (!judgement?.counts) throw notCounted(judgement?.reasons ?? []);
  const entry = await ports.proposals.recordSignOff(
    { jti: word.claims.jti, proposalId: id, statement, by: word.fact.by, receivedAt },
    {
      ...eventOf(id, 'sign_off_recorded', word.claims.jti),
      // The moment of receipt: as of it the certificate is judged, now and whenever it is looked at again.
      time: receivedAt,
      actor: word.fact.by,
      personal: { '/actor': word.fact.by },
      data: {
        ...dataOf(id, proposed),
        step: word.claims.step,
        verdict: word.claims.verdict,
        role: word.claims.role,
        jti: word.claims.jti,
        statement_digest: sha256Base64url(statement),
        policy_revision: decision.policyRevision,
      },
    },
  );
  if (entry.proposalId !== id || entry.statement !== statement) {
    throw new AtbError('verdict_already_used', 'a sign-off with this jti was recorded before');
  }
  return standing(ports, id);
}

/**
 * Where a recorded proposal stands, believing no history and no table: every statement is verified again, as of its
 * receipt, and policy is asked as it is now.
 */
export async function standing(ports: JudgingPorts, id: string): Promise<ProposalStanding> {
  const record = await ports.proposals.recordOf(id);
  if (!record.proposal) throw new AtbError('proposal_unknown', 'no such proposal was recorded');
  const { decision, words } = await judge(ports, record, record.words);
  if (decision.effect === 'deny') throw denied(decision.reasons);
  return standingOf(record.proposal, decision, words);
}

async function judge(
  ports: JudgingPorts,
  { proposal }: ProposalRecord,
  entries: readonly SignOffEntry[],
): Promise<{ readonly decision: SignOffDecision; readonly words: readonly VerifiedWord[] }> {
  if (!proposal) throw new AtbError('proposal_unknown', 'no such proposal was recorded');
  const proposing = verify(ports, proposal.statement, proposal.proposedAt);
  requireOn(proposing.claims, proposalSubject(proposal), proposal);
  if (proposing.claims.step !== PROPOSE || proposing.fact.by !== proposal.author) {
    throw new AtbError('evidence_mismatch', 'the proposal was made by somebody else');
  }
  const words: VerifiedWord[] = [];
  for (const { statement, receivedAt } of entries) {
    const word = verify(ports, statement, receivedAt);
    requireOn(word.claims, proposal.id, proposal);
    words.push(word);
  }
  const decision = await ports.policy.signOff({
    kind: proposal.kind,
    proposing: proposing.fact,
    words: words.map(({ fact }) => fact),
    suspended: await ports.probes.suspended(),
    schedule: probeSchedule(proposal),
    now: epochSeconds(ports.clock()),
  });
  return { decision, words };
}

/** The last step: verifies everything again, records, and only then is it in force. */
async function conclude(ports: ProposalPorts, id: string): Promise<ProposalConclusion> {
  const { proposal } = await ports.proposals.recordOf(id);
  if (!proposal) throw new AtbError('proposal_unknown', 'no such proposal was recorded');
  const now = await standing(ports, id);
  if (now.effect === 'wait') return { state: 'wait', standing: now };
  if (now.effect === 'rejected') {
    const state = await end(ports, { id, proposed: proposal, state: 'rejected', reasons: ['rejected'] });
    return { state, standing: now, validUntil: null };
  }
  const at = ports.clock();
  const validUntil = now.validSeconds === null ? null : new Date(at.getTime() + now.validSeconds * 1000);
  const digest = proposalDigest(proposal);
  const event: AuditEvent = {
    ...eventOf(id, 'proposal_approved'),
    time: at,
    data: {
      ...dataOf(id, proposal),
      digest,
      valid_until: validUntil === null ? null : epochSeconds(validUntil),
      policy_revision: now.policyRevision,
    },
  };
  const state = await approve(ports, { proposal: { ...proposal, digest }, validUntil, event });
  if (state === 'approved' && proposal.kind === 'suspension_lift') await lift(ports, proposal, at);
  return {
    ...{ state, standing: now, validUntil: validUntil === null ? null : epochSeconds(validUntil) },
    supersedes: state === 'approved' ? await superseded(ports, proposal) : [],
  };
}

function approve(
  { proposals }: ProposalPorts,
  {
    proposal,
    validUntil,
    event,
  }: {
    readonly proposal: Proposed & { readonly id: string; readonly digest: string };
    readonly validUntil: Date | null;
    readonly event: AuditEvent;
  },
): Promise<ProposalEnd> {
  const { id, kind, name, digest } = proposal;
  switch (kind) {
    case 'connector':
      return proposals.activate(id, { name, digest, proposalId: id, validUntil }, event);
    case 'connector_retirement':
      return proposals.retire(id, name, event);
    case 'policy_bundle':
    case 'policy_rollout':
    case 'change':
    case 'emergency_change':
    case 'probe':
    case 'suspension_lift':
      return proposals.conclude(id, 'approved', event);
  }
}

function lift(ports: ProposalPorts, proposal: Proposed & { readonly id: string }, at: Date): Promise<void> {
  const { person } = parseSuspensionLift(proposal);
  return ports.probes.lift(person, {
    ...eventOf(proposal.id, 'suspension_lifted'),
    ...{ time: at, actor: person, personal: { '/actor': person } },
    data: { proposal: proposal.id },
  });
}

/** Records an end without approval; answers the end that it has, which may be an earlier one. */
function end(ports: ProposalPorts, { id, proposed, state, reasons }: ProposalEnding): Promise<ProposalEnd> {
  return ports.proposals.conclude(id, state, {
    ...eventOf(id, 'proposal_ended'),
    time: ports.clock(),
    reasons,
    data: { ...dataOf(id, proposed), state, policy_revision: ports.policy.revision },
  });
}

/** Recorded before it is told. Rung 0 are the first who are told, which is no escalation. */
async function escalate(ports: ProposalPorts, { id, proposed, rung, roles }: ProposalRung): Promise<void> {
  const event: AuditEvent = {
    ...eventOf(id, 'proposal_escalated', String(rung)),
    time: ports.clock(),
    data: { ...dataOf(id, proposed), rung, roles },
  };
  if (rung > 0) await ports.proposals.append(event);
  await tell(ports, {
    id: event.id,
    proposed,
    roles,
    text: `${subjectOf(proposed)} waits for ${roles.join(', ')}`,
  });
}

/** What was signed off before of the same connector: it is told, and looks by itself. */
async function superseded({ proposals }: ProposalPorts, proposal: ProposalEntry): Promise<readonly string[]> {
  const { id, kind, name } = proposal;
  if (kind !== 'connector' && kind !== 'connector_retirement') return [];
  return (await proposals.approved('connector', name)).filter((other) => other !== id);
}

async function connectorInForce(
  { proposals }: ProposalPorts,
  { id, name }: { readonly id: string; readonly name: string },
): Promise<ConnectorForce> {
  const active = (await proposals.activeConnectors()).find((connector) => connector.name === name);
  if (!active) return 'retired';
  return active.proposalId === id ? 'approved' : 'replaced';
}

/** The time of what was in force is over. Recorded, and those who would sign it off again are told. */
async function lapse(ports: ProposalPorts, { id, proposed, rung, roles }: ProposalRung): Promise<void> {
  // Its end is of no interest to anybody where another is in its place, or nothing any more.
  if (
    proposed.kind === 'connector' &&
    (await connectorInForce(ports, { id, name: proposed.name })) !== 'approved'
  ) {
    return;
  }
  const over = rung > 0;
  const event: AuditEvent = {
    ...eventOf(id, 'proposal_lapsed'),
    time: ports.clock(),
    data: { ...dataOf(id, proposed), digest: proposalDigest(proposed) },
  };
  if (over) await ports.proposals.append(event);
  const what = over ? 'is in force no more' : 'has to be reviewed again soon';
  await tell(ports, { id: `${event.id}/${rung}`, proposed, roles, text: `${subjectOf(proposed)} ${what}` });
}

function tell(
  { notifier }: ProposalPorts,
  told: {
    readonly id: string;
    readonly proposed: Proposed;
    readonly roles: readonly string[];
    readonly text: string;
  },
): Promise<void> {
  const { id, proposed, roles, text } = told;
  return notifier.notify({
    ...{ id, kind: 'proposal', requestId: id.split('/')[0] ?? id, roles },
    facts: { kind: proposed.kind, name: proposed.name },
    text: `${text}: atb proposal show ${id.split('/')[0] ?? id}`,
  });
}

async function recordRefusal(
  ports: ProposalPorts,
  { id, proposed, statement }: SignOffInput,
  error: AtbError,
): Promise<void> {
  const digest = sha256Base64url(statement);
  await ports.proposals.append({
    ...eventOf(id, 'sign_off_refused', `${digest.slice(0, 22)}/${error.code}`),
    time: ports.clock(),
    reasons: error.reasons.length > 0 ? error.reasons : [error.code],
    data: {
      ...dataOf(id, proposed),
      code: error.code,
      statement_digest: digest,
      policy_revision: ports.policy.revision,
    },
  });
}

function recordSignal(
  ports: ProposalPorts,
  { id, proposed, position, signal }: ProposalSignal,
): Promise<void> {
  return ports.proposals.append({
    ...eventOf(id, 'proposal_signal_rejected', String(position)),
    time: ports.clock(),
    reasons: ['verdict_malformed'],
    data: { ...dataOf(id, proposed), signal: cutShort(signal, 256) },
  });
}

/** Opens a statement and validates its certificate as of its receipt. Throws with the reason. */
export function verify(
  { signOffs, svids }: Pick<ProposalPorts, 'signOffs' | 'svids'>,
  statement: string,
  receivedAt: Date,
): VerifiedWord {
  const { claims, chain } = signOffs.open(statement);
  const { spiffeId, x5tS256 } = svids.validate(chain, receivedAt);
  return {
    claims,
    fact: {
      jti: claims.jti,
      by: parseAtbSpiffeId(spiffeId).uri,
      certificate: x5tS256,
      step: claims.step,
      verdict: claims.verdict,
      role: claims.role,
      reasoned: claims.reason.trim() !== '',
      issuedAt: claims.iat,
      receivedAt: epochSeconds(receivedAt),
    },
  };
}

/** Throws where the word is on something else, or on other content than this. */
export function requireOn(claims: SignOffClaims, on: string, proposed: Proposed): void {
  if (claims.on !== on) throw new AtbError('verdict_not_for_request', 'the sign-off names another proposal');
  if (claims.dig !== proposalDigest(proposed)) {
    throw new AtbError(
      'verdict_digest_mismatch',
      'the sign-off was signed over other content than what is proposed; read the proposal again and sign that',
    );
  }
}

export async function refusable<T>(
  work: () => Promise<T>,
  record: (error: AtbError) => Promise<void> = () => Promise.resolve(),
): Promise<T | Refused> {
  const outcome = await orRefusal(work);
  if (!(outcome instanceof AtbError)) return outcome;
  await record(outcome);
  const { code, message, reasons } = outcome;
  return { effect: 'refused', code, message, reasons };
}

export function denied(reasons: readonly string[]): AtbError {
  return new AtbError(codeOf(reasons), 'policy does not let this be proposed', { reasons });
}

export function notCounted(reasons: readonly string[]): AtbError {
  const known = codeOf(reasons.slice(0, 1));
  const code = known === 'policy_denied' ? 'verdict_not_counted' : known;
  return new AtbError(code, uncounted('the sign-off', reasons), { reasons });
}

/**
 * What is taken out of service was put into it, and what gets a share of requests was approved: of a name that was
 * mistyped nothing would happen, and all who read of it would believe that it did. Throws `connector_not_signed_off`,
 * `policy_not_approved`.
 */
async function requireThere({ proposals }: ProposalPorts, { kind, name }: Proposed): Promise<void> {
  if (kind === 'connector_retirement') {
    if ((await proposals.activeConnectors()).some((connector) => connector.name === name)) return;
    throw new AtbError('connector_not_signed_off', `no connector ${name} is in service`);
  }
  if (kind !== 'policy_rollout') return;
  if ((await proposals.firstPolicy()) === name) return;
  if ((await proposals.approved('policy_bundle', name)).length > 0) return;
  throw new AtbError('policy_not_approved', `Security has not approved a policy ${name}`);
}

/** Throws `change_outside_window`: what cannot run any more is nothing to sign off. */
function requireTimeLeft(proposed: Proposed, at: Date): void {
  if (windowLeft(proposed, at) > 0) return;
  throw new AtbError('change_outside_window', 'the window of the change is over');
}

/** Seconds until the window of a change ends; infinite where it is something else. */
function windowLeft(proposed: Proposed, at: Date): number {
  if (!isChangeKind(proposed.kind)) return Infinity;
  return parseChange(proposed).window.until - epochSeconds(at);
}

function standingOf(
  proposal: Pick<ProposalEntry, keyof Proposed | 'author' | 'proposedAt'>,
  decision: SignOffDecision,
  words: readonly VerifiedWord[],
): ProposalStanding {
  const { effect } = decision;
  if (effect === 'deny') throw denied(decision.reasons);
  return {
    ...{ author: proposal.author, digest: proposalDigest(proposal) },
    ...{ effect, policyRevision: decision.policyRevision },
    outstanding: decision.outstanding,
    waitingOn: decision.waitingOn,
    escalation: decision.escalation,
    expiresAfterSeconds: Math.min(decision.expiresAfterSeconds, windowLeft(proposal, proposal.proposedAt)),
    validSeconds: decision.validSeconds,
    noticeSeconds: decision.noticeSeconds,
    words: words
      .filter(({ claims }) => decision.words[claims.jti]?.counts)
      .map(({ claims, fact }): RecordedSignOff => ({
        ...{ step: claims.step, verdict: claims.verdict, by: fact.by, role: claims.role },
        ...{ reason: claims.reason, receivedAt: fact.receivedAt, jti: claims.jti },
      })),
  };
}

type ProposalEventType =
  | 'proposal_made'
  | 'sign_off_recorded'
  | 'sign_off_refused'
  | 'proposal_signal_rejected'
  | 'proposal_escalated'
  | 'proposal_approved'
  | 'proposal_ended'
  | 'proposal_lapsed'
  | 'suspension_lifted';

function eventOf(id: string, type: ProposalEventType, more?: string) {
  return {
    id: more === undefined ? `${id}/${type}` : `${id}/${type}/${more}`,
    type,
    ...{ requestId: null, actor: null, subject: null, action: null, tier: null },
    reasons: [] as readonly string[],
  };
}

function dataOf(id: string, { kind, name }: Proposed) {
  return { proposal: id, kind, name };
}

function subjectOf({ kind, name }: Proposed): string {
  return `${kind.replaceAll('_', ' ')} ${name}`;
}
