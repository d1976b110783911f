import type { JsonObject } from './json';
import type { Tier } from './policy';

/** A JSON Schema (2020-12) of one type's `data`. */
export interface DataSchema extends JsonObject {
  readonly type: 'object';
  readonly additionalProperties: false;
  readonly required: readonly string[];
  readonly properties: JsonObject;
}

interface EventKind {
  /** One sentence for docs/audit.md. */
  readonly tells: string;
  /** Whether what was tried came about. */
  readonly outcome: 'success' | 'refused' | 'failure';
  /** How much it should worry whoever watches. */
  readonly severity: 'informational' | 'low' | 'medium' | 'high' | 'critical';
  /** Whether it also comes about without anybody's call, by a process, a schedule or an operator: then it has no trace. */
  readonly uncalled?: true;
  readonly data: DataSchema;
}

const TEXT = { type: 'string', maxLength: 4096 } as const;
const NAME = { type: 'string', minLength: 1, maxLength: 512 } as const;
/** No longer than SPIFFE allows (SPIFFE-ID §2.3). */
const SPIFFE_ID = { type: 'string', minLength: 1, maxLength: 2048 } as const;
const NAMES = { type: 'array', items: NAME, maxItems: 256 } as const;
const COUNT = { type: 'integer', minimum: 0 } as const;
/** Base64url SHA-256, without padding. */
const DIGEST = { type: 'string', pattern: '^[A-Za-z0-9_-]{43}$' } as const;
/** NumericDate (RFC 7519 §2). */
const EPOCH_SECONDS = { type: 'integer' } as const;
const orNull = (schema: JsonObject) => ({ anyOf: [schema, { type: 'null' }] }) as const;

/** Data with exactly these members: those that must be there, and those that may. */
function data(required: JsonObject = {}, optional: JsonObject = {}): DataSchema {
  return {
    type: 'object',
    additionalProperties: false,
    required: Object.keys(required),
    properties: { ...required, ...optional },
  };
}

const ENDED = data({ code: NAME, policy_revision: orNull(NAME) });

/** What policy wanted; whom the agent nominated is in what it asked for. */
const REQUIREMENT = data({
  approvals: COUNT,
  roles: NAMES,
  dual_control: { type: 'boolean' },
  ticket: { type: 'boolean' },
  release_roles: NAMES,
  attest: NAMES,
  signed_request: { type: 'boolean' },
  reason: { type: 'boolean' },
});

/** The ticket as policy saw it. */
const TICKET_FACT = data({
  id: NAME,
  state: NAME,
  approved: { type: ['boolean', 'null'] },
  window: orNull(data({ start: { type: 'number' }, end: { type: 'number' } })),
  attests: NAMES,
});

/** What the broker may do if the system fails after it has committed; the values are those that were asked. */
const REVERSAL = { act: NAME, params: NAMES, limits: { type: 'object' } } as const;

/**
 * With what was asked and with the verdicts, this is every claim of the mandate, and all that policy was told when it
 * said yes. The digest is over the claims (RFC 8785); it and the salt go with the first of the people in them that is
 * erased.
 */
const ISSUED = data(
  {
    jti: NAME,
    exp: EPOCH_SECONDS,
    policy_revision: NAME,
    approvers: NAMES,
    verdicts: NAMES,
    requirement: REQUIREMENT,
    limits: { type: 'object' },
    audience: NAME,
    confirmation: data({}, { 'x5t#S256': DIGEST, jkt: DIGEST }),
    decided_at: EPOCH_SECONDS,
    ticket: orNull(TICKET_FACT),
    attested_by_ticket: NAMES,
    mandate_digest: DIGEST,
  },
  { reversal: data({ ...REVERSAL, jti: NAME, exp: EPOCH_SECONDS }), salt: NAME },
);

/** The body of POST /issue, with what it leaves out filled in. */
const ASKED = {
  type: 'object',
  additionalProperties: false,
  required: [
    'act',
    'con',
    'leg',
    'justification',
    'ticket',
    'requires_dual_control',
    'approvers',
    'ttl_seconds',
  ],
  properties: {
    act: NAME,
    con: {
      type: 'object',
      additionalProperties: false,
      required: ['params', 'limits'],
      properties: { params: { type: 'object' }, limits: { type: 'object' } },
    },
    leg: { type: 'object' },
    justification: { type: ['string', 'null'] },
    ticket: orNull(NAME),
    requires_dual_control: { type: 'boolean' },
    approvers: { type: 'array', items: SPIFFE_ID },
    ttl_seconds: { type: ['number', 'null'] },
    reversal: { const: true },
  },
} as const;

const INCIDENT = { incident: NAME, kind: NAME, opened_at: EPOCH_SECONDS };
const CONSULTATION = {
  consultation: NAME,
  flow: { enum: ['request', 'proposal', 'incident'] },
  about: NAME,
  kind: NAME,
};
const PROPOSAL = { proposal: NAME, kind: NAME, name: NAME };

const CHANGE_STEP = { ...PROPOSAL, step: COUNT, percent: COUNT };
const CHANGE_RESULT = { operation: NAME, detail: TEXT, output_digest: orNull(DIGEST) };
const CHANGE_CHECKS = {
  type: 'array',
  maxItems: 32,
  items: data({ check: NAME, good: { type: 'boolean' }, detail: TEXT }),
} as const;

/** Where a call to the broker goes, without the values in it; the target is the one that is called (attack 43). */
const DESTINATION = { connector: NAME, route: TEXT, method: NAME, target: TEXT, caller: SPIFFE_ID };
const FINDINGS = {
  type: 'array',
  maxItems: 32,
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['rule', 'where', 'score'],
    properties: {
      rule: NAME,
      where: { type: 'string', maxLength: 512 },
      score: { type: 'number', minimum: 0, maximum: 1 },
    },
  },
} as const;
const USE = { ...DESTINATION, policy_revision: NAME };
/** A commitment (`commitmentTo`), with the mandate's salt. */
const PARAMS = { params_digest: DIGEST };
/** By when the outcome is recorded, where it is the broker that makes the call. */
const AWAITED = { outcome_by: EPOCH_SECONDS };
/** The reversal mandate, and the mandate that it reverses. */
const REVERSED = { jti: NAME, reverses: NAME };
const STOP = data(
  {
    scope: { enum: ['request', 'agent', 'connector', 'tier', 'everything'] },
    value: SPIFFE_ID,
    reason: TEXT,
  },
  // Where it contains an incident.
  { incident: NAME },
);
/** As far as the call was understood when it was refused. */
const REFUSED_USE = data({ code: NAME, jti: orNull(NAME) }, { ...USE, ...PARAMS, findings: FINDINGS });

/**
 * What the audit log tells: one fact an event, and no other type than these. Source: operating model §2.1, §2.2, §6.
 * To add one: an entry here, then `npm run docs:audit`.
 */
export const AUDIT_EVENTS = {
  poa_requested: {
    tells: 'An agent asked for a mandate, and the request was taken up.',
    outcome: 'success',
    severity: 'informational',
    data: data({ asked: orNull(ASKED), asked_digest: DIGEST, policy_revision: NAME, ticket: orNull(NAME) }),
  },
  poa_denied: {
    tells: 'A request was refused, with every reason.',
    outcome: 'refused',
    severity: 'low',
    data: ENDED,
  },
  poa_verdict_recorded: {
    tells: 'A signed verdict was verified and counts.',
    outcome: 'success',
    severity: 'informational',
    data: data(
      {
        verdict: { enum: ['approve', 'reject', 'release'] },
        role: NAME,
        jti: NAME,
        attests: NAMES,
        statement: { type: 'string', maxLength: 32768 },
        statement_digest: DIGEST,
        limits: { type: 'object' },
        audience: NAME,
        policy_revision: NAME,
      },
      { reversal: data(REVERSAL) },
    ),
  },
  poa_verdict_refused: {
    tells: 'A verdict was refused, and changed nothing.',
    outcome: 'refused',
    severity: 'medium',
    data: data({ code: NAME, statement_digest: DIGEST, policy_revision: NAME }),
  },
  poa_signal_rejected: {
    tells: 'A signal that is no sealed, signed verdict reached a workflow.',
    outcome: 'refused',
    severity: 'high',
    data: data({ signal: NAME, message: TEXT }),
  },
  poa_workflow_reset: {
    tells:
      'Somebody reset the workflow of the request to an earlier point, or ended it and started it again (`reasons`).',
    outcome: 'success',
    severity: 'high',
    uncalled: true,
    data: data({ run: NAME }),
  },
  poa_escalated: {
    tells: 'A request climbed a rung of its escalation ladder, and more people are told.',
    outcome: 'success',
    severity: 'low',
    data: data({ rung: COUNT, roles: NAMES }),
  },
  poa_reclassified: {
    tells: 'A waiting request was judged again by a newer policy.',
    outcome: 'success',
    severity: 'medium',
    data: data({ policy_revision: NAME, state: { enum: ['approved', 'pending'] }, kept: COUNT, of: COUNT }),
  },
  poa_break_glass: {
    tells:
      'People of the break-glass role approved in place of approvers who could not be reached; a review is open.',
    outcome: 'success',
    severity: 'critical',
    data: data({
      people: NAMES,
      stated_reasons: { type: 'array', items: TEXT, maxItems: 256 },
      role: NAME,
      rungs: COUNT,
      accountable: NAMES,
      review_until: EPOCH_SECONDS,
      policy_revision: NAME,
    }),
  },
  poa_break_glass_reviewed: {
    tells: 'Somebody Accountable looked at a broken glass, and closed its review with a signed word.',
    outcome: 'success',
    severity: 'medium',
    data: data({
      finding: { enum: ['justified', 'not_justified'] },
      reason: TEXT,
      statement_digest: DIGEST,
      review_digest: DIGEST,
      policy_revision: NAME,
    }),
  },
  poa_issued: {
    tells: 'A mandate is about to be signed: recorded before the signature.',
    outcome: 'success',
    severity: 'informational',
    data: ISSUED,
  },
  poa_issued_dual_control: {
    tells: 'As poa_issued, under dual control, with the approvers.',
    outcome: 'success',
    severity: 'informational',
    data: ISSUED,
  },
  poa_velocity_exceeded: {
    tells: 'A mandate was held back, because its agent had too much within a time.',
    outcome: 'refused',
    severity: 'medium',
    data: data({
      rule: NAME,
      most: { type: 'number' },
      window_seconds: COUNT,
      retry_at: EPOCH_SECONDS,
      policy_revision: NAME,
    }),
  },
  poa_rejected: {
    tells: 'A person who may rejected the request.',
    outcome: 'refused',
    severity: 'low',
    data: ENDED,
  },
  poa_withdrawn: {
    tells: 'The requesting agent gave up.',
    outcome: 'success',
    severity: 'informational',
    data: ENDED,
  },
  poa_expired: {
    tells: 'Nobody decided, or the agent did not collect, in time.',
    outcome: 'failure',
    severity: 'low',
    data: ENDED,
  },
  poa_cancelled: {
    tells: 'The workflow of the request was cancelled, terminated or removed.',
    outcome: 'failure',
    severity: 'medium',
    uncalled: true,
    data: ENDED,
  },
  probe_begun: {
    tells: 'A decoy that looks like a request waits for people: nothing can be issued for it.',
    outcome: 'success',
    severity: 'low',
    data: data({ proposal: NAME }),
  },
  probe_answered: {
    tells: 'Somebody gave a verdict on a probe: an approval was given without reading.',
    outcome: 'success',
    severity: 'medium',
    data: data({
      verdict: { enum: ['approve', 'reject', 'release'] },
      role: NAME,
      jti: NAME,
      statement_digest: DIGEST,
    }),
  },
  probe_ended: {
    tells: 'A probe is over.',
    outcome: 'success',
    severity: 'informational',
    data: data({ state: { enum: ['denied', 'rejected', 'withdrawn', 'expired', 'cancelled'] } }),
  },
  approver_suspended: {
    tells: 'Whoever approved a probe was suspended: their verdicts count no more until it is lifted.',
    outcome: 'success',
    severity: 'high',
    data: data({ jti: NAME }),
  },
  suspension_lifted: {
    tells: 'What a person signs counts again, by a proposal that was signed off.',
    outcome: 'success',
    severity: 'medium',
    data: data({ proposal: NAME }),
  },
  poa_revoked: {
    tells: 'A mandate was taken back.',
    outcome: 'success',
    severity: 'medium',
    data: data({ jti: NAME }),
  },
  poa_stopped: {
    tells: 'A person stopped an agent, a connector, a request, a tier or everything.',
    outcome: 'success',
    severity: 'high',
    uncalled: true,
    data: STOP,
  },
  poa_lift_proposed: {
    tells: 'A person wants a stop lifted.',
    outcome: 'success',
    severity: 'medium',
    data: STOP,
  },
  poa_stop_lifted: {
    tells: 'A stop was lifted, by as many people as policy wants.',
    outcome: 'success',
    severity: 'high',
    data: STOP,
  },
  poa_stop_refused: {
    tells: 'Somebody wanted to stop something, or to lift a stop, whom policy does not let.',
    outcome: 'refused',
    severity: 'high',
    data: STOP,
  },
  proposal_made: {
    tells:
      'A person proposed something that others have to sign off: a connector, a policy bundle, a change.',
    outcome: 'success',
    severity: 'informational',
    data: data({ ...PROPOSAL, digest: DIGEST, statement_digest: DIGEST, policy_revision: NAME }),
  },
  sign_off_recorded: {
    tells: 'A signed word on a proposal was verified and counts.',
    outcome: 'success',
    severity: 'informational',
    data: data({
      ...PROPOSAL,
      step: NAME,
      verdict: { enum: ['approve', 'reject'] },
      role: NAME,
      jti: NAME,
      statement_digest: DIGEST,
      policy_revision: NAME,
    }),
  },
  sign_off_refused: {
    tells: 'A word on a proposal was refused, and changed nothing.',
    outcome: 'refused',
    severity: 'medium',
    data: data({ ...PROPOSAL, code: NAME, statement_digest: DIGEST, policy_revision: NAME }),
  },
  proposal_signal_rejected: {
    tells: 'A signal reached the workflow of a proposal: words come with an answer, and it changed nothing.',
    outcome: 'refused',
    severity: 'high',
    data: data({ ...PROPOSAL, signal: NAME }),
  },
  proposal_escalated: {
    tells: 'A proposal climbed a rung of its escalation ladder, and more people are told.',
    outcome: 'success',
    severity: 'low',
    data: data({ ...PROPOSAL, rung: COUNT, roles: NAMES }),
  },
  proposal_approved: {
    tells: 'A proposal was signed off by everybody who has to: exactly this is in force.',
    outcome: 'success',
    severity: 'medium',
    data: data({
      ...PROPOSAL,
      digest: DIGEST,
      valid_until: orNull(EPOCH_SECONDS),
      policy_revision: NAME,
    }),
  },
  proposal_ended: {
    tells: 'A proposal ended without having come into force.',
    outcome: 'refused',
    severity: 'low',
    data: data({
      ...PROPOSAL,
      state: { enum: ['denied', 'rejected', 'expired', 'cancelled'] },
      policy_revision: NAME,
    }),
  },
  proposal_lapsed: {
    tells: 'The time of something that was signed off is over, and nobody has signed it off again.',
    outcome: 'failure',
    severity: 'high',
    data: data({ ...PROPOSAL, digest: DIGEST }),
  },
  change_begun: {
    tells: 'A change that was signed off began, in its window, by the signed word of a person.',
    outcome: 'success',
    severity: 'medium',
    data: data({
      ...PROPOSAL,
      digest: DIGEST,
      window_until: EPOCH_SECONDS,
      role: NAME,
      jti: NAME,
      statement: { type: 'string', maxLength: 32768 },
      statement_digest: DIGEST,
      policy_revision: NAME,
    }),
  },
  change_word_recorded: {
    tells: 'A signed word on a change counts: it is aborted, or an emergency was reviewed.',
    outcome: 'success',
    severity: 'medium',
    data: data({
      ...PROPOSAL,
      word: { enum: ['abort', 'review'] },
      role: NAME,
      jti: NAME,
      statement_digest: DIGEST,
      policy_revision: NAME,
    }),
  },
  change_word_refused: {
    tells: 'Somebody may not run, abort or review a change, or not now; nothing changed.',
    outcome: 'refused',
    severity: 'medium',
    data: data({ ...PROPOSAL, code: NAME, statement_digest: DIGEST, policy_revision: NAME }),
  },
  change_signal_rejected: {
    tells: 'A signal reached the workflow of a change: words come with an answer, and it changed nothing.',
    outcome: 'refused',
    severity: 'high',
    data: data({ ...PROPOSAL, signal: NAME }),
  },
  change_step_begun: {
    tells:
      'A canary step of a change is about to be applied; again with a higher fence, where it was cut short.',
    outcome: 'success',
    severity: 'low',
    data: data({ ...CHANGE_STEP, operation: NAME, fence: COUNT }),
  },
  change_step_applied: {
    tells: 'A canary step of a change was applied.',
    outcome: 'success',
    severity: 'low',
    data: data({ ...CHANGE_STEP, ...CHANGE_RESULT }),
  },
  change_step_failed: {
    tells: 'A canary step of a change failed, was cut short, or may not be applied any more.',
    outcome: 'failure',
    severity: 'high',
    data: data({ ...CHANGE_STEP, ...CHANGE_RESULT, code: NAME }),
  },
  change_checked: {
    tells: 'Smoke tests and SLO queries passed after a canary step.',
    outcome: 'success',
    severity: 'low',
    data: data({ ...CHANGE_STEP, checks: CHANGE_CHECKS }),
  },
  change_check_failed: {
    tells: 'A smoke test or an SLO query failed after a canary step.',
    outcome: 'failure',
    severity: 'high',
    data: data({ ...CHANGE_STEP, checks: CHANGE_CHECKS }),
  },
  change_rollback_begun: {
    tells: 'A change is about to be rolled back; again with a higher fence, where that was cut short.',
    outcome: 'success',
    severity: 'high',
    data: data({ ...PROPOSAL, percent: COUNT, code: NAME, operation: NAME, fence: COUNT }),
  },
  change_rolled_back: {
    tells: 'A change was rolled back, or nothing of it had been applied.',
    outcome: 'success',
    severity: 'medium',
    data: data({ ...PROPOSAL, percent: COUNT, ...CHANGE_RESULT }),
  },
  change_rollback_failed: {
    tells: 'The rollback of a change failed: it is left at this share, and people are paged.',
    outcome: 'failure',
    severity: 'critical',
    data: data({ ...PROPOSAL, percent: COUNT, ...CHANGE_RESULT }),
  },
  change_ended: {
    tells:
      'A change ended: complete, rolled back, left as its failed rollback left it, or not run in its window.',
    outcome: 'success',
    severity: 'medium',
    data: data({
      ...PROPOSAL,
      state: { enum: ['completed', 'rolled_back', 'rollback_failed', 'not_run'] },
      percent: COUNT,
    }),
  },
  change_workflow_lost: {
    tells:
      'Somebody ended the workflow of a change, as `reasons` says; one under way stood at this share, and is rolled back.',
    outcome: 'failure',
    severity: 'critical',
    data: data({ ...PROPOSAL, percent: COUNT, run: orNull(NAME) }),
  },
  change_workflow_reset: {
    tells:
      'Somebody had the workflow of a change run again from an earlier point; no step that was recorded is carried out again.',
    outcome: 'failure',
    severity: 'high',
    data: data({ ...PROPOSAL, percent: COUNT, run: orNull(NAME) }),
  },
  change_on_agenda: {
    tells: 'A change stood on the agenda of a CAB.',
    outcome: 'success',
    severity: 'informational',
    uncalled: true,
    data: data({ ...PROPOSAL, digest: DIGEST, cab: NAME }),
  },
  cab_held: {
    tells: 'The agenda of a CAB was told to its teams.',
    outcome: 'success',
    severity: 'informational',
    uncalled: true,
    data: data({ cab: NAME, changes: COUNT, reviews: COUNT }),
  },
  incident_opened: {
    tells: 'An incident was opened: by an alert, the signed word of a person, or events of this log.',
    outcome: 'success',
    severity: 'high',
    uncalled: true,
    data: data({
      ...INCIDENT,
      cause: TEXT,
      severity: { enum: ['P1', 'P2', 'P3', 'P4'] },
      source: { enum: ['alert', 'hand', 'audit'] },
      statement_digest: orNull(DIGEST),
      policy_revision: NAME,
    }),
  },
  incident_refused: {
    tells: 'Somebody who may not wanted to open an incident.',
    outcome: 'refused',
    severity: 'medium',
    uncalled: true,
    data: data({
      ...INCIDENT,
      source: { enum: ['alert', 'hand', 'audit'] },
      code: NAME,
      policy_revision: NAME,
    }),
  },
  incident_reopened: {
    tells: 'What an incident is about was seen again after it was resolved: its ladder begins anew.',
    outcome: 'success',
    severity: 'high',
    uncalled: true,
    data: data({ ...INCIDENT, reopening: COUNT, count: COUNT }),
  },
  incident_escalated: {
    tells: 'The ladder of an incident told people of a rung: the first, the next, or the last again.',
    outcome: 'success',
    severity: 'medium',
    uncalled: true,
    data: data({ ...INCIDENT, rung: COUNT, roles: NAMES }),
  },
  incident_word_recorded: {
    tells:
      'A signed word on an incident was verified and counts: an acknowledgement, a note, that it is resolved.',
    outcome: 'success',
    severity: 'informational',
    data: data({
      ...INCIDENT,
      step: NAME,
      role: NAME,
      jti: NAME,
      about: orNull(NAME),
      statement_digest: DIGEST,
      policy_revision: NAME,
    }),
  },
  incident_word_refused: {
    tells: 'A word on an incident was refused, and changed nothing.',
    outcome: 'refused',
    severity: 'medium',
    data: data({ ...INCIDENT, code: NAME, statement_digest: DIGEST, policy_revision: NAME }),
  },
  incident_workflow_lost: {
    tells:
      'The workflow of an incident that nobody had reviewed is gone (`reasons`): its ladder calls nobody any more.',
    outcome: 'failure',
    severity: 'high',
    uncalled: true,
    data: data(INCIDENT),
  },
  incident_signal_rejected: {
    tells:
      'A signal that is no sealed report of ours reached the workflow of an incident, and changed nothing.',
    outcome: 'refused',
    severity: 'high',
    data: data({ ...INCIDENT, signal: NAME }),
  },
  incident_closed: {
    tells: 'An incident was reviewed, and none of its follow-ups is open.',
    outcome: 'success',
    severity: 'low',
    data: data({
      ...INCIDENT,
      count: COUNT,
      acknowledged_after_seconds: orNull(COUNT),
      resolved_after_seconds: COUNT,
      follow_ups: COUNT,
    }),
  },
  consultation_begun: {
    tells:
      'Work began that people do: the teams that are Responsible and Accountable were told, and those that are Consulted were asked until a moment.',
    outcome: 'success',
    severity: 'informational',
    uncalled: true,
    data: data({
      ...CONSULTATION,
      activities: NAMES,
      responsible: NAMES,
      accountable: NAMES,
      consulted: NAMES,
      answer_until: EPOCH_SECONDS,
      policy_revision: NAME,
    }),
  },
  consultation_answered: {
    tells:
      'A team that was asked answered by the signed word of one of its people; it advises, and decides nothing.',
    outcome: 'success',
    severity: 'informational',
    data: data({
      ...CONSULTATION,
      team: NAME,
      verdict: { enum: ['approve', 'reject'] },
      role: NAME,
      jti: NAME,
      statement_digest: DIGEST,
      policy_revision: NAME,
    }),
  },
  consultation_refused: {
    tells: 'A word that should answer for a team that was asked was refused, and changed nothing.',
    outcome: 'refused',
    severity: 'low',
    data: data({ ...CONSULTATION, code: NAME, statement_digest: DIGEST, policy_revision: NAME }),
  },
  consultation_signal_rejected: {
    tells: 'A signal reached a consultation: answers are signed words, and it changed nothing.',
    outcome: 'refused',
    severity: 'high',
    data: data({ ...CONSULTATION, signal: NAME }),
  },
  consultation_unanswered: {
    tells: 'The time of teams that were asked passed without their answer.',
    outcome: 'failure',
    severity: 'low',
    uncalled: true,
    data: data({ ...CONSULTATION, teams: NAMES, answer_until: EPOCH_SECONDS }),
  },
  identity_token_issued: {
    tells: 'An agent of a platform was given a token that names it as one of ours.',
    outcome: 'success',
    severity: 'informational',
    data: data({
      jti: NAME,
      jkt: NAME,
      exp: EPOCH_SECONDS,
      platform: NAME,
      platform_subject: orNull(NAME),
      platform_token_digest: DIGEST,
    }),
  },
  person_registered: {
    tells: 'A person proved who they are and was given a certificate.',
    outcome: 'success',
    severity: 'informational',
    data: data({ certificate: NAME, not_after: NAME, id_token_digest: DIGEST }),
  },
  person_registration_refused: {
    tells: 'A person was given no certificate.',
    outcome: 'refused',
    severity: 'medium',
    data: data({ id_token_digest: DIGEST }),
  },
  policy_loaded: {
    tells: 'A policy bundle was verified and decides from now on.',
    outcome: 'success',
    severity: 'low',
    uncalled: true,
    data: data({ revision: NAME, previous: orNull(NAME) }),
  },
  policy_refused: {
    tells: 'A policy bundle was refused; the one before still decides.',
    outcome: 'refused',
    severity: 'high',
    uncalled: true,
    data: data({ stays: orNull(NAME), detail: TEXT }),
  },
  personal_data_erased: {
    tells: 'The key of a person was erased: what the log knew of them can be read by nobody any more.',
    outcome: 'success',
    severity: 'medium',
    uncalled: true,
    data: data({ handle: DIGEST }),
  },
  configuration_loaded: {
    tells: 'A process began to work with this configuration: another digest, another configuration.',
    outcome: 'success',
    severity: 'low',
    uncalled: true,
    data: data({ process: NAME, digest: DIGEST }),
  },
  signing_keys_loaded: {
    tells: 'A worker signs mandates with this key from now on; the others only verify.',
    outcome: 'success',
    severity: 'medium',
    uncalled: true,
    data: data({ active: NAME, verifying: NAMES }),
  },
  retention_applied: {
    tells:
      'What its store keeps no longer is about to be removed: recorded before it is. Never anything of this log.',
    outcome: 'success',
    severity: 'informational',
    uncalled: true,
    data: data({
      stores: {
        type: 'array',
        maxItems: 16,
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['kind', 'place', 'days', 'before', 'removed', 'bytes'],
          properties: {
            kind: { enum: ['access_log'] },
            place: NAME,
            days: COUNT,
            before: EPOCH_SECONDS,
            removed: NAMES,
            bytes: COUNT,
          },
        },
      },
    }),
  },
  poa_redeemed: {
    tells: 'The broker let an action through with a mandate, which is used up by it.',
    outcome: 'success',
    severity: 'informational',
    data: data({ jti: NAME, ...USE }, { ...PARAMS, ...AWAITED, findings: FINDINGS }),
  },
  poa_redemption_outcome: {
    tells: 'What the system behind the broker answered.',
    outcome: 'success',
    severity: 'informational',
    data: data(
      {
        jti: orNull(NAME),
        outcome: { enum: ['succeeded', 'failed', 'unknown'] },
        status: orNull(COUNT),
        code: orNull(NAME),
        duration_ms: COUNT,
        response_bytes: COUNT,
        response_digest: orNull(DIGEST),
      },
      { findings: FINDINGS },
    ),
  },
  poa_redemption_outcome_missing: {
    tells:
      'A broker was to make a call, and did not record in time what came of it: nobody knows what the system did, people must look.',
    outcome: 'failure',
    severity: 'high',
    data: data({ jti: orNull(NAME), connector: NAME, route: TEXT, ...AWAITED }),
  },
  poa_redemption_refused: {
    tells: 'The broker refused an action.',
    outcome: 'refused',
    severity: 'medium',
    data: REFUSED_USE,
  },
  poa_single_use_replay_blocked: {
    tells: 'A mandate was shown again after its use.',
    outcome: 'refused',
    severity: 'high',
    data: REFUSED_USE,
  },
  poa_reversal_due: {
    tells:
      'A system reported a failure after it had committed: the broker owes the reversal that was approved.',
    outcome: 'failure',
    severity: 'medium',
    data: data({ ...REVERSED, connector: NAME, status: COUNT }),
  },
  poa_reversal_redeemed: {
    tells:
      'The broker uses a reversal mandate; it sends the same again only where the system did nothing, or honours the Idempotency-Key.',
    outcome: 'success',
    severity: 'low',
    uncalled: true,
    data: data({ ...REVERSED, ...USE }),
  },
  poa_reversed: {
    tells: 'The system took back what it had committed.',
    outcome: 'success',
    severity: 'low',
    uncalled: true,
    data: data({ ...REVERSED, connector: NAME, status: COUNT }),
  },
  poa_reversal_failed: {
    tells:
      'What was committed was not taken back, or nobody knows whether it was committed: people must look.',
    outcome: 'failure',
    severity: 'high',
    uncalled: true,
    data: data({ ...REVERSED, connector: NAME, status: orNull(COUNT), code: NAME }),
  },
  poa_given_back: {
    tells: 'A mandate that was taken for a use is free again.',
    outcome: 'failure',
    severity: 'low',
    data: data({ jti: NAME, code: NAME }),
  },
  poa_unmandated_low_risk: {
    tells: 'A low-risk action went through without a mandate.',
    outcome: 'success',
    severity: 'low',
    data: data(USE, { ...AWAITED, findings: FINDINGS }),
  },
  guardrail_blocked: {
    tells: 'A guardrail stopped an action or an answer.',
    outcome: 'refused',
    severity: 'high',
    data: REFUSED_USE,
  },
  security_event: {
    tells: 'Something happened that Security must look at within the response time of its priority.',
    outcome: 'refused',
    severity: 'critical',
    data: data({
      trigger: { enum: ['guardrail_confirmed_injection'] },
      priority: { enum: ['P1', 'P2', 'P3', 'P4'] },
      direction: { enum: ['call', 'answer'] },
      connector: orNull(NAME),
      route: orNull(TEXT),
    }),
  },
} as const satisfies Record<string, EventKind>;

export type AuditEventType = keyof typeof AUDIT_EVENTS;

export const AUDIT_EVENT_TYPES = Object.keys(AUDIT_EVENTS) as readonly AuditEventType[];

/** A JSON Schema (2020-12) of what every leaf of the log has around its type's `data`. */
export const LEAF_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: [
    ...['v', 'id', 'type', 'time', 'request_id', 'actor', 'subject', 'action', 'tier', 'outcome', 'reasons'],
    ...['trace_id', 'commitments', 'data'],
  ],
  properties: {
    v: { const: 1 },
    id: { type: 'string', minLength: 1, maxLength: 2048 },
    type: { enum: AUDIT_EVENT_TYPES },
    time: { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' },
    request_id: orNull(NAME),
    actor: orNull(SPIFFE_ID),
    subject: orNull(SPIFFE_ID),
    action: orNull(NAME),
    tier: { enum: ['low', 'medium', 'high', 'critical', null] },
    outcome: { enum: ['success', 'refused', 'failure'] },
    reasons: NAMES,
    trace_id: orNull({ type: 'string', pattern: '^[0-9a-f]{32}$' }),
    commitments: {
      type: 'object',
      propertyNames: { type: 'string', pattern: '^/' },
      additionalProperties: DIGEST,
    },
    data: { type: 'object' },
  },
} as const;

export interface AuditEvent {
  /** Derived from the workflow and the fact, so that a retried write changes nothing. */
  readonly id: string;
  readonly type: AuditEventType;
  readonly time: Date;
  readonly requestId: string | null;
  /** Who did it: a SPIFFE ID, or null where nobody could be authenticated. */
  readonly actor: string | null;
  /** The agent that the mandate is for. */
  readonly subject: string | null;
  readonly action: string | null;
  readonly tier: Tier | null;
  readonly reasons: readonly string[];
  /** The trace of the call that led to it (W3C Trace Context §3.2.2.3); absent where no call did. */
  readonly traceId?: string;
  /**
   * What of it is personal, by its place in the leaf (RFC 6901), with whom it is about: kept apart, and erased when that
   * person, or the first of several, asks (GDPR Art. 17). Only told when an event is written.
   */
  readonly personal?: Readonly<Record<string, string | readonly string[]>>;
  /** What else this type of event tells, as its schema in AUDIT_EVENTS says. */
  readonly data: JsonObject;
}

/** An event as it was stored: `seq` is its place in the log. */
export interface StoredAuditEvent extends AuditEvent {
  readonly seq: number;
}
