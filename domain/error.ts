import type { JsonObject } from './json';

/**
 * Every way in which ATB refuses or fails, with what follows from it. The code is stable and public: it alone
 * decides the HTTP status (RFC 9110 §15), whether trying again can help, and the command line's exit code.
 */
interface Consequence {
  readonly status: number;
  /** True where the same request may succeed later, unchanged. */
  readonly retry?: true;
}

const CONSEQUENCES = {
  // The request's form.
  action_malformed: { status: 400 },
  approver_is_requester: { status: 400 },
  approver_unknown: { status: 400 },
  approvers_not_distinct: { status: 400 },
  approvers_too_few: { status: 400 },
  body_not_json: { status: 400 },
  body_not_utf8: { status: 400 },
  body_too_deep: { status: 400 },
  body_too_large: { status: 413 },
  duplicate_key: { status: 400 },
  idempotency_key_malformed: { status: 400 },
  idempotency_key_reused: { status: 422 },
  invalid_request: { status: 400 },
  key_forbidden: { status: 400 },
  limits_malformed: { status: 400 },
  lone_surrogate: { status: 400 },
  media_type_unsupported: { status: 415 },
  method_not_allowed: { status: 405 },
  not_found: { status: 404 },
  number_not_exact: { status: 400 },
  self_asserted_approval: { status: 400 },
  ttl_above_cap: { status: 400 },
  ttl_malformed: { status: 400 },
  unknown_field: { status: 400 },
  // The caller's identity.
  agent_mismatch: { status: 403 },
  certificate_expired: { status: 401 },
  certificate_malformed: { status: 401 },
  certificate_missing: { status: 401 },
  certificate_not_yet_valid: { status: 401 },
  spiffe_id_malformed: { status: 401 },
  svid_malformed: { status: 401 },
  trust_domain_unknown: { status: 401 },
  untrusted_svid: { status: 401 },
  // Proofs that come with one request (RFC 9449, JWT-SVID, signed requests).
  dpop_proof_invalid: { status: 401 },
  proof_replayed: { status: 409 },
  signed_request_invalid: { status: 401 },
  signed_request_malformed: { status: 400 },
  signed_request_mismatch: { status: 422 },
  signed_request_required: { status: 403 },
  signed_request_stale: { status: 401 },
  evidence_stale: { status: 401 },
  token_invalid: { status: 401 },
  certification_request_invalid: { status: 400 },
  credentials_ambiguous: { status: 400 },
  identity_unmapped: { status: 403 },
  proxy_not_trusted: { status: 401 },
  // What policy says.
  agent_not_allowed: { status: 403 },
  agent_unknown: { status: 403 },
  limit_unknown: { status: 403 },
  limit_wider: { status: 403 },
  policy_denied: { status: 403 },
  reversal_not_possible: { status: 403 },
  rejected: { status: 403 },
  slow_down: { status: 429, retry: true },
  agent_suspended: { status: 403 },
  // What con.params and the legal ground say.
  accountable_party_is_agent: { status: 403 },
  accountable_party_malformed: { status: 403 },
  accountable_party_unknown: { status: 403 },
  jurisdiction_unknown: { status: 403 },
  leg_claim_unknown: { status: 403 },
  leg_incomplete: { status: 403 },
  leg_malformed: { status: 403 },
  legal_basis_not_accepted: { status: 403 },
  legal_basis_unknown: { status: 403 },
  param_missing: { status: 403 },
  param_mistyped: { status: 403 },
  param_not_allowed: { status: 403 },
  param_out_of_range: { status: 403 },
  param_unknown: { status: 403 },
  ticket_missing: { status: 403 },
  ticket_not_approved: { status: 403 },
  ticket_not_open: { status: 403 },
  ticket_outside_window: { status: 403 },
  too_many_pending: { status: 429, retry: true },
  too_many_requests: { status: 429, retry: true },
  unknown_action: { status: 403 },
  velocity_exceeded: { status: 429, retry: true },
  // Verdicts.
  approval_missing: { status: 409 },
  verdict_already_used: { status: 409 },
  verdict_digest_mismatch: { status: 422 },
  verdict_from_future: { status: 422 },
  verdict_malformed: { status: 400 },
  verdict_not_for_request: { status: 422 },
  verdict_not_independent: { status: 403 },
  verdict_revoked: { status: 403 },
  verdict_suspended: { status: 403 },
  verdict_role_not_held: { status: 403 },
  verdict_role_not_eligible: { status: 403 },
  verdict_not_counted: { status: 403 },
  verdict_reason_missing: { status: 422 },
  verdict_signature_invalid: { status: 422 },
  verdict_stale: { status: 422 },
  verdict_by_unknown_person: { status: 403 },
  verdict_second_from_person: { status: 409 },
  verdict_not_nominated: { status: 403 },
  release_not_due: { status: 409 },
  // Proposals, and the words that sign them off.
  proposal_by_unknown_person: { status: 403 },
  proposal_finished: { status: 409 },
  proposal_malformed: { status: 400 },
  proposal_unknown: { status: 404 },
  sign_off_not_due: { status: 409 },
  sign_off_step_signed: { status: 409 },
  sign_off_step_unknown: { status: 422 },
  // Changes.
  change_finished: { status: 409 },
  change_not_due: { status: 409 },
  change_not_on_agenda: { status: 409 },
  change_not_signed_off: { status: 403 },
  change_operation_unknown: { status: 422 },
  change_outside_window: { status: 409 },
  change_parameter_refused: { status: 422 },
  change_target_busy: { status: 409 },
  change_unknown: { status: 404 },
  change_workflow_lost: { status: 503, retry: true },
  // The review of a broken glass.
  review_closed: { status: 409 },
  review_digest_mismatch: { status: 422 },
  review_not_allowed: { status: 403 },
  review_unknown: { status: 404 },
  // Incidents.
  incident_kind_unknown: { status: 422 },
  incident_malformed: { status: 400 },
  incident_not_due: { status: 409 },
  incident_reporter_unknown: { status: 403 },
  incident_unknown: { status: 404 },
  // Teams that are asked (RACI).
  consultation_of_another_team: { status: 403 },
  consultation_over: { status: 409 },
  consultation_unknown: { status: 404 },
  // A request's state.
  already_issued: { status: 409 },
  personal_data_erased: { status: 410 },
  mandate_lapsed: { status: 410 },
  not_approved: { status: 409 },
  probe_never_issues: { status: 403 },
  request_finished: { status: 409 },
  request_unknown: { status: 404 },
  // A mandate.
  mandate_invalid: { status: 400 },
  // Redeeming a mandate.
  call_malformed: { status: 400 },
  connector_closed: { status: 403 },
  connector_not_signed_off: { status: 403 },
  connector_unknown: { status: 404 },
  credential_unavailable: { status: 503, retry: true },
  egress_not_allowed: { status: 502 },
  agentauth_unavailable: { status: 503, retry: true },
  answer_not_inspectable: { status: 502 },
  guardrail_blocked: { status: 403 },
  guardrail_unavailable: { status: 503, retry: true },
  header_forbidden: { status: 400 },
  keys_unavailable: { status: 503, retry: true },
  mandate_action_mismatch: { status: 403 },
  mandate_bound_to_other_certificate: { status: 403 },
  mandate_missing: { status: 401 },
  mandate_revoked: { status: 403 },
  not_allowed_to_stop: { status: 403 },
  parameter_ambiguous: { status: 400 },
  parameter_malformed: { status: 400 },
  parameter_mismatch: { status: 403 },
  parameter_missing: { status: 403 },
  parameter_not_approved: { status: 403 },
  poa_single_use_replay_blocked: { status: 409 },
  request_timeout: { status: 408 },
  revocation_unavailable: { status: 503, retry: true },
  route_ambiguous: { status: 403 },
  route_unknown: { status: 404 },
  stop_is_final: { status: 409 },
  stopped: { status: 403 },
  target_malformed: { status: 400 },
  tier_raised: { status: 403 },
  upgrade_refused: { status: 400 },
  upstream_failed: { status: 502 },
  upstream_redirect_refused: { status: 502 },
  upstream_response_too_large: { status: 502 },
  upstream_timeout: { status: 504 },
  upstream_unreachable: { status: 502 },
  // What cannot be reached: refused now, and nothing accepted is lost.
  audit_unavailable: { status: 503, retry: true },
  identity_unavailable: { status: 503, retry: true },
  operation_interrupted: { status: 503, retry: true },
  policy_unavailable: { status: 503, retry: true },
  temporal_unavailable: { status: 503, retry: true },
  ticket_system_unavailable: { status: 503, retry: true },
  worker_unavailable: { status: 503, retry: true },
  // The policy that was delivered.
  policy_bundle_refused: { status: 422 },
  policy_not_approved: { status: 403 },
  // The sealed audit log: read from outside, it does not hold what it claims.
  audit_log_diverged: { status: 500 },
  audit_log_malformed: { status: 422 },
  checkpoint_malformed: { status: 422 },
  checkpoint_untrusted: { status: 422 },
  object_lock_missing: { status: 500 },
  evidence_invalid: { status: 422 },
  evidence_unverifiable: { status: 422 },
  // Ours.
  configuration_invalid: { status: 500 },
  evidence_mismatch: { status: 500 },
  internal: { status: 500 },
  payload_refused: { status: 500 },
} as const satisfies Record<string, Consequence>;

export type ErrorCode = keyof typeof CONSEQUENCES;

/** All codes, for documents and tests that must not miss one. */
export const ERROR_CODES = Object.keys(CONSEQUENCES) as ErrorCode[];

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(CONSEQUENCES, text);
}

/** The HTTP status of a code. */
export function statusOf(code: ErrorCode): number {
  return CONSEQUENCES[code].status;
}

/** Whether the same request may succeed later, unchanged. */
export function isRetryable(code: ErrorCode): boolean {
  return 'retry' in CONSEQUENCES[code];
}

const ABOUT_CERTIFICATE: ReadonlySet<ErrorCode> = new Set([
  'certificate_expired',
  'certificate_malformed',
  'certificate_not_yet_valid',
  'identity_unavailable',
  'spiffe_id_malformed',
  'svid_malformed',
  'trust_domain_unknown',
  'untrusted_svid',
]);

/** Whether a caller was refused for the certificate of its connection, which is then of no more use. */
export function isAboutCertificate(code: ErrorCode): boolean {
  return ABOUT_CERTIFICATE.has(code);
}

/** One fault in a request: an RFC 6901 pointer to the place, a code, a sentence. */
export interface Fault {
  readonly pointer: string;
  readonly code: ErrorCode;
  readonly detail: string;
}

/** What a mandate would have to be for, so that the call could be made. */
export interface NeededMandate {
  readonly act: string;
  readonly params: JsonObject;
}

export interface AtbErrorOptions {
  readonly cause?: unknown;
  /** All faults of a request, where there are several (RFC 9457 §3.2 extension `errors`). */
  readonly errors?: readonly Fault[];
  /** Policy's reasons (extension `reasons`). */
  readonly reasons?: readonly string[];
  /** The request that this is about, so that a caller can come back to it. */
  readonly requestId?: string;
  /** For who came without a mandate (extension `needed`). */
  readonly needed?: NeededMandate;
  /** When trying again makes sense, in seconds (RFC 9110 §10.2.3). */
  readonly retryAfterSeconds?: number;
}

/** What went wrong, for two readers: `code` and `message` are safe to show, `cause` is for us. */
export class AtbError extends Error {
  override readonly name = 'AtbError';
  readonly errors: readonly Fault[];
  readonly reasons: readonly string[];
  readonly requestId: string | undefined;
  readonly needed: NeededMandate | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: AtbErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.errors = options.errors ?? [];
    this.reasons = options.reasons ?? [];
    this.requestId = options.requestId;
    this.needed = options.needed;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export function isAtbError(error: unknown): error is AtbError {
  return error instanceof Error && error.name === 'AtbError';
}
