import type { AuditEvent, AuditEventType } from './audit-event';
import type { ErrorCode } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { askedMandateOf, toApprove } from './mandate-request';
import type { AskedMandate } from './mandate-request';
import { requirementOf, reversalTermsOf } from './policy';
import type { Tier } from './policy';
import type { Ended, Issued, RecordedVerdict } from './request-status';

/** Where a request ended, as the audit log tells it when its workflow is there no more: all but the mandate itself. */
export type Recollection = Omit<Issued, 'mandate'> | Ended;

const END_OF = {
  poa_denied: 'denied',
  poa_rejected: 'rejected',
  poa_withdrawn: 'withdrawn',
  poa_expired: 'expired',
  poa_cancelled: 'cancelled',
} as const satisfies Partial<Record<AuditEventType, Ended['state']>>;

/** What these events of a request say of its end; null where they tell of none. What was erased stays empty. */
export function recollectionOf(requestId: string, events: readonly AuditEvent[]): Recollection | null {
  const requested = events.find(({ type }) => type === 'poa_requested');
  const issued = events.find(({ type }) => type === 'poa_issued' || type === 'poa_issued_dual_control');
  const end = events.find(({ type }) => Object.hasOwn(END_OF, type));
  const first = requested ?? end;
  if (!first) return null;
  const asked = requested && isJsonObject(requested.data.asked) ? askedMandateOf(requested.data.asked) : null;
  const every = {
    requestId,
    requestedAt: epochSeconds(first.time),
    act: first.action ?? '',
    ticket: asked?.ticket ?? textOf(first.data.ticket),
    justification: asked?.justification ?? null,
    verdicts: events.filter(({ type }) => type === 'poa_verdict_recorded').map(verdictOf),
  };
  if (issued) return { ...every, ...issuedOf(requestId, issued, asked) };
  return {
    ...every,
    state: end ? END_OF[end.type as keyof typeof END_OF] : 'cancelled',
    agent: first.subject,
    tier: (end ?? first).tier,
    policyRevision: textOf((end ?? first).data.policy_revision),
    code: (textOf(end?.data.code) ?? 'request_finished') as ErrorCode,
    // Nobody ended it, and nothing of it goes on: its workflow was deleted.
    reasons: end?.reasons ?? ['workflow_gone'],
  };
}

function issuedOf(
  requestId: string,
  { subject, action, tier, data }: AuditEvent,
  asked: AskedMandate | null,
): Omit<Issued, 'mandate' | 'requestId' | 'requestedAt' | 'act' | 'ticket' | 'justification' | 'verdicts'> {
  const agent = subject ?? '';
  const content = asked ?? askedMandateOf({ act: action });
  return {
    state: 'issued',
    agent,
    tier: tier as Tier,
    policyRevision: textOf(data.policy_revision) ?? '',
    requirement: requirementOf(objectOf(data.requirement), content.approvers),
    toApprove: toApprove(requestId, content, {
      subject: agent,
      limits: objectOf(data.limits),
      audience: textOf(data.audience) ?? '',
      reversal: isJsonObject(data.reversal) ? reversalTermsOf(data.reversal) : null,
    }),
    jti: textOf(data.jti) ?? '',
    expiresAt: data.exp as number,
  };
}

function verdictOf({ actor, time, data }: AuditEvent): RecordedVerdict {
  const statement = textOf(data.statement);
  return {
    jti: textOf(data.jti) ?? '',
    by: actor ?? '',
    role: textOf(data.role) ?? '',
    verdict: data.verdict as RecordedVerdict['verdict'],
    reason: statement === null ? '' : reasonIn(statement),
    attests: (data.attests ?? []) as readonly string[],
    receivedAt: epochSeconds(time),
  };
}

/** A statement that was verified before it was recorded. */
function reasonIn(statement: string): string {
  const payload = Buffer.from(statement.split('.')[1] ?? '', 'base64url').toString('utf8');
  return textOf((JSON.parse(payload) as JsonObject).reason) ?? '';
}

function textOf(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function epochSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
