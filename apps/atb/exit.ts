import type { ErrorCode } from '../../domain/error';

/** What the command line's exit codes mean; 64 and 69 are those of BSD's sysexits. */
export const EXIT = {
  done: 0,
  refused: 1,
  timedOut: 2,
  usage: 64,
  unavailable: 69,
  /** 128 + SIGINT, as shells count. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const EXIT_OF_CODE = {
  action_malformed: EXIT.refused,
  approver_is_requester: EXIT.refused,
  approver_unknown: EXIT.refused,
  approvers_not_distinct: EXIT.refused,
  approvers_too_few: EXIT.refused,
  body_not_json: EXIT.refused,
  body_not_utf8: EXIT.refused,
  body_too_deep: EXIT.refused,
  body_too_large: EXIT.refused,
  duplicate_key: EXIT.refused,
  idempotency_key_malformed: EXIT.refused,
  idempotency_key_reused: EXIT.refused,
  invalid_request: EXIT.refused,
  key_forbidden: EXIT.refused,
  limits_malformed: EXIT.refused,
  lone_surrogate: EXIT.refused,
  media_type_unsupported: EXIT.refused,
  method_not_allowed: EXIT.refused,
  not_found: EXIT.refused,
  number_not_exact: EXIT.refused,
  self_asserted_approval: EXIT.refused,
  ttl_above_cap: EXIT.refused,
  ttl_malformed: EXIT.refused,
  unknown_field: EXIT.refused,
  agent_mismatch: EXIT.refused,
  certificate_expired: EXIT.refused,
  certificate_malformed: EXIT.refused,
  certificate_missing: EXIT.refused,
  certificate_not_yet_valid: EXIT.refused,
  spiffe_id_malformed: EXIT.refused,
  svid_malformed: EXIT.refused,
  trust_domain_unknown: EXIT.refused,
  untrusted_svid: EXIT.refused,
  agent_not_allowed: EXIT.refused,
  agent_unknown: EXIT.refused,
  limit_unknown: EXIT.refused,
  limit_wider: EXIT.refused,
  policy_denied: EXIT.refused,
  rejected: EXIT.refused,
  ticket_missing: EXIT.refused,
  ticket_not_open: EXIT.refused,
  too_many_pending: EXIT.refused,
  too_many_requests: EXIT.refused,
  unknown_action: EXIT.refused,
  approval_missing: EXIT.refused,
  verdict_already_used: EXIT.refused,
  verdict_digest_mismatch: EXIT.refused,
  verdict_from_future: EXIT.refused,
  verdict_malformed: EXIT.refused,
  verdict_not_for_request: EXIT.refused,
  verdict_not_independent: EXIT.refused,
  verdict_role_not_held: EXIT.refused,
  verdict_role_not_eligible: EXIT.refused,
  verdict_not_counted: EXIT.refused,
  verdict_signature_invalid: EXIT.refused,
  verdict_stale: EXIT.refused,
  verdict_by_unknown_person: EXIT.refused,
  verdict_second_from_person: EXIT.refused,
  verdict_not_nominated: EXIT.refused,
  release_not_due: EXIT.refused,
  already_issued: EXIT.refused,
  mandate_lapsed: EXIT.refused,
  not_approved: EXIT.refused,
  request_finished: EXIT.refused,
  request_unknown: EXIT.refused,
  mandate_invalid: EXIT.refused,
  audit_unavailable: EXIT.unavailable,
  policy_unavailable: EXIT.unavailable,
  temporal_unavailable: EXIT.unavailable,
  ticket_system_unavailable: EXIT.unavailable,
  worker_unavailable: EXIT.unavailable,
  configuration_invalid: EXIT.unavailable,
  evidence_mismatch: EXIT.unavailable,
  internal: EXIT.unavailable,
  payload_refused: EXIT.unavailable,
} as const satisfies Record<ErrorCode, ExitCode>;

/**
 * The exit code of a refusal: by its code, and, for a code that a newer AgentAuth knows and we do not, by its HTTP
 * status.
 */
export function exitCodeOf(code: string, status: number): ExitCode {
  if (Object.hasOwn(EXIT_OF_CODE, code)) return EXIT_OF_CODE[code as ErrorCode];
  return status >= 500 ? EXIT.unavailable : EXIT.refused;
}
