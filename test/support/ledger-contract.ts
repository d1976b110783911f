import { randomUUID } from 'node:crypto';
import type { AuditEvent, AuditEventType } from '../../domain/audit-event';
import { sha256Base64url } from '../../domain/digest';
import { reversalClaimsOf } from '../../domain/mandate';
import type { MandateClaims } from '../../domain/mandate';
import type { Ledger, RecordedMandate, RequestEntry, VerdictEntry } from '../../domain/ports';
import type { VelocityLimit } from '../../domain/velocity';
import { sampleData } from './audit-sample';
import { bestTime, timed } from './best-time';

export const NOON = new Date('2026-03-02T12:00:00.000Z');
export const SOON = new Date('2026-03-02T12:15:00.123Z');
const ROOM = { perAgent: 100, total: 10_000 };
/** Far enough after everything else that is pending in the same database to be counted alone. */
const QUIET = new Date('2030-01-01T00:00:00.000Z');
const QUIET_UNTIL = new Date('2030-01-01T01:00:00.000Z');

export interface LedgerUnderTest {
  readonly ledger: Ledger;
  /** Takes the store away; `start` brings it back with what it held. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export function anAgent(): string {
  return `spiffe://corp.example/agent/${randomUUID()}`;
}

export function aRequest(other: Partial<RequestEntry> = {}): RequestEntry {
  return {
    requestId: randomUUID(),
    subject: anAgent(),
    askedDigest: sha256Base64url('asked'),
    pendingUntil: null,
    ...other,
  };
}

export function anEvent(
  type: AuditEventType,
  requestId: string,
  other: Partial<AuditEvent> = {},
): AuditEvent {
  return {
    id: `${requestId}/${type}`,
    type,
    time: NOON,
    requestId,
    actor: 'spiffe://corp.example/person/bob',
    subject: 'spiffe://corp.example/agent/finance-bot',
    action: 'sap.payment.execute',
    tier: 'high',
    reasons: [],
    ...other,
    data: { ...sampleData(type), ...other.data },
  };
}

/** The event that admission writes beside a request. */
function requestedEvent({ requestId, subject, askedDigest }: RequestEntry): AuditEvent {
  return anEvent('poa_requested', requestId, { subject, data: { asked_digest: askedDigest } });
}

/** The event that tells a verdict, in every particular. */
function verdictEvent(verdict: VerdictEntry): AuditEvent {
  return anEvent('poa_verdict_recorded', verdict.requestId, {
    id: `${verdict.requestId}/poa_verdict_recorded/${verdict.jti}`,
    time: verdict.receivedAt,
    actor: verdict.by,
    personal: { '/actor': verdict.by },
    data: { jti: verdict.jti, statement_digest: verdict.statementDigest },
  });
}

function aVerdict(requestId: string, other: Partial<VerdictEntry> = {}): VerdictEntry {
  const by = 'spiffe://corp.example/person/bob';
  return {
    jti: randomUUID(),
    requestId,
    statementDigest: sha256Base64url('statement'),
    by,
    receivedAt: SOON,
    ...other,
  };
}

function claimsOf(req: string, jti: string): MandateClaims {
  return {
    iss: 'https://agentauth.corp.example',
    aud: 'spiffe://corp.example/broker',
    sub: 'spiffe://corp.example/agent/finance-bot',
    act: 'sap.payment.execute',
    // Not in the order that jsonb would give them back in.
    con: {
      params: { zebra: 1, amount: 12.5, iban: 'DE02', a: 'é\u0000', '10': 'ten', '9': 'nine' },
      limits: {},
    },
    leg: {},
    tier: 'high',
    pol: '0123456789abcdef',
    req,
    jti,
    iat: 1_772_452_800,
    nbf: 1_772_452_800,
    exp: 1_772_452_920,
    cnf: { 'x5t#S256': 'x5t' },
  };
}

/** What every ledger does, whatever it is made of. */
export function itKeepsTheLedgerContract(underTest: () => LedgerUnderTest): void {
  const typesOf = async (requestId: string): Promise<string[]> =>
    (await underTest().ledger.events({ requestId, limit: 100 })).map(({ type }) => type);
  const admitted = async (other: Partial<RequestEntry> = {}): Promise<RequestEntry> => {
    const request = aRequest(other);
    await underTest().ledger.admit(request, requestedEvent(request), ROOM);
    return request;
  };
  const mandateWithin = (
    limits: readonly VelocityLimit[],
    requestId: string,
    { jti = randomUUID(), time = NOON }: { readonly jti?: string; readonly time?: Date } = {},
  ) =>
    underTest().ledger.recordMandate(
      { requestId, jti, claims: claimsOf(requestId, jti), about: [] },
      anEvent('poa_issued', requestId, { time, data: { jti } }),
      limits,
    );
  const mandate = async (requestId: string, jti: string = randomUUID()): Promise<RecordedMandate> => {
    const recorded = await mandateWithin([], requestId, { jti });
    if ('exceeded' in recorded) throw new Error('there was no limit to exceed');
    return recorded;
  };
  /** Counts for nobody else: contracts share one database. */
  const atMost = (most: number, windowSeconds = 60, key: string = randomUUID()): VelocityLimit => ({
    rule: 'a rule',
    ...{ key, most, windowSeconds },
  });
  const issuesWithin = async (limits: readonly VelocityLimit[], time = NOON): Promise<boolean> =>
    !('exceeded' in (await mandateWithin(limits, (await admitted()).requestId, { time })));
  const taken = async (limit: VelocityLimit, at = NOON) =>
    (await underTest().ledger.velocityOf([limit], at))[0]?.taken;

  describe('proofs', () => {
    const aProof = (key: string = randomUUID()) => ({ key, expiresAt: SOON });
    const replayed: Error = expect.objectContaining({ code: 'proof_replayed' });
    const admit = (request: RequestEntry) => underTest().ledger.admit(request, requestedEvent(request), ROOM);

    it.each([null, SOON])(
      'count for one request, which may repeat them, pending until %p',
      async (pendingUntil) => {
        const proofs = [aProof(), aProof()];
        const request = aRequest({ pendingUntil, proofs });
        expect(await admit(request)).toBe('admitted');
        expect(await admit(request)).toBe('admitted');
        const other = aRequest({ pendingUntil, proofs: [aProof(), ...proofs.slice(1)] });
        await expect(admit(other)).rejects.toThrow(replayed);
        expect((await underTest().ledger.recordOf(other.requestId)).request).toBeNull();
        expect(await typesOf(other.requestId)).toEqual([]);
      },
    );

    it.each([null, SOON])(
      'count once when many come with one at once, pending until %p',
      async (pendingUntil) => {
        const proofs = [aProof()];
        const requests = Array.from({ length: 8 }, () => aRequest({ pendingUntil, proofs }));
        const outcomes = await Promise.allSettled(requests.map(admit));
        expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      },
    );

    it('count once though the same request comes several times at once', async () => {
      const request = aRequest({ proofs: [aProof()] });
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => admit(request)));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(8);
    });

    it('are not used up where there was no room', async () => {
      const subject = anAgent();
      const first = aRequest({ subject, pendingUntil: QUIET_UNTIL });
      const one = { perAgent: 1, total: 10_000 };
      await underTest().ledger.admit(first, { ...requestedEvent(first), time: QUIET }, one);
      const proofs = [aProof()];
      const second = aRequest({ subject, pendingUntil: QUIET_UNTIL, proofs });
      expect(await underTest().ledger.admit(second, { ...requestedEvent(second), time: QUIET }, one)).toBe(
        'too_many_pending',
      );
      expect(await admit(aRequest({ proofs }))).toBe('admitted');
    });

    it('that are bound to a key count with that one alone, for the same request too', async () => {
      const key = randomUUID();
      const asked = (boundTo: string) => ({ ...request, proofs: [aProof(), { ...aProof(key), boundTo }] });
      const request = aRequest({});
      expect(await admit(asked('the key that came first'))).toBe('admitted');
      expect(await admit(asked('the key that came first'))).toBe('admitted');
      await expect(admit(asked('another key'))).rejects.toThrow(replayed);
      await expect(admit({ ...request, proofs: [aProof(key)] })).rejects.toThrow(replayed);
    });

    it('count once for mandates too', async () => {
      const proofs = [aProof()];
      const [first, second] = [await admitted(), await admitted()];
      const record = ({ requestId }: RequestEntry) => {
        const jti = randomUUID();
        return underTest().ledger.recordMandate(
          { requestId, jti, claims: claimsOf(requestId, jti), about: [], proofs },
          anEvent('poa_issued', requestId, { data: { jti } }),
          [],
        );
      };
      const recorded = await record(first);
      expect(await record(first)).toEqual(recorded);
      await expect(record(second)).rejects.toThrow(replayed);
      expect(await typesOf(second.requestId)).toEqual(['poa_requested']);
      expect((await underTest().ledger.recordOf(second.requestId)).mandate).toBeNull();
    });
  });

  describe('reviews of broken glasses', () => {
    it('are open until the one event closes them', async () => {
      const { ledger } = underTest();
      const [first, second] = [randomUUID(), randomUUID()];
      for (const requestId of [first, second]) await ledger.append(anEvent('poa_break_glass', requestId));
      const open = async () =>
        (await ledger.openReviews(1_000)).flatMap(({ requestId }) =>
          requestId === first || requestId === second ? [requestId] : [],
        );
      expect(await open()).toEqual([first, second]);
      await ledger.append(anEvent('poa_break_glass_reviewed', first));
      expect(await open()).toEqual([second]);
    });
  });

  describe('open requests', () => {
    it('are those that people were asked about, and that have no end', async () => {
      const { ledger } = underTest();
      const [open, closed, issued] = [
        await admitted({ pendingUntil: QUIET_UNTIL }),
        await admitted({ pendingUntil: QUIET_UNTIL }),
        await admitted({ pendingUntil: QUIET_UNTIL }),
      ];
      const low = await admitted();
      await ledger.close(closed.requestId, anEvent('poa_expired', closed.requestId));
      await mandate(issued.requestId);
      const mine = new Set([open, closed, issued, low].map(({ requestId }) => requestId));
      expect((await ledger.openRequests(10_000)).filter(({ requestId }) => mine.has(requestId))).toEqual([
        { requestId: open.requestId, subject: open.subject },
      ]);
    });
  });

  describe('what was issued', () => {
    it('is counted by kind from a moment up to, but without, another; the low tier is left out', async () => {
      const { ledger } = underTest();
      const subject = anAgent();
      const issued = (time: Date, other: Partial<AuditEvent> = {}) =>
        ledger.append(
          anEvent('poa_issued_dual_control', randomUUID(), { id: randomUUID(), time, subject, ...other }),
        );
      const before = new Date(QUIET.getTime() - 1);
      for (const time of [before, QUIET, QUIET, QUIET_UNTIL]) await issued(time);
      await issued(QUIET, { type: 'poa_issued', tier: 'low', action: 'crm.contact.read' });
      await issued(QUIET, { type: 'poa_issued', tier: 'medium', action: 'erp.order.create' });
      await ledger.append(anEvent('poa_denied', randomUUID(), { time: QUIET, subject }));
      const counts = await ledger.issuedBetween(QUIET, QUIET_UNTIL);
      expect(counts.filter(({ agent }) => agent === subject)).toEqual([
        { tier: 'high', action: 'sap.payment.execute', agent: subject, count: 2 },
        { tier: 'medium', action: 'erp.order.create', agent: subject, count: 1 },
      ]);
    });
  });

  describe('what people worked on', () => {
    // A cause is what somebody wrote, with a NUL too.
    it('is counted by kind, name and end from a moment up to, but without, another, and not beyond a number', async () => {
      const { ledger } = underTest();
      const kind = `ATB${randomUUID().replaceAll('-', '')}`;
      const name = randomUUID();
      const told = (type: AuditEvent['type'], time: Date, data: AuditEvent['data']) =>
        ledger.append({ ...anEvent(type, randomUUID(), { id: randomUUID(), time, data }), requestId: null });
      const opened = {
        ...{ incident: `${kind}.x`, kind, opened_at: 1, cause: 'c\u0000', severity: 'P1', source: 'alert' },
        ...{ statement_digest: null, policy_revision: 'r' },
      };
      const ended = { proposal: 'change.x', kind: 'change', name, state: 'rolled_back', percent: 0 };
      for (const time of [new Date(QUIET.getTime() - 1), QUIET, QUIET, QUIET_UNTIL]) {
        await told('incident_opened', time, opened);
      }
      await told('change_ended', QUIET, ended);
      const all = await ledger.workBetween(QUIET, QUIET_UNTIL, 1_000);
      expect(all.filter((one) => one.kind === kind || one.name === name)).toEqual([
        { type: 'change_ended', kind: 'change', name, state: 'rolled_back', count: 1 },
        { type: 'incident_opened', kind, name: null, state: 'P1', count: 2 },
      ]);
      expect(await ledger.workBetween(QUIET, QUIET_UNTIL, 1)).toHaveLength(1);
    });
  });

  describe('admitting', () => {
    it('knows nothing of a request that was never admitted', async () => {
      expect(await underTest().ledger.recordOf(randomUUID())).toEqual({
        request: null,
        requestedAt: null,
        closed: false,
        verdicts: [],
        rungs: [],
        mandate: null,
      });
    });

    it.each([null, SOON])('remembers the request as it came, pending until %p', async (pendingUntil) => {
      const request = await admitted({ pendingUntil });
      expect(await underTest().ledger.recordOf(request.requestId)).toEqual({
        request,
        requestedAt: NOON,
        closed: false,
        verdicts: [],
        rungs: [],
        mandate: null,
      });
      expect(await typesOf(request.requestId)).toEqual(['poa_requested']);
    });

    it.each([null, SOON])('changes nothing when repeated, pending until %p', async (pendingUntil) => {
      const { ledger } = underTest();
      const request = await admitted({ pendingUntil });
      const again = anEvent('poa_requested', request.requestId, { time: SOON });
      expect(await ledger.admit(request, again, ROOM)).toBe('admitted');
      const events = await ledger.events({ requestId: request.requestId, limit: 10 });
      expect(events.map(({ time }) => time)).toEqual([NOON]);
    });

    it('tells when a request came only where its event tells of the same request', async () => {
      const { ledger } = underTest();
      const request = aRequest();
      const event = {
        ...requestedEvent(request),
        data: { ...sampleData('poa_requested'), asked_digest: sha256Base64url('other') },
      };
      await ledger.admit(request, event, ROOM);
      expect((await ledger.recordOf(request.requestId)).requestedAt).toBeNull();
    });

    it("remembers the rungs that its events tell of, in their order, and no other request's", async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const rung = (of: string, number: number, time: Date) =>
        ledger.append(
          anEvent('poa_escalated', of, {
            id: `${of}/poa_escalated/0/${number}`,
            time,
            data: { rung: number },
          }),
        );
      await rung(requestId, 1, NOON);
      await rung(requestId, 2, SOON);
      await rung(requestId, 1, SOON);
      await rung((await admitted()).requestId, 3, NOON);
      expect((await ledger.recordOf(requestId)).rungs).toEqual([
        { rung: 1, climbedAt: NOON },
        { rung: 2, climbedAt: SOON },
      ]);
    });

    it('keeps a reversal mandate once for the mandate that it reverses', async () => {
      const { requestId } = await admitted();
      const claims = claimsOf(requestId, randomUUID());
      const rev = { act: 'erp.order.cancel', con: claims.con, jti: randomUUID(), exp: claims.exp };
      const paired = reversalClaimsOf({ ...claims, rev });
      if (!paired) throw new Error('it has no reversal');
      const reversal = { claims: paired, mandate: 'a.b.c' };
      await underTest().ledger.keepReversal(reversal);
      await expect(underTest().ledger.keepReversal(reversal)).resolves.toBeUndefined();
    });

    it.each([
      ['subject', { subject: 'spiffe://corp.example/agent/other' }],
      ['content', { askedDigest: 'other' }],
    ])('refuses another %s under the id of a known request', async (_, other) => {
      const request = await admitted();
      const event = anEvent('poa_requested', request.requestId);
      await expect(underTest().ledger.admit({ ...request, ...other }, event, ROOM)).rejects.toMatchObject({
        code: 'evidence_mismatch',
      });
      expect((await underTest().ledger.recordOf(request.requestId)).request).toEqual(request);
    });

    it('refuses one more than an agent may have pending, and leaves no trace of it', async () => {
      const { ledger } = underTest();
      const { subject } = await admitted({ pendingUntil: SOON });
      const second = aRequest({ subject, pendingUntil: SOON });
      const event = anEvent('poa_requested', second.requestId);
      expect(await ledger.admit(second, event, { ...ROOM, perAgent: 1 })).toBe('too_many_pending');
      expect((await ledger.recordOf(second.requestId)).request).toBeNull();
      expect(await typesOf(second.requestId)).toEqual([]);
      expect(await ledger.admit(second, event, { ...ROOM, perAgent: 2 })).toBe('admitted');
    });

    it('refuses one more than all agents together may have pending', async () => {
      const { ledger } = underTest();
      await admitted({ pendingUntil: SOON });
      const other = aRequest({ pendingUntil: SOON });
      expect(
        await ledger.admit(other, anEvent('poa_requested', other.requestId), { ...ROOM, total: 1 }),
      ).toBe('too_many_pending');
    });

    it('admits above the caps where nobody has to be waited for', async () => {
      const { ledger } = underTest();
      const { subject } = await admitted({ pendingUntil: SOON });
      const low = aRequest({ subject });
      const event = anEvent('poa_requested', low.requestId);
      expect(await ledger.admit(low, event, { perAgent: 0, total: 0 })).toBe('admitted');
    });

    it('answers the repeat of an admitted request although the caps are reached by now', async () => {
      const request = await admitted({ pendingUntil: SOON });
      const event = anEvent('poa_requested', request.requestId);
      expect(await underTest().ledger.admit(request, event, { perAgent: 0, total: 0 })).toBe('admitted');
    });

    it.each(['closed', 'issued', 'past its time'])('makes room when a request is %s', async (how) => {
      const { ledger } = underTest();
      const { subject, requestId } = await admitted({ pendingUntil: SOON });
      if (how === 'closed') await ledger.close(requestId, anEvent('poa_withdrawn', requestId));
      if (how === 'issued') await mandate(requestId);
      const next = aRequest({ subject, pendingUntil: QUIET_UNTIL });
      const time = how === 'past its time' ? SOON : NOON;
      const event = anEvent('poa_requested', next.requestId, { time });
      expect(await ledger.admit(next, event, { ...ROOM, perAgent: 1 })).toBe('admitted');
    });

    it('gives the last place to one of several that ask at once', async () => {
      const { ledger } = underTest();
      const subject = anAgent();
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => {
          const request = aRequest({ subject, pendingUntil: QUIET_UNTIL });
          const event = anEvent('poa_requested', request.requestId, { time: QUIET });
          return ledger.admit(request, event, { ...ROOM, perAgent: 1 });
        }),
      );
      expect(answers.filter((answer) => answer === 'admitted')).toHaveLength(1);
    });

    it('writes one event when the same request is admitted several times at once', async () => {
      const { ledger } = underTest();
      const request = aRequest();
      const event = anEvent('poa_requested', request.requestId);
      const answers = await Promise.all(Array.from({ length: 8 }, () => ledger.admit(request, event, ROOM)));
      expect(new Set(answers)).toEqual(new Set(['admitted']));
      expect(await typesOf(request.requestId)).toEqual(['poa_requested']);
    });
  });

  describe('verdicts', () => {
    it('are remembered in order of receipt, each with one event', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const late = aVerdict(requestId, { receivedAt: SOON });
      const early = aVerdict(requestId, { receivedAt: NOON });
      for (const verdict of [late, early, late]) {
        expect(await ledger.recordVerdict(verdict, verdictEvent(verdict))).toEqual(verdict);
      }
      expect((await ledger.recordOf(requestId)).verdicts).toEqual([early, late]);
      expect(await typesOf(requestId)).toEqual([
        'poa_requested',
        'poa_verdict_recorded',
        'poa_verdict_recorded',
      ]);
    });

    it.each<[string, Partial<AuditEvent>]>([
      ['another moment', { time: NOON }],
      ['another person', { actor: 'spiffe://corp.example/person/carol' }],
      [
        'another statement',
        { data: { ...sampleData('poa_verdict_recorded'), statement_digest: sha256Base64url('other') } },
      ],
      ['something else', { type: 'poa_verdict_refused', data: sampleData('poa_verdict_refused') }],
    ])('do not stand where their event tells of %s: the log fixes what was received', async (_, other) => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const verdict = aVerdict(requestId);
      await ledger.recordVerdict(verdict, { ...verdictEvent(verdict), ...other });
      expect((await ledger.recordOf(requestId)).verdicts).toEqual([]);
    });

    it('tell by their event which of them is a no, and its statement', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const [yes, no] = [aVerdict(requestId, { receivedAt: NOON }), aVerdict(requestId)];
      for (const [verdict, word] of [
        [yes, 'approve'],
        [no, 'reject'],
      ] as const) {
        const event = verdictEvent(verdict);
        const data = { ...sampleData('poa_verdict_recorded'), ...event.data };
        await ledger.recordVerdict(verdict, {
          ...event,
          data: { ...data, verdict: word, statement: `${word}.signed` },
        });
      }
      expect((await ledger.recordOf(requestId)).verdicts).toEqual([yes, { ...no, no: 'reject.signed' }]);
    });

    it('answer the first entry under a jti, though it is for another request', async () => {
      const { ledger } = underTest();
      const [one, other] = [await admitted(), await admitted()];
      const first = aVerdict(one.requestId);
      await ledger.recordVerdict(first, anEvent('poa_verdict_recorded', one.requestId));
      const reused = aVerdict(other.requestId, { jti: first.jti, statementDigest: 'other' });
      const event = anEvent('poa_verdict_recorded', other.requestId);
      expect(await ledger.recordVerdict(reused, event)).toEqual(first);
      expect((await ledger.recordOf(other.requestId)).verdicts).toEqual([]);
      expect(await typesOf(other.requestId)).toEqual(['poa_requested']);
    });

    it('answer all who record one jti at once with the same entry', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const jti = randomUUID();
      const entries = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          ledger.recordVerdict(
            aVerdict(requestId, { jti, statementDigest: `statement ${index}` }),
            anEvent('poa_verdict_recorded', requestId),
          ),
        ),
      );
      expect(new Set(entries.map(({ statementDigest }) => statementDigest)).size).toBe(1);
      expect(await typesOf(requestId)).toEqual(['poa_requested', 'poa_verdict_recorded']);
    });
  });

  describe('mandates', () => {
    it('come back with their claims in the order that was signed', async () => {
      const { requestId } = await admitted();
      const jti = randomUUID();
      const recorded = await mandate(requestId, jti);
      const text = JSON.stringify(claimsOf(requestId, jti));
      expect(JSON.stringify(recorded.claims)).toBe(text);
      const record = await underTest().ledger.recordOf(requestId);
      expect(JSON.stringify(record.mandate?.claims)).toBe(text);
      expect(record.mandate?.jti).toBe(jti);
    });

    it('are one for each request, and the first stays', async () => {
      const { requestId } = await admitted();
      const first = await mandate(requestId);
      expect(await mandate(requestId)).toEqual(first);
      expect(await typesOf(requestId)).toEqual(['poa_requested', 'poa_issued']);
    });

    it('get one jti, and the event that tells it, when recorded several times at once', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const recorded = await Promise.all(Array.from({ length: 8 }, () => mandate(requestId)));
      const jtis = new Set(recorded.map(({ jti }) => jti));
      expect(jtis.size).toBe(1);
      expect(new Set(recorded.map(({ claims }) => claims.jti))).toEqual(jtis);
      const [, issued, ...more] = await ledger.events({ requestId, limit: 10 });
      expect([issued?.data.jti]).toEqual([...jtis]);
      expect(more).toEqual([]);
    });

    it('are refused for a closed request', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      expect(await ledger.close(requestId, anEvent('poa_expired', requestId))).toBe(true);
      await expect(mandate(requestId)).rejects.toMatchObject({ code: 'request_finished' });
      expect(await typesOf(requestId)).toEqual(['poa_requested', 'poa_expired']);
      expect((await ledger.recordOf(requestId)).mandate).toBeNull();
    });

    it('are refused for a request that was never admitted', async () => {
      const requestId = randomUUID();
      await expect(mandate(requestId)).rejects.toMatchObject({ code: 'request_finished' });
      expect(await typesOf(requestId)).toEqual([]);
    });
  });

  describe('velocity', () => {
    const MINUTE_LATER = new Date(NOON.getTime() + 60_000);

    it('issues up to the limit and no further, and the next window starts anew', async () => {
      const limit = atMost(2);
      expect(await issuesWithin([limit])).toBe(true);
      expect(await issuesWithin([limit])).toBe(true);
      expect(await issuesWithin([limit])).toBe(false);
      expect(await issuesWithin([limit], MINUTE_LATER)).toBe(true);
      expect(await taken(limit, MINUTE_LATER)).toBe(1);
    });

    it('answers the limit that is reached and when it opens, and leaves no trace of the mandate', async () => {
      const limit = atMost(1);
      await issuesWithin([limit]);
      const { requestId } = await admitted();
      expect(await mandateWithin([limit], requestId)).toEqual({
        exceeded: { ...limit, taken: 1, resetsAt: MINUTE_LATER },
      });
      expect((await underTest().ledger.recordOf(requestId)).mandate).toBeNull();
      expect(await typesOf(requestId)).toEqual(['poa_requested']);
      expect(await mandateWithin([limit], requestId, { time: MINUTE_LATER })).toHaveProperty('claims');
    });

    it('takes from every limit, or from none', async () => {
      const [narrow, wide] = [atMost(1, 60), atMost(5, 3600)];
      expect(await issuesWithin([narrow, wide])).toBe(true);
      expect(await issuesWithin([narrow, wide])).toBe(false);
      expect([await taken(narrow), await taken(wide)]).toEqual([1, 1]);
    });

    it('counts once where two limits share a counter, and the narrower holds', async () => {
      const key = randomUUID();
      const limits = [atMost(5, 60, key), atMost(2, 60, key)];
      expect(await issuesWithin(limits)).toBe(true);
      expect(await taken(atMost(2, 60, key))).toBe(1);
      expect(await issuesWithin(limits)).toBe(true);
      expect(await issuesWithin(limits)).toBe(false);
    });

    it('tells of several the limit that opens last', async () => {
      const key = randomUUID();
      const limits = [atMost(0, 60, key), atMost(0, 86_400, key), atMost(0, 3600, key)];
      const refused = await mandateWithin(limits, (await admitted()).requestId);
      expect(refused).toMatchObject({ exceeded: { windowSeconds: 86_400 } });
    });

    it('counts a mandate once, however often it is recorded', async () => {
      const limit = atMost(1);
      const { requestId } = await admitted();
      const [first, ...again] = await Promise.all(
        Array.from({ length: 8 }, () => mandateWithin([limit], requestId)),
      );
      for (const repeat of again) expect(repeat).toEqual(first);
      expect(await mandateWithin([limit], requestId)).toEqual(first);
      expect(await taken(limit)).toBe(1);
    });

    it('gives the last one to exactly one of several that come at once', async () => {
      const [narrow, wide] = [atMost(3), atMost(100)];
      // In both orders: who needs two counters must not wait for one who holds the other.
      const outcomes = await Promise.all(
        Array.from({ length: 12 }, (_, n) => issuesWithin(n % 2 === 0 ? [narrow, wide] : [wide, narrow])),
      );
      expect(outcomes.filter(Boolean)).toHaveLength(3);
      expect([await taken(narrow), await taken(wide)]).toEqual([3, 3]);
    });

    it('counts one whose clock is behind in the window that the others are in', async () => {
      const limit = atMost(1);
      expect(await issuesWithin([limit], MINUTE_LATER)).toBe(true);
      expect(await issuesWithin([limit], NOON)).toBe(false);
    });

    it('takes nothing for a closed request', async () => {
      const limit = atMost(1);
      const { requestId } = await admitted();
      await underTest().ledger.close(requestId, anEvent('poa_expired', requestId));
      await expect(mandateWithin([limit], requestId)).rejects.toMatchObject({ code: 'request_finished' });
      expect(await taken(limit)).toBe(0);
    });

    it('is told in the order that was asked, and asking takes nothing', async () => {
      const [used, unused] = [atMost(3, 3600), atMost(7)];
      await issuesWithin([used]);
      for (let repeat = 0; repeat < 2; repeat++) {
        expect(await underTest().ledger.velocityOf([unused, used], NOON)).toEqual([
          { ...unused, taken: 0, resetsAt: MINUTE_LATER },
          { ...used, taken: 1, resetsAt: new Date(NOON.getTime() + 3_600_000) },
        ]);
      }
    });
  });

  describe('closing', () => {
    it('is refused after a mandate, and writes nothing', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      await mandate(requestId);
      expect(await ledger.close(requestId, anEvent('poa_withdrawn', requestId))).toBe(false);
      expect((await ledger.recordOf(requestId)).closed).toBe(false);
      expect(await typesOf(requestId)).toEqual(['poa_requested', 'poa_issued']);
    });

    it('tells one end of a request, the first', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      for (const type of ['poa_withdrawn', 'poa_withdrawn', 'poa_expired'] as const) {
        expect(await ledger.close(requestId, anEvent(type, requestId))).toBe(true);
      }
      expect((await ledger.recordOf(requestId)).closed).toBe(true);
      expect(await typesOf(requestId)).toEqual(['poa_requested', 'poa_withdrawn']);
    });

    it('tells one end when several come at once', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      const types = ['poa_withdrawn', 'poa_expired', 'poa_rejected', 'poa_cancelled'] as const;
      const answers = await Promise.all(
        types.map((type) => ledger.close(requestId, anEvent(type, requestId))),
      );
      expect(answers).toEqual([true, true, true, true]);
      expect(await typesOf(requestId)).toHaveLength(2);
    });

    it('and a mandate at once: exactly one of them happens', async () => {
      const { ledger } = underTest();
      for (let round = 0; round < 20; round++) {
        const { requestId } = await admitted();
        const close = () => ledger.close(requestId, anEvent('poa_expired', requestId));
        const issue = () =>
          mandate(requestId).then(
            () => true,
            (error: unknown) => {
              expect(error).toMatchObject({ code: 'request_finished' });
              return false;
            },
          );
        // In turn, so that each gets to be the first.
        const [closed, issued] =
          round % 2 === 0
            ? await Promise.all([close(), issue()])
            : (await Promise.all([issue(), close()])).reverse();
        expect(closed).toBe(!issued);
        const record = await ledger.recordOf(requestId);
        expect([record.closed, record.mandate !== null]).toEqual([closed, issued]);
        expect(await typesOf(requestId)).toEqual(['poa_requested', issued ? 'poa_issued' : 'poa_expired']);
      }
    });
  });

  it('remembers a revocation, with one event', async () => {
    const { ledger } = underTest();
    const { requestId } = await admitted();
    const jti = randomUUID();
    expect(await ledger.isRevoked(jti)).toBe(false);
    for (const id of ['first', 'second']) {
      await ledger.revoke(jti, anEvent('poa_revoked', requestId, { id: `${requestId}/${id}` }));
    }
    expect(await ledger.isRevoked(jti)).toBe(true);
    expect(await typesOf(requestId)).toEqual(['poa_requested', 'poa_revoked']);
  });

  describe('events', () => {
    it('come back as they were written, and the first under an id stays', async () => {
      const { ledger } = underTest();
      const requestId = randomUUID();
      const event = anEvent('policy_refused', requestId, {
        time: SOON,
        actor: null,
        subject: null,
        action: null,
        tier: null,
        reasons: ['ticket_missing', 'a "quoted", {braced} reason'],
        traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
        data: { stays: null, detail: 'é\u0000 "quoted"' },
      });
      await ledger.append(event);
      await ledger.append({ ...event, data: { stays: null, detail: 'other' } });
      const [stored, ...more] = await ledger.events({ requestId, limit: 10 });
      expect(stored).toEqual({ ...event, seq: expect.any(Number) });
      expect(more).toEqual([]);
    });

    it('of nobody in particular are kept too', async () => {
      const { ledger } = underTest();
      const id = randomUUID();
      await ledger.append(anEvent('poa_signal_rejected', '', { id, requestId: null }));
      const found = await ledger.events({ type: 'poa_signal_rejected', limit: 1000 });
      expect(found.find((event) => event.id === id)?.requestId).toBeNull();
    });

    it('are read in their order, by request, by type, and page by page', async () => {
      const { ledger } = underTest();
      const { requestId } = await admitted();
      for (const rung of [1, 2, 3]) {
        await ledger.append(
          anEvent('poa_escalated', requestId, { id: `${requestId}/${rung}`, data: { rung } }),
        );
      }
      const all = await ledger.events({ requestId, limit: 100 });
      const seqs = all.map(({ seq }) => seq);
      expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
      const rungs = async (afterSeq: number) =>
        (await ledger.events({ requestId, type: 'poa_escalated', afterSeq, limit: 2 })).map(
          (e) => e.data.rung,
        );
      expect(await rungs(0)).toEqual([1, 2]);
      expect(await rungs(all[2]!.seq)).toEqual([3]);
      expect(await rungs(all[3]!.seq)).toEqual([]);
    });
  });

  it('answers audit_unavailable within five seconds while its store is away, and goes on afterwards', async () => {
    const { ledger, stop, start } = underTest();
    const { requestId } = await admitted();
    const jti = randomUUID();
    const calls = [
      () => ledger.admit(aRequest(), anEvent('poa_requested', requestId), ROOM),
      () => ledger.admit(aRequest({ pendingUntil: SOON }), anEvent('poa_requested', requestId), ROOM),
      () => ledger.recordVerdict(aVerdict(requestId), anEvent('poa_verdict_recorded', requestId)),
      () => mandate(requestId, jti),
      () => ledger.velocityOf([atMost(1)], NOON),
      () => ledger.close(requestId, anEvent('poa_expired', requestId)),
      () => ledger.revoke(jti, anEvent('poa_revoked', requestId)),
      () => ledger.append(anEvent('poa_escalated', requestId)),
      () => ledger.recordOf(requestId),
      () => ledger.isRevoked(jti),
      () => ledger.events({ limit: 1 }),
    ];
    await stop();
    try {
      const answered = async () => {
        const answers = await Promise.allSettled(calls.map((call): Promise<unknown> => call()));
        for (const answer of answers) {
          expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'audit_unavailable' } });
        }
      };
      expect(await bestTime(5_000, () => timed(answered))).toBeLessThan(5_000);
    } finally {
      await start();
    }
    expect((await ledger.recordOf(requestId)).request?.requestId).toBe(requestId);
    expect(await typesOf(requestId)).toEqual(['poa_requested']);
    expect((await mandate(requestId, jti)).jti).toBe(jti);
  });
}
