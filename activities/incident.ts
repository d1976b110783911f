import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import { cutShort } from '../domain/foreign-text';
import { INCIDENT_STEPS, OPEN_STEP } from '../domain/incident';
import { incidentDigest, incidentId, openingDigest, openingSubject } from '../domain/incident-digest';
import type { IncidentRef, IncidentReport } from '../domain/incident';
import { concerned, reasonsFor } from '../domain/incident-watch';
import type { WatchedEvent } from '../domain/incident-watch';
import type { Ledger, WatchedEvents } from '../domain/ports';
import { stopOrderOf } from '../domain/stop';
import type { StopTarget } from '../domain/stop';
import { codeOf, epochSeconds, fromEpochSeconds } from './assessment';
import { byCode } from './failure';
import { identify } from './identity';
import type {
  CountedWord,
  IncidentActivities,
  IncidentClosing,
  IncidentOpening,
  IncidentReminder,
  IncidentReopening,
  IncidentRung,
  IncidentSignal,
  IncidentStatement,
  LiftedElsewhere,
  OpenedIncident,
} from './incident-types';
import type { Loss } from './lost-request';
import type { ActivityPorts } from './ports';
import { refusable, verify } from './proposal';
import type { ProposalPorts, VerifiedWord } from './proposal';
import type { Refused } from './proposal-types';
import { carryOut } from './stop';

const MOST_EVENTS = 100;

/** What the steps of an incident reach. */
type IncidentPorts = ActivityPorts & Pick<ProposalPorts, 'signOffs'> & { readonly watched: WatchedEvents };

/** The activities over their ports. */
export function createIncidentActivities(all: IncidentPorts): IncidentActivities {
  /** One step asks one revision of policy, from its first question to its last. */
  const step = <T>(work: (ports: IncidentPorts) => Promise<T>): Promise<T> =>
    byCode(() => work({ ...all, policy: all.policy.snapshot() }));
  return {
    openIncident: (input) => step((ports) => open(ports, input)),
    incidentWord: (input) => step((ports) => word(ports, input)),
    escalateIncident: (input) => step((ports) => escalate(ports, input)),
    reopenIncident: (input) => step((ports) => reopen(ports, input)),
    recordIncidentSignal: (input) => step((ports) => recordSignal(ports, input)),
    remindOfReview: (input) => step((ports) => remind(ports, input)),
    liftedOf: (input) => step((ports) => liftedOf(ports, input.containments)),
    closeIncident: (input) => step((ports) => close(ports, input)),
  };
}

function open(ports: IncidentPorts, input: IncidentOpening): Promise<OpenedIncident | Refused> {
  return refusable(
    () => opened(ports, input),
    async (error) => {
      const { incident, report } = input;
      await ports.ledger.append({
        ...eventOf(incident, 'incident_refused'),
        time: ports.clock(),
        reasons: reasonsOf(error),
        data: {
          ...dataOf(incident),
          source: report.reporter.source,
          code: error.code,
          policy_revision: ports.policy.revision,
        },
      });
    },
  );
}

async function opened(ports: IncidentPorts, { incident, report }: IncidentOpening): Promise<OpenedIncident> {
  const { matter, reporter } = report;
  if (incident.id !== incidentId(matter) || incident.kind !== matter.kind) {
    throw new AtbError('incident_malformed', 'its id does not follow from what it is about');
  }
  const { by, said, events } = await reporterOf(ports, report);
  const { effect, reasons, ...decision } = await ports.policy.incident({
    ...{ kind: matter.kind, source: reporter.source, by, severity: matter.severity },
    ...{ word: said?.fact ?? null, now: epochSeconds(ports.clock()) },
  });
  if (effect === 'deny') throw denied(reasons, 'policy does not let this open an incident');
  await ports.ledger.append({
    ...eventOf(incident, 'incident_opened'),
    time: fromEpochSeconds(incident.openedAt),
    actor: by,
    ...(said && { personal: { '/actor': by } }),
    data: {
      ...dataOf(incident),
      cause: matter.cause,
      severity: decision.severity,
      source: reporter.source,
      statement_digest: reporter.source === 'hand' ? sha256Base64url(reporter.statement) : null,
      policy_revision: decision.policyRevision,
    },
  });
  const contained = concerned(decision.contain, events);
  for (const target of contained) await stopAtOnce(ports, incident, target, decision.title);
  return { ...decision, effect: 'opened', by, contained };
}

/** As policy says of the kind; recorded before it is told. */
async function stopAtOnce(
  ports: IncidentPorts,
  { id, openedAt }: IncidentRef,
  target: StopTarget,
  reason: string,
): Promise<void> {
  const { scope, value } = target;
  await ports.stops.stop(target, {
    id: `poa_stopped/${id}/${openedAt}/${scope}`,
    type: 'poa_stopped',
    time: ports.clock(),
    ...{ requestId: null, actor: ports.issuer, subject: scope === 'agent' ? value : null },
    ...{ action: null, tier: null, reasons: [] },
    data: { scope, value, reason, incident: id },
  });
}

/**
 * A person by the word that they signed, a reporter by the SVID that it showed, or ourselves, by events that the log
 * really has and that are reason enough.
 */
async function reporterOf(
  ports: IncidentPorts,
  { matter, reporter }: IncidentReport,
): Promise<{
  readonly by: string;
  readonly said: VerifiedWord | null;
  readonly events: readonly WatchedEvent[];
}> {
  if (reporter.source === 'audit') {
    const { rules } = await ports.policy.incidentWatch();
    const events = await ports.watched.find(reporter.events.slice(0, MOST_EVENTS));
    const reason = reasonsFor(rules, matter, events);
    if (reason.length === 0) {
      throw new AtbError('incident_reporter_unknown', 'the audit log gives no reason for this incident');
    }
    return { by: ports.issuer, said: null, events: reason };
  }
  if (reporter.source === 'alert') {
    return { by: (await identify(ports, reporter.evidence, null)).spiffeId, said: null, events: [] };
  }
  const said = verify(ports, reporter.statement, ports.clock());
  const { on, step, dig } = said.claims;
  if (step !== OPEN_STEP)
    throw new AtbError('sign_off_step_unknown', 'what opens one is signed as the step open');
  if (on !== openingSubject(matter) || dig !== openingDigest(matter)) {
    throw new AtbError('verdict_digest_mismatch', 'the word was signed over another incident than this');
  }
  return { by: said.fact.by, said, events: [] };
}

function word(ports: IncidentPorts, input: IncidentStatement): Promise<CountedWord | Refused> {
  return refusable(
    () => counted(ports, input),
    async (error) => {
      const { incident, statement } = input;
      const digest = sha256Base64url(statement);
      await ports.ledger.append({
        ...eventOf(incident, 'incident_word_refused', `${digest.slice(0, 22)}/${error.code}`),
        time: ports.clock(),
        reasons: reasonsOf(error),
        data: {
          ...dataOf(incident),
          code: error.code,
          statement_digest: digest,
          policy_revision: ports.policy.revision,
        },
      });
    },
  );
}

async function counted(
  ports: IncidentPorts,
  { incident, statement, about, due }: IncidentStatement,
): Promise<CountedWord> {
  const now = ports.clock();
  const { claims, fact } = verify(ports, statement, now);
  const step = INCIDENT_STEPS.find((known) => known === claims.step);
  if (step === undefined)
    throw new AtbError('sign_off_step_unknown', `${claims.step} is no step of an incident`);
  if (claims.on !== incident.id) {
    throw new AtbError('verdict_not_for_request', 'the word names another incident');
  }
  if (claims.dig !== incidentDigest(incident.id, incident.openedAt, about)) {
    throw new AtbError('verdict_digest_mismatch', 'the word was signed over another incident; read it again');
  }
  if (claims.verdict !== 'approve' || claims.reason.trim() === '') {
    throw new AtbError('verdict_reason_missing', 'a word on an incident says something');
  }
  const { effect, reasons, policyRevision } = await ports.policy.incident({
    ...{ kind: incident.kind, source: 'alert', by: fact.by, severity: null, word: fact },
    now: epochSeconds(now),
  });
  if (effect === 'deny') throw denied(reasons, 'the word does not count');
  if (!due.includes(step)) {
    throw new AtbError('incident_not_due', `the incident is not where ${step.replaceAll('_', ' ')} is due`);
  }
  const contained =
    step === 'contain' || step === 'lift'
      ? await contain(ports, incident, step, { claims, fact, about })
      : { contained: null };
  await ports.ledger.append({
    ...eventOf(incident, 'incident_word_recorded', claims.jti),
    time: now,
    actor: fact.by,
    personal: { '/actor': fact.by },
    data: {
      ...dataOf(incident),
      ...{ step, role: claims.role, jti: claims.jti, about },
      statement_digest: sha256Base64url(statement),
      policy_revision: policyRevision,
    },
  });
  return {
    effect: 'counts',
    word: {
      ...{ step, by: fact.by, role: claims.role, text: claims.reason, jti: claims.jti, about },
      receivedAt: fact.receivedAt,
    },
    ...contained,
  };
}

/** Stops or lifts first, by the rules of every stop, with an event of its own: a word that counts is then carried out. */
async function contain(
  ports: IncidentPorts,
  { id: incident }: IncidentRef,
  step: 'contain' | 'lift',
  { claims, fact, about }: VerifiedWord & Pick<IncidentStatement, 'about'>,
): Promise<Pick<CountedWord, 'contained' | 'others'>> {
  const { jti, iat: at, reason } = claims;
  const order = stopOrderOf(about ?? '', reason);
  const operation = step === 'contain' ? 'stop' : 'lift';
  const answer = await carryOut(ports, { ...order, operation, by: fact.by, at, jti, incident });
  if (!answer.done) throw new AtbError(answer.code, answer.message, { reasons: answer.reasons });
  if (answer.state === 'waiting') return { contained: null };
  return { contained: order.target, ...(answer.incidents && { others: answer.incidents }) };
}

/** Believes no signal: what was lifted, and by whom, is what the log says. */
async function liftedOf(
  { stops }: IncidentPorts,
  containments: readonly (StopTarget & { readonly since: number })[],
): Promise<readonly LiftedElsewhere[]> {
  const lifted: LiftedElsewhere[] = [];
  for (const { scope, value, since } of containments) {
    const standing = await stops.standing({ scope, value });
    // What it made stands; a word of the same second was on an earlier one.
    if (standing && epochSeconds(standing.stoppedAt) >= since) continue;
    const found = await stops.liftedSince({ scope, value }, fromEpochSeconds(since));
    if (found) lifted.push({ scope, value, by: found.by, at: epochSeconds(found.at) });
  }
  return lifted;
}

function recordSignal(ports: IncidentPorts, { incident, position, signal }: IncidentSignal): Promise<void> {
  return ports.ledger.append({
    ...eventOf(incident, 'incident_signal_rejected', String(position)),
    time: ports.clock(),
    reasons: ['verdict_malformed'],
    data: { ...dataOf(incident), signal: cutShort(signal, 256) },
  });
}

function reopen(ports: IncidentPorts, { incident, reopening, count }: IncidentReopening): Promise<void> {
  return ports.ledger.append({
    ...eventOf(incident, 'incident_reopened', String(reopening)),
    time: ports.clock(),
    data: { ...dataOf(incident), reopening, count },
  });
}

/** Once for each incident: whoever ends its workflow runs no code of ours. */
export function recordLostIncident(
  { ledger, clock }: Pick<ActivityPorts, 'ledger' | 'clock'>,
  incident: IncidentRef,
  how: Loss,
): Promise<void> {
  return ledger.append({
    ...eventOf(incident, 'incident_workflow_lost'),
    time: clock(),
    reasons: [how],
    data: dataOf(incident),
  });
}

/** Recorded before it is told. */
async function escalate(
  ports: IncidentPorts,
  { incident, title, severity, rung, roles, reopening }: IncidentRung,
): Promise<void> {
  const event = {
    ...eventOf(incident, 'incident_escalated', turnOf(reopening, rung)),
    time: ports.clock(),
    data: { ...dataOf(incident), rung, roles },
  };
  await ports.ledger.append(event);
  await tell(ports, event.id, incident, roles, `${severity} ${title}: acknowledge it`);
}

function remind(
  ports: IncidentPorts,
  { incident, title, rung, roles, openFollowUps, reopening }: IncidentReminder,
): Promise<void> {
  const id = `incident/${incident.id}/${incident.openedAt}/review/${turnOf(reopening, rung)}`;
  const left = openFollowUps === 0 ? '' : ` (${openFollowUps} follow-ups are open)`;
  return tell(ports, id, incident, roles, `${title}: its review is due${left}`);
}

/** Each ladder of an incident has rungs of its own. */
function turnOf(reopening: number | undefined, rung: number): string {
  return reopening === undefined ? String(rung) : `${reopening}/${rung}`;
}

function tell(
  { notifier }: IncidentPorts,
  id: string,
  incident: IncidentRef,
  roles: readonly string[],
  text: string,
): Promise<void> {
  return notifier.notify({
    ...{ id, kind: 'incident', requestId: incident.id, roles },
    facts: { kind: incident.kind, incident: incident.id },
    text: `${text}: atb incident show ${incident.id}`,
  });
}

function close(ports: IncidentPorts, input: IncidentClosing): Promise<void> {
  const { incident, count, acknowledgedAt, resolvedAt, followUps } = input;
  return ports.ledger.append({
    ...eventOf(incident, 'incident_closed'),
    time: ports.clock(),
    data: {
      ...dataOf(incident),
      count,
      acknowledged_after_seconds: acknowledgedAt === null ? null : acknowledgedAt - incident.openedAt,
      resolved_after_seconds: resolvedAt - incident.openedAt,
      follow_ups: followUps,
    },
  });
}

type IncidentEventType = Extract<Parameters<Ledger['append']>[0]['type'], `incident_${string}`>;

function eventOf({ id, openedAt }: IncidentRef, type: IncidentEventType, more?: string) {
  const event = `incident/${id}/${openedAt}/${type}`;
  return {
    id: more === undefined ? event : `${event}/${more}`,
    type,
    ...{ requestId: null, actor: null, subject: null, action: null, tier: null },
    reasons: [] as readonly string[],
  };
}

function dataOf({ id, kind, openedAt }: IncidentRef) {
  return { incident: id, kind, opened_at: openedAt };
}

function denied(reasons: readonly string[], message: string): AtbError {
  return new AtbError(codeOf(reasons), message, { reasons });
}

function reasonsOf(error: AtbError): readonly string[] {
  return error.reasons.length > 0 ? error.reasons : [error.code];
}
