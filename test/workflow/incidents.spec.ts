import { randomBytes } from 'node:crypto';
import { createConsultationActivities, createIncidentActivities } from '../../activities';
import { openSignOff, signSignOff } from '../../adapters/jose/sign-off-statement';
import { consultationId } from '../../domain/consultation';
import { consultationDigest } from '../../domain/consultation-digest';
import { incidentId } from '../../domain/incident-digest';
import type { IncidentAnswer, IncidentMatter, IncidentReport, IncidentStatus } from '../../domain/incident';
import {
  consultationAnswerUpdate,
  consultationQuery,
  consultationWorkflowId,
  INCIDENT,
  incidentOpenedUpdate,
  incidentQuery,
  incidentSightedSignal,
  incidentWordUpdate,
  incidentWorkflowId,
  TASK_QUEUE,
} from '../../workflows/contract';
import type { ConsultationWorkflow, IncidentWorkflow } from '../../workflows/contract';
import raci from '../../policy/data/raci.json';
import { incidentWord, openingWord } from '../support/incident-word';
import type { Speaker } from '../support/incident-word';
import { describeSkippedTime, SkippedTime } from '../support/skipped-time';
import { WorkerSteps } from '../support/worker-steps';
import { eventually } from '../support/eventually';

const SPIKE = 'ATBSecurityPolicyDenialSpike';
const DAY = 1_440;
const LATE_SECONDS = 20;

/** Whole minutes; a moment that is none stays in seconds, and so equals nothing that is expected. */
function minutesOf(seconds: number): string {
  return seconds % 60 <= LATE_SECONDS ? String(Math.floor(seconds / 60)) : `${seconds} seconds`;
}

describeSkippedTime('an incident, with time skipped (operating model §5)', () => {
  let time: SkippedTime;
  let steps: WorkerSteps;
  let number = 0;
  const open: {
    status(): Promise<IncidentStatus>;
    say(...word: [string, string, string]): Promise<unknown>;
  }[] = [];
  /** By incident: which rung was told, and how many minutes after the opening. */
  const told = new Map<string, string[]>();

  beforeAll(async () => {
    time = await SkippedTime.start();
    steps = await WorkerSteps.open();
    const activities = createIncidentActivities({
      ...steps.ports,
      signOffs: { open: openSignOff },
      watched: { find: () => Promise.resolve([]) },
    });
    const consultations = createConsultationActivities({ ...steps.ports, signOffs: { open: openSignOff } });
    await time.work(
      { ...consultations, ...activities },
      (
        now,
        name,
        input: { readonly incident?: { id: string; openedAt: number }; readonly rung?: number },
      ) => {
        steps.now = now;
        const { incident, rung } = input;
        if (!incident || rung === undefined) return;
        // The server's clock runs on while this machine works, so a rung may be told some seconds after it is due.
        const after = minutesOf(Math.floor(now.getTime() / 1000) - incident.openedAt);
        const what = `${name === 'escalateIncident' ? 'rung' : 'review'} ${rung} after ${after}`;
        told.set(incident.id, [...(told.get(incident.id) ?? []), what]);
      },
    );
  }, 240_000);

  afterAll(async () => {
    await time.stop();
    await steps.close();
  });

  async function speaker(name: string, role: string): Promise<Speaker> {
    return { ...(await credential(name)), role, at: await time.now() };
  }

  /** An SVID of that moment. */
  async function credential(name: string) {
    const notAfter = new Date((await time.now()).getTime() + 3_600_000);
    return steps.newCredential(`spiffe://corp.example/${name}`, { notAfter });
  }

  async function alert(kind = SPIKE, by = 'alertmanager'): Promise<IncidentReport> {
    steps.now = await time.now();
    const { chain } = await credential(by);
    return {
      matter: { kind, cause: `group ${(number += 1)}`, severity: null },
      reporter: { source: 'alert', evidence: steps.evidence(chain) },
    };
  }

  async function report({ matter, reporter }: IncidentReport, ...sightings: readonly string[]) {
    const id = incidentId(matter);
    const handle = await time.client.workflow.signalWithStart<
      IncidentWorkflow,
      [{ sightings: readonly string[] }]
    >(INCIDENT, {
      workflowId: incidentWorkflowId(id),
      taskQueue: TASK_QUEUE,
      args: [{ id, report: { matter, reporter } }],
      signal: incidentSightedSignal,
      signalArgs: [{ sightings }],
    });
    const answer = await handle.executeUpdate(incidentOpenedUpdate);
    const status = (): Promise<IncidentStatus> => handle.query(incidentQuery);
    const say = async (
      name: string,
      role: string,
      step: string,
      changes: Parameters<typeof incidentWord>[3] = {},
    ): Promise<IncidentAnswer> => {
      const statement = await incidentWord(await speaker(name, role), await status(), step, changes);
      return handle.executeUpdate(incidentWordUpdate, {
        args: [{ statement, about: changes.about ?? null }],
      });
    };
    const reportedOne = { id, answer, status, say, handle };
    open.push(reportedOne);
    return reportedOne;
  }

  // Whatever is left open climbs on for as long as time is skipped.
  afterEach(async () => {
    for (const incident of open.splice(0)) {
      if ((await incident.status()).state === 'open') {
        await incident.say('person/carol', 'on_call', 'acknowledge');
      }
    }
  });

  const refused = (code: string): unknown => expect.objectContaining({ done: false, code });

  it('P1 climbs to the CISO rung by rung, and goes on until somebody acknowledges', async () => {
    const incident = await report(await alert(), 'a');
    expect(incident.answer).toMatchObject({ done: true, status: { severity: 'P1', state: 'open' } });
    await time.sleep('61 minutes');
    expect(told.get(incident.id)).toEqual([
      'rung 0 after 0',
      'rung 1 after 15',
      'rung 2 after 30',
      'rung 3 after 45',
      'rung 4 after 60',
    ]);
    expect(await incident.status()).toMatchObject({ told: ['ciso'], rung: 4 });

    // Neither a stranger's word, nor one in a role that is not held, nor one signed over another incident.
    expect(await incident.say('person/alice', 'on_call', 'acknowledge')).toEqual(
      refused('verdict_role_not_held'),
    );
    expect(await incident.say('person/mallory', 'on_call', 'acknowledge')).toMatchObject({ done: false });
    expect(
      await incident.say('person/erin', 'ciso', 'acknowledge', { on: 'other.AAAAAAAAAAAAAAAAAAAAAA' }),
    ).toEqual(refused('verdict_not_for_request'));
    expect(await incident.say('person/erin', 'ciso', 'resolve')).toEqual(refused('incident_not_due'));
    expect(await incident.say('person/erin', 'ciso', 'acknowledge')).toMatchObject({
      done: true,
      status: { state: 'acknowledged' },
    });
    await time.sleep('3 hours');
    expect(told.get(incident.id)).toHaveLength(5);
  });

  it('P2 and P3 climb their own ladders, P4 waits in the backlog', async () => {
    const byHand = async (severity: 'P2' | 'P3' | 'P4') => {
      const matter: IncidentMatter = { kind: 'manual', cause: `it smells, ${severity}`, severity };
      const statement = await openingWord(await speaker('person/carol', 'on_call'), matter);
      return report({ matter, reporter: { source: 'hand', statement } }, statement);
    };
    const [second, third, fourth] = [await byHand('P2'), await byHand('P3'), await byHand('P4')];
    await time.sleep('9 hours');
    expect(told.get(second.id)?.slice(0, 3)).toEqual([
      'rung 0 after 0',
      'rung 1 after 60',
      'rung 2 after 120',
    ]);
    expect(await second.status()).toMatchObject({ told: ['team_lead'] });
    expect(told.get(third.id)?.slice(0, 2)).toEqual(['rung 0 after 0', 'rung 1 after 240']);
    expect(told.get(fourth.id)).toBeUndefined();
    expect(await fourth.say('person/carol', 'on_call', 'acknowledge')).toMatchObject({ done: true });
  });

  it('is one incident for one cause, and counts each sighting once', async () => {
    const reported = await alert();
    const incident = await report(reported, 'a', 'b');
    for (let again = 0; again < 5; again++) await report(reported, 'a', 'b', 'c');
    await report(reported, 'd');
    expect(await incident.status()).toMatchObject({ count: 4 });
    const opened = (await steps.ledger.events({ type: 'incident_opened', limit: 1_000 })).filter(
      ({ data }) => data.incident === incident.id,
    );
    expect(opened).toHaveLength(1);
  });

  it('calls people anew where it is seen again after it was resolved, and not for what was seen before', async () => {
    const reported = await alert();
    const incident = await report(reported, 'a');
    await incident.say('person/carol', 'on_call', 'acknowledge');
    await incident.say('person/carol', 'on_call', 'resolve');
    await time.sleep('60 minutes');
    const seenBefore = await report(reported, 'a');
    expect(seenBefore.answer).toMatchObject({ status: { state: 'resolved', count: 1, reopenedAt: [] } });
    expect(told.get(incident.id)).toEqual(['rung 0 after 0']);

    const seenAgain = await report(reported, 'b');
    expect(seenAgain.answer).toMatchObject({
      status: { state: 'open', count: 2, acknowledgedAt: null, resolvedAt: null },
    });
    await time.sleep('31 minutes');
    expect(told.get(incident.id)).toEqual([
      'rung 0 after 0',
      'rung 0 after 60',
      'rung 1 after 75',
      'rung 2 after 90',
    ]);
    expect(await incident.say('person/carol', 'on_call', 'resolve')).toEqual(refused('incident_not_due'));
    await incident.say('person/carol', 'on_call', 'acknowledge');
    await incident.say('person/carol', 'on_call', 'resolve');
    const { reopenedAt, words } = await incident.status();
    expect(reopenedAt).toHaveLength(1);
    expect(words).toHaveLength(4);

    const events = (await steps.ledger.events({ limit: 1_000 })).filter(
      ({ data }) => data.incident === incident.id,
    );
    const rungs = events.filter(({ type }) => type === 'incident_escalated').map(({ data }) => data.rung);
    expect(rungs).toEqual([0, 0, 1, 2]);
    expect(events.filter(({ type }) => type === 'incident_reopened').map(({ data }) => data)).toEqual([
      expect.objectContaining({ reopening: 1, count: 2 }),
    ]);
    expect(await incident.say('person/dave', 'security_lead', 'review')).toMatchObject({ done: true });
  });

  it('is not opened by a reporter that policy does not know, nor by a word over something else', async () => {
    const forged = await report(await alert(SPIKE, 'agent/finance-bot'), 'a');
    expect(forged.answer).toEqual(refused('incident_reporter_unknown'));
    const matter: IncidentMatter = { kind: 'manual', cause: 'this', severity: null };
    const statement = await openingWord(await speaker('person/carol', 'on_call'), {
      ...matter,
      severity: 'P1',
    });
    const moved = await report({ matter, reporter: { source: 'hand', statement } }, statement);
    expect(moved.answer).toEqual(refused('verdict_digest_mismatch'));
    expect(await moved.status()).toMatchObject({ state: 'refused' });
  });

  it('keeps small in a storm of ten thousand', async () => {
    const reported = await alert();
    const incident = await report(reported, 'first');
    for (let from = 0; from < 10_000; from += 200) {
      const some = Array.from({ length: 200 }, (_, n) => `alert ${from + n}`);
      await incident.handle.signal(incidentSightedSignal, { sightings: some });
    }
    expect(await incident.status()).toMatchObject({ count: 10_001, state: 'open' });
    expect(JSON.stringify(await incident.status()).length).toBeLessThan(2_000);
    expect(await incident.say('person/carol', 'on_call', 'acknowledge')).toMatchObject({ done: true });
  });

  describe('the teams of the RACI matrix (operating model §1)', () => {
    async function asked(incident: { id: string; status(): Promise<IncidentStatus> }) {
      const { id: subject, kind, openedAt } = await incident.status();
      const id = consultationId({ flow: 'incident', subject, kind, openedAt });
      const handle = time.client.workflow.getHandle<ConsultationWorkflow>(consultationWorkflowId(id));
      const status = () => handle.query(consultationQuery);
      await eventually(
        () => status().catch(() => undefined),
        (now) => now !== undefined && now.answerUntil !== null,
      );
      const answer = async (name: string, role: string, changes = {}) => {
        const { askedAt } = await status();
        const statement = await signSignOff(...(await signer(name)), {
          ...{ on: id, dig: consultationDigest(id, askedAt), step: 'answer', verdict: 'approve', role },
          ...{ reason: 'the broker is sound', jti: randomBytes(16).toString('base64url') },
          iat: Math.floor((await time.now()).getTime() / 1000),
          ...changes,
        });
        return handle.executeUpdate(consultationAnswerUpdate, { args: [{ statement }] });
      };
      return { id, status, answer, handle };
    }

    async function signer(name: string) {
      const { key, chain } = await credential(name);
      return [key, chain] as const;
    }

    const eventsOf = async (id: string) =>
      (await steps.ledger.events({ limit: 10_000 })).filter(({ data }) => data.consultation === id);

    it('gives Security and Platform-Ops the work, asks both others, and records who did not answer in time', async () => {
      const incident = await report(await alert(), 'a');
      const consultation = await asked(incident);
      const { askedAt, answerUntil } = await consultation.status();
      expect((answerUntil ?? 0) - askedAt).toBe(raci.incident_response.answer_seconds);
      const toldOf = steps.told.filter(({ id }) => id.includes(consultation.id));
      expect(toldOf.map(({ kind, roles }) => [kind, ...roles])).toEqual([
        ['work', 'Platform-Ops', 'Security'],
        ['consultation', 'AgentAuth-Team'],
        ['consultation', 'Broker-Team'],
      ]);
      expect(await consultation.answer('person/kim', 'engineer')).toMatchObject({
        done: true,
        status: { state: 'asking', answers: [{ team: 'Broker-Team', verdict: 'approve' }] },
      });
      await time.sleep(`${raci.incident_response.answer_seconds + 1} seconds`);
      expect(await consultation.handle.result()).toMatchObject({
        ...{ state: 'over', unanswered: ['AgentAuth-Team'] },
      });
      const events = await eventsOf(consultation.id);
      expect(events.map(({ type }) => type)).toEqual([
        ...['consultation_begun', 'consultation_answered', 'consultation_unanswered'],
      ]);
      expect(events[1]).toMatchObject({
        actor: 'spiffe://corp.example/person/kim',
        data: { team: 'Broker-Team' },
      });
      expect(events[2]?.data).toMatchObject({ teams: ['AgentAuth-Team'], answer_until: answerUntil });
      expect(Math.floor((events[2]?.time.getTime() ?? 0) / 1000)).toBeGreaterThanOrEqual(answerUntil ?? 0);
      await expect(consultation.answer('person/leo', 'engineer')).rejects.toThrow();
    });

    it('is over with the last answer, and takes none but of the teams that it asked', async () => {
      const consultation = await asked(await report(await alert(), 'a'));
      expect(await consultation.answer('person/carol', 'security')).toEqual(
        refused('consultation_of_another_team'),
      );
      expect(await consultation.answer('person/kim', 'ciso')).toEqual(refused('verdict_role_not_held'));
      expect(await consultation.answer('person/kim', 'engineer', { on: 'incident.other.1' })).toEqual(
        refused('verdict_not_for_request'),
      );
      expect(await consultation.answer('person/kim', 'engineer', { dig: 'A'.repeat(43) })).toEqual(
        refused('verdict_digest_mismatch'),
      );
      expect(await consultation.answer('person/kim', 'engineer', { step: 'acknowledge' })).toEqual(
        refused('sign_off_step_unknown'),
      );
      expect((await consultation.status()).answers).toEqual([]);
      await consultation.handle.signal('consultationAnswer', 'forged');
      expect(await consultation.answer('person/kim', 'engineer')).toMatchObject({ done: true });
      expect(await consultation.answer('person/leo', 'engineer', { verdict: 'reject' })).toMatchObject({
        done: true,
      });
      expect(await consultation.handle.result()).toMatchObject({
        ...{ state: 'over', unanswered: [] },
        answers: [
          { team: 'Broker-Team', verdict: 'approve' },
          { team: 'AgentAuth-Team', verdict: 'reject' },
        ],
      });
      const types = (await eventsOf(consultation.id)).map(({ type }) => type);
      expect(types.filter((type) => type === 'consultation_refused')).toHaveLength(5);
      expect(types).not.toContain('consultation_unanswered');
    });
  });

  it('ends with its review, once no follow-up is open; then the same cause is another incident', async () => {
    const reported = await alert('signals_rejected');
    const incident = await report(reported, 'a');
    await incident.say('person/carol', 'on_call', 'acknowledge');
    expect(await incident.say('person/carol', 'on_call', 'note')).toMatchObject({ done: true });
    const told1 = await incident.say('person/carol', 'security', 'follow_up');
    if (!told1.done) throw new Error(told1.message);
    const [followUp = ''] = told1.status.openFollowUps;
    await incident.say('person/carol', 'security', 'resolve');
    expect(await incident.say('person/dave', 'security_lead', 'review')).toEqual(refused('incident_not_due'));
    await time.sleep('11 days');
    expect(told.get(incident.id)?.filter((what) => what.startsWith('review'))).toEqual([
      `review 0 after ${5 * DAY}`,
      `review 1 after ${10 * DAY}`,
    ]);
    expect(await incident.say('person/carol', 'security', 'follow_up_close', { about: 'nonsense' })).toEqual(
      refused('incident_not_due'),
    );
    expect(
      await incident.say('person/carol', 'security', 'follow_up_close', { about: followUp }),
    ).toMatchObject({ done: true, status: { openFollowUps: [] } });
    expect(await incident.say('person/dave', 'security_lead', 'review')).toMatchObject({
      done: true,
      status: { state: 'closed' },
    });
    expect(await incident.status()).toMatchObject({ state: 'closed', count: 1 });
    const closings = await steps.ledger.events({ type: 'incident_closed', limit: 10 });
    const closed = closings.find(({ data }) => data.incident === incident.id);
    expect(closed?.data).toMatchObject({ incident: incident.id, count: 1, follow_ups: 1 });

    const again = await report(reported, 'b');
    expect(await again.status()).toMatchObject({ state: 'open', count: 1 });
  });
});
