import type { AuditEventType } from './audit-event';

export interface OcsfClass {
  readonly uid: number;
  readonly name: string;
  readonly category: number;
}

const CLASSES = {
  finding: { uid: 2004, name: 'Detection Finding', category: 2 },
  authorize: { uid: 3003, name: 'Authorize Session', category: 3 },
  entity: { uid: 3004, name: 'Entity Management', category: 3 },
  access: { uid: 3005, name: 'User Access Management', category: 3 },
  api: { uid: 6003, name: 'API Activity', category: 6 },
} as const satisfies Record<string, OcsfClass>;

type Mapped = readonly [keyof typeof CLASSES, number];

const CREATE: Mapped = ['api', 1];
const OTHER: Mapped = ['api', 99];
const FOUND: Mapped = ['finding', 1];

/** The class, and the activity in it. A mandate is a privilege that is assigned, and revoked. */
const OCSF: Partial<Record<AuditEventType, Mapped>> = {
  poa_requested: CREATE,
  poa_denied: CREATE,
  poa_verdict_recorded: ['api', 3],
  poa_verdict_refused: FOUND,
  poa_signal_rejected: FOUND,
  poa_workflow_reset: FOUND,
  proposal_signal_rejected: FOUND,
  change_signal_rejected: FOUND,
  incident_signal_rejected: FOUND,
  consultation_signal_rejected: FOUND,
  poa_issued: ['access', 1],
  poa_issued_dual_control: ['access', 1],
  poa_revoked: ['access', 2],
  poa_expired: ['access', 2],
  poa_velocity_exceeded: FOUND,
  poa_single_use_replay_blocked: FOUND,
  poa_redemption_refused: FOUND,
  guardrail_blocked: FOUND,
  identity_token_issued: ['authorize', 1],
  person_registered: ['entity', 1],
  person_registration_refused: FOUND,
  personal_data_erased: ['entity', 4],
  policy_loaded: ['entity', 3],
  policy_refused: FOUND,
  configuration_loaded: ['entity', 3],
  signing_keys_loaded: ['entity', 3],
};

/** Which class of OCSF a type of event is told in, and which activity; what has none of its own is other API activity. */
export function ocsfClassOf(type: AuditEventType): OcsfClass & { readonly activity: number } {
  const [name, activity] = OCSF[type] ?? OTHER;
  return { ...CLASSES[name], activity };
}
