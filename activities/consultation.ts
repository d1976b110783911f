import { ANSWER_STEP, consultationId } from '../domain/consultation';
import { consultationDigest } from '../domain/consultation-digest';
import { sha256Base64url } from '../domain/digest';
import { AtbError } from '../domain/error';
import { cutShort } from '../domain/foreign-text';
import type { Ledger } from '../domain/ports';
import { epochSeconds, fromEpochSeconds } from './assessment';
import type {
  BegunConsultation,
  ConsultationActivities,
  ConsultationRef,
  ConsultationSignal,
  CountedAnswer,
} from './consultation-types';
import { byCode } from './failure';
import type { ActivityPorts } from './ports';
import { notCounted, refusable, verify } from './proposal';
import type { Refused } from './proposal-types';

/** What the steps of a consultation reach. */
type ConsultationPorts = Pick<
  ActivityPorts,
  'clock' | 'ledger' | 'notifier' | 'policy' | 'signOffs' | 'svids'
>;

/** The activities over their ports. */
export function createConsultationActivities(all: ConsultationPorts): ConsultationActivities {
  /** One step asks one revision of policy, from its first question to its last. */
  const step = <T>(work: (ports: ConsultationPorts) => Promise<T>): Promise<T> =>
    byCode(() => work({ ...all, policy: all.policy.snapshot() }));
  return {
    beginConsultation: (input) => step((ports) => begin(ports, input)),
    answerConsultation: (input) => step((ports) => answer(ports, input)),
    endConsultation: (input) => step((ports) => end(ports, input)),
    recordConsultationSignal: (input) => step((ports) => recordSignal(ports, input)),
  };
}

/** Recorded before it is told. Where it is nobody's work by the matrix, nothing is recorded or told. */
function begin(ports: ConsultationPorts, about: ConsultationRef): Promise<BegunConsultation | Refused> {
  return refusable(async () => {
    if (about.id !== consultationId(about)) throw unknown('its id does not follow from what it is about');
    const { flow, kind, askedAt } = about;
    const decision = await ports.policy.consultation({ flow, kind, word: null, now: askedAt });
    if (decision.effect === 'deny') throw unknown('policy knows nobody whose work this is');
    const { activities, responsible, accountable, consulted, policyRevision } = decision;
    const answerUntil = askedAt + decision.answerSeconds;
    const begun = {
      effect: 'begun',
      responsible,
      accountable,
      consulted,
      answerUntil,
      policyRevision,
    } as const;
    const workers = [...new Set([...responsible, ...accountable])].sort();
    if (workers.length + consulted.length === 0) return begun;
    await ports.ledger.append({
      ...eventOf(about, 'consultation_begun'),
      time: fromEpochSeconds(askedAt),
      data: {
        ...dataOf(about),
        ...{ activities, responsible, accountable, consulted },
        answer_until: answerUntil,
        policy_revision: policyRevision,
      },
    });
    await tell(ports, about, {
      kind: 'work',
      roles: workers,
      text: `${about.title} is yours to see to: ${lookAt(about)}`,
    });
    const until = fromEpochSeconds(answerUntil).toISOString().replace('.000Z', 'Z');
    for (const team of consulted) {
      const text = `${about.title}: your advice is asked until ${until}: atb consultation show ${about.id}`;
      await tell(ports, about, { kind: 'consultation', roles: [team], text });
    }
    return begun;
  });
}

function answer(
  ports: ConsultationPorts,
  { consultation, statement }: { readonly consultation: ConsultationRef; readonly statement: string },
): Promise<CountedAnswer | Refused> {
  const digest = sha256Base64url(statement);
  return refusable(
    () => counted(ports, consultation, statement),
    async (error) => {
      await ports.ledger.append({
        ...eventOf(consultation, 'consultation_refused', `${digest.slice(0, 22)}/${error.code}`),
        time: ports.clock(),
        reasons: error.reasons.length > 0 ? error.reasons : [error.code],
        data: {
          ...dataOf(consultation),
          code: error.code,
          statement_digest: digest,
          policy_revision: ports.policy.revision,
        },
      });
    },
  );
}

async function counted(
  ports: ConsultationPorts,
  consultation: ConsultationRef,
  statement: string,
): Promise<CountedAnswer> {
  const now = ports.clock();
  const { claims, fact } = verify(ports, statement, now);
  const { id, askedAt, flow, kind } = consultation;
  if (claims.step !== ANSWER_STEP) {
    throw new AtbError('sign_off_step_unknown', 'a consultation is answered by the step answer');
  }
  if (claims.on !== id) throw new AtbError('verdict_not_for_request', 'the word names another consultation');
  if (claims.dig !== consultationDigest(id, askedAt)) {
    throw new AtbError(
      'verdict_digest_mismatch',
      'the word was signed over another consultation; read it again',
    );
  }
  if (claims.reason.trim() === '') throw new AtbError('verdict_reason_missing', 'an answer says something');
  const decision = await ports.policy.consultation({ flow, kind, word: fact, now: epochSeconds(now) });
  const { effect, reasons, team } = decision;
  if (effect === 'deny' || team === null) throw notCounted(reasons);
  await ports.ledger.append({
    ...eventOf(consultation, 'consultation_answered', claims.jti),
    time: now,
    actor: fact.by,
    personal: { '/actor': fact.by },
    data: {
      ...dataOf(consultation),
      ...{ team, verdict: claims.verdict, role: claims.role, jti: claims.jti },
      statement_digest: sha256Base64url(statement),
      policy_revision: decision.policyRevision,
    },
  });
  const { verdict, role, reason: text, jti } = claims;
  return {
    effect: 'counts',
    answer: { team, verdict, by: fact.by, role, text, receivedAt: fact.receivedAt, jti },
  };
}

function end(
  ports: ConsultationPorts,
  {
    consultation,
    teams,
    answerUntil,
  }: {
    readonly consultation: ConsultationRef;
    readonly teams: readonly string[];
    readonly answerUntil: number;
  },
): Promise<void> {
  return ports.ledger.append({
    ...eventOf(consultation, 'consultation_unanswered'),
    time: ports.clock(),
    data: { ...dataOf(consultation), teams, answer_until: answerUntil },
  });
}

function recordSignal(
  ports: ConsultationPorts,
  { consultation, position, signal }: ConsultationSignal,
): Promise<void> {
  return ports.ledger.append({
    ...eventOf(consultation, 'consultation_signal_rejected', String(position)),
    time: ports.clock(),
    reasons: ['verdict_malformed'],
    data: { ...dataOf(consultation), signal: cutShort(signal, 256) },
  });
}

async function tell(
  { notifier }: ConsultationPorts,
  { id, flow, subject, kind: what }: ConsultationRef,
  told: { readonly kind: 'work' | 'consultation'; readonly roles: readonly string[]; readonly text: string },
): Promise<void> {
  if (told.roles.length === 0) return;
  await notifier.notify({
    ...{ id: `consultation/${id}/${told.kind}/${told.roles.join('+')}`, requestId: subject, ...told },
    facts: { flow, kind: what },
  });
}

function lookAt({ flow, subject }: ConsultationRef): string {
  return flow === 'request' ? `atb show ${subject}` : `atb ${flow} show ${subject}`;
}

type ConsultationEventType = Extract<Parameters<Ledger['append']>[0]['type'], `consultation_${string}`>;

function eventOf({ id }: ConsultationRef, type: ConsultationEventType, more?: string) {
  const event = `consultation/${id}/${type}`;
  return {
    id: more === undefined ? event : `${event}/${more}`,
    type,
    ...{ requestId: null, actor: null, subject: null, action: null, tier: null },
    reasons: [] as readonly string[],
  };
}

function dataOf({ id, flow, subject, kind }: ConsultationRef) {
  return { consultation: id, flow, about: subject, kind };
}

function unknown(why: string): AtbError {
  return new AtbError('consultation_unknown', why);
}
