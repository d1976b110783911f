import { ERROR_CODES } from '../../domain/error';
import { MOST_MEMBERS } from './issuance.dto';
import { STOP_SCOPES } from '../../domain/stop';
import { TIERS } from '../../domain/policy';
import { CHANGE_STEPS } from '../../domain/change';
import { CONSULTED_FLOWS } from '../../domain/consultation';
import { SEVERITIES } from '../../domain/incident';
import { PROPOSAL_KINDS, PROPOSAL_STATES } from '../../domain/proposal';
import { SIGNED_REQUEST_MEDIA_TYPE } from '../../domain/signed-request';

type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: 'string' };
const texts: Schema = { type: 'array', items: text };
const time: Schema = { type: 'string', format: 'date-time' };
const spiffeIds: Schema = { type: 'array', items: { type: 'string', format: 'uri', pattern: '^spiffe://' } };
const object = (properties: Record<string, Schema>, required: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  ...(required.length > 0 && { required }),
});
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: Schema) => ({ content: { 'application/json': { schema } } });
const answer = (description: string, schema: Schema) => ({ description, ...json(schema) });
const problem = {
  description: 'RFC 9457 problem',
  content: { 'application/problem+json': { schema: ref('Problem') } },
};
const signed = {
  [SIGNED_REQUEST_MEDIA_TYPE]: {
    schema: { ...text, description: 'compact JWS, typ poa-request+jwt; the body is its claim `body`' },
  },
};
const signedOr = (schema: Schema) => ({ required: true, content: { ...json(schema).content, ...signed } });
const signedBody = { required: true, content: signed };
const body = (schema: Schema) => ({ required: true, ...json(schema) });
const form = { required: true, content: { 'application/x-www-form-urlencoded': { schema: ref('Token') } } };
const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { ...text, pattern: '^[A-Za-z0-9_-]{27,64}$' },
};

const proposalParameter = { ...idParameter, schema: { ...text, maxLength: 128 } };
const signOffStatement = {
  ...text,
  description:
    'compact JWS, typ atb-sign-off+jwt, by the key of an X.509-SVID: on, dig, step, verdict, role, reason, iat, jti',
};

const SCHEMAS = {
  Change: object(
    {
      change_id: text,
      state: {
        enum: [
          ...[
            'starting',
            'running',
            'rolling_back',
            'refused',
            'completed',
            'rolled_back',
            'rollback_failed',
          ],
        ],
      },
      percent: { type: 'integer' },
      started_at: time,
      steps: { type: 'array', items: { type: 'object' } },
      review_until: { anyOf: [time, { type: 'null' }] },
      reasons: texts,
    },
    ['change_id', 'state', 'percent', 'started_at', 'steps', 'reasons'],
  ),
  StandingStop: object({
    scope: { enum: STOP_SCOPES },
    value: text,
    stopped_at: time,
    lifts: { type: 'array', items: object({ by: text, at: time }) },
  }),
  Stop: object(
    {
      state: { enum: ['stopped', 'waiting', 'lifted'] },
      scope: { enum: STOP_SCOPES },
      value: text,
    },
    ['state', 'scope', 'value'],
  ),
  Proposing: object(
    {
      kind: { enum: PROPOSAL_KINDS },
      name: { ...text, pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' },
      content: { type: 'object', description: 'exactly what is signed off' },
      statement: signOffStatement,
    },
    ['kind', 'name', 'content', 'statement'],
  ),
  Proposal: object({
    proposal_id: text,
    kind: { enum: PROPOSAL_KINDS },
    name: text,
    state: { enum: PROPOSAL_STATES },
    digest: { ...text, description: 'base64url SHA-256 over the RFC 8785 form of {kind, name, content}' },
    content: { type: 'object' },
    author: text,
    proposed_at: time,
    words: {
      type: 'array',
      items: object({
        step: text,
        verdict: text,
        by: text,
        role: text,
        reason: text,
        received_at: time,
        jti: text,
      }),
    },
    outstanding: { type: 'array', items: object({ name: text, title: text, roles: texts }) },
    waiting_on: texts,
    ends_at: time,
    consultation: ref('Consultation'),
    policy_revision: text,
    reasons: texts,
  }),
  Consultation: object({
    consultation_id: text,
    flow: { enum: CONSULTED_FLOWS },
    about: { ...text, description: 'the id of the request, the proposal or the incident' },
    kind: { ...text, description: 'the tier of a request, the kind of a proposal or an incident' },
    title: text,
    state: { enum: ['asking', 'over'] },
    responsible: texts,
    accountable: texts,
    consulted: { ...texts, description: 'the teams that are asked (operating model §1)' },
    asked_at: time,
    asked_at_seconds: { type: 'integer', description: 'what answers are signed over' },
    answer_until: time,
    answers: {
      type: 'array',
      items: object({
        team: text,
        verdict: { enum: ['approve', 'reject'] },
        ...{ by: text, role: text, text, jti: text },
        received_at: time,
      }),
    },
    unanswered: { ...texts, description: 'the teams whose time passed' },
    policy_revision: text,
  }),
  Incident: object({
    incident_id: text,
    kind: text,
    title: text,
    cause: text,
    severity: { enum: [...SEVERITIES, null] },
    state: { enum: ['open', 'acknowledged', 'resolved', 'closed', 'refused'] },
    count: { type: 'integer', description: 'how often it was reported' },
    rung: { type: 'integer', description: 'the last rung of its ladder that was told' },
    told: texts,
    climbed: { type: 'array', items: object({ roles: texts, at: time }) },
    opened_at: time,
    opened_at_seconds: { type: 'integer', description: 'what words are signed over' },
    opened_by: text,
    acknowledged_at: time,
    resolved_at: time,
    reopened_at: {
      type: 'array',
      items: time,
      description: 'when it was seen again after it was resolved, and people were called anew',
    },
    words: {
      type: 'array',
      items: object({
        ...{ step: text, by: text, role: text, text, jti: text, about: text },
        received_at: time,
      }),
    },
    open_follow_ups: texts,
    consultation: ref('Consultation'),
    policy_revision: text,
    reasons: texts,
  }),
  Issuance: {
    ...object(
      {
        act: {
          ...text,
          pattern: '^[a-z0-9_]+(\\.[a-z0-9_]+)+$',
          maxLength: 128,
          description: "the action's name in the catalogue",
        },
        con: object({
          params: { type: 'object', maxProperties: MOST_MEMBERS },
          limits: { type: 'object', maxProperties: MOST_MEMBERS, description: "narrows policy's ceilings" },
        }),
        leg: object({
          jurisdiction: { ...text, pattern: '^[A-Z]{2}$' },
          accountable_party: object({ type: text, id: text }, ['type', 'id']),
          basis: { enum: ['LI', 'CONTRACT', 'CONSENT', 'LEGAL'] },
          ref: text,
          description: text,
          data_subject: text,
          purpose: text,
        }),
        justification: { ...text, maxLength: 2000 },
        ticket: text,
        requires_dual_control: { type: 'boolean' },
        approvers: { ...spiffeIds, minItems: 2, maxItems: 10, uniqueItems: true },
        ttl_seconds: { type: 'integer', minimum: 1 },
        reversal: {
          type: 'boolean',
          description:
            'with a reversal mandate, which the broker alone redeems if the system fails after it has committed',
        },
      },
      ['act'],
    ),
    additionalProperties: false,
  },
  Mandate: object({
    request_id: text,
    state: { const: 'issued' },
    tier: { enum: TIERS },
    mandate: text,
    jti: text,
    expires_at: time,
  }),
  Requirement: object({
    approvals: { type: 'integer' },
    roles: texts,
    dual_control: { type: 'boolean' },
    nominated: spiffeIds,
    ticket: { type: 'boolean' },
    release_roles: texts,
    attest: texts,
    signed_request: { type: 'boolean', description: 'the agent must sign the request itself' },
    reason: { type: 'boolean', description: 'whoever approves or releases must say why' },
  }),
  Status: object({
    request_id: text,
    state: {
      enum: ['pending', 'approved', 'issued', 'denied', 'rejected', 'withdrawn', 'expired', 'cancelled'],
    },
    tier: { enum: TIERS },
    requirement: ref('Requirement'),
    tier_reasons: { ...texts, description: "why the tier is higher than the catalogue's" },
    to_approve: { type: 'object', description: 'what a verdict signs the RFC 8785 SHA-256 digest of' },
    verdicts: { type: 'array', items: { type: 'object' } },
    eligible_approvers: spiffeIds,
    expires_at: time,
    approved_until: time,
    poll_interval_seconds: { type: 'integer' },
    agent_recent: {
      type: 'array',
      description: 'to those who decide: what came of the last ten requests of this agent',
      items: object({
        request_id: text,
        act: text,
        tier: { enum: [...TIERS, null] },
        state: text,
        requested_at: time,
      }),
    },
  }),
  Plan: object({
    effect: { enum: ['issue', 'require', 'deny'] },
    tier: { enum: [...TIERS, null] },
    requirement: ref('Requirement'),
    limits: { type: 'object' },
    ttl_seconds: { type: 'integer' },
    eligible_approvers: spiffeIds,
    velocity: {
      type: 'array',
      items: object({
        rule: text,
        most: { type: 'integer' },
        window_seconds: { type: 'integer' },
        taken: { type: 'integer' },
        resets_at: time,
      }),
      description: 'the limits that the mandate would count towards, as they stand now',
    },
    velocity_exceeded_until: { ...time, type: ['string', 'null'] },
    reasons: texts,
    errors: {
      type: 'array',
      items: object({ pointer: text, code: { enum: ERROR_CODES }, detail: text }),
      description: 'what is wrong with the request itself, with RFC 6901 pointers into it',
    },
    tier_raised: { type: 'array', items: object({ to: { enum: TIERS }, reason: text, detail: text }) },
    rules: { ...texts, description: 'the rules that fired and the data that they read' },
    informed: { ...texts, description: 'teams that must be told (operating model §1)' },
    consulted: texts,
    contacts: { type: 'object', description: 'whom to call: channel and email of each team' },
    policy_revision: text,
  }),
  Verdict: {
    ...object({ verdict: { ...text, description: 'compact JWS, typ poa-verdict+jwt' } }, ['verdict']),
    additionalProperties: false,
  },
  Review: object({
    request_id: text,
    act: text,
    agent: text,
    tier: { enum: TIERS },
    people: { type: 'array', items: object({ id: text, reason: text }) },
    role: text,
    broken_at: time,
    review_until: time,
    digest: { ...text, description: 'what whoever closes it signs that they saw' },
    may_close: { type: 'boolean' },
    reasons: { ...texts, description: 'why the caller may not close it' },
  }),
  TokenExchange: object({ grant_type: text, subject_token: text, subject_token_type: text }, [
    'grant_type',
    'subject_token',
    'subject_token_type',
  ]),
  Token: object({ token: text }, ['token']),
  Problem: object(
    {
      type: { ...text, format: 'uri' },
      title: text,
      status: { type: 'integer' },
      code: { enum: ERROR_CODES },
      detail: text,
      reasons: texts,
      errors: { type: 'array', items: object({ pointer: text, code: { enum: ERROR_CODES }, detail: text }) },
      request_id: text,
    },
    ['type', 'title', 'status', 'code', 'detail'],
  ),
};

/** The OpenAPI 3.1 description of AgentAuth. A test holds it to the routes that there are. */
export function openApiDocument(publicUrl: string): Record<string, unknown> {
  const onRequest = (summary: string, schema: Schema, more: Record<string, unknown> = {}) => ({
    post: {
      summary,
      parameters: [idParameter],
      ...more,
      responses: { 200: answer('done', schema), default: problem },
    },
  });
  const open = (summary: string) => ({
    get: { summary, security: [], responses: { 200: answer('the document', { type: 'object' }) } },
  });
  return {
    openapi: '3.1.0',
    info: {
      title: 'AgentAuth',
      version: '1',
      description:
        'Issues PoA mandates. Every call but the documents needs an X.509-SVID, or a token and a DPoP proof.',
    },
    servers: [{ url: publicUrl }],
    security: [{ svid: [] }, { dpop: [] }],
    paths: {
      '/issue': {
        post: {
          summary: 'Ask for a mandate',
          parameters: [{ name: 'Idempotency-Key', in: 'header', schema: text }],
          requestBody: signedOr(ref('Issuance')),
          responses: {
            201: answer('nothing was required: the mandate', ref('Mandate')),
            202: answer('people are asked; come back to Location', ref('Status')),
            default: problem,
          },
        },
      },
      '/plan': {
        post: {
          summary: 'What would it take?',
          requestBody: body(ref('Issuance')),
          responses: { 200: answer('the forecast', ref('Plan')), default: problem },
        },
      },
      '/requests/{id}': {
        get: {
          summary: 'Where the request stands; wait for a change up to 30 seconds',
          parameters: [
            idParameter,
            { name: 'wait', in: 'query', schema: { type: 'integer', minimum: 0, maximum: 30 } },
          ],
          responses: { 200: answer('the status', ref('Status')), default: problem },
        },
      },
      '/requests/{id}/verdicts': onRequest('Submit a signed verdict', ref('Status'), {
        requestBody: body(ref('Verdict')),
      }),
      '/requests/{id}/collect': onRequest('Mint and take the mandate', ref('Mandate'), {
        requestBody: { required: false, content: signed },
      }),
      '/requests/{id}/withdraw': onRequest('Give up', ref('Status')),
      '/approvals': {
        get: {
          summary: 'What waits for me',
          responses: {
            200: answer('the requests', object({ approvals: { type: 'array', items: ref('Status') } })),
            default: problem,
          },
        },
      },
      '/proposals': {
        post: {
          summary:
            'Propose what others have to sign off: a connector, its retirement, a policy bundle, a change',
          requestBody: body(ref('Proposing')),
          responses: { 201: answer('it waits for its sign-offs', ref('Proposal')), default: problem },
        },
        get: {
          summary: 'All proposals, the newest first',
          responses: {
            200: answer('the proposals', object({ proposals: { type: 'array', items: ref('Proposal') } })),
            default: problem,
          },
        },
      },
      '/proposals/{id}': {
        get: {
          summary: 'One proposal, with the words on it',
          parameters: [proposalParameter],
          responses: { 200: answer('the proposal', ref('Proposal')), default: problem },
        },
      },
      '/proposals/{id}/sign-offs': {
        post: {
          summary: 'A signed word on a proposal',
          parameters: [proposalParameter],
          requestBody: body(object({ statement: signOffStatement }, ['statement'])),
          responses: { 200: answer('it counts', ref('Proposal')), default: problem },
        },
      },
      '/changes': {
        get: {
          summary: 'Changes that were run, the newest first',
          responses: {
            200: answer('the changes', object({ changes: { type: 'array', items: ref('Change') } })),
            default: problem,
          },
        },
      },
      '/changes/{id}': {
        get: {
          summary: 'How far a change is, and what came of each step and check',
          parameters: [proposalParameter],
          responses: { 200: answer('the change', ref('Change')), default: problem },
        },
      },
      '/changes/{id}/words': {
        post: {
          summary: 'A signed word: run a change that was signed off, abort it, or review an emergency',
          parameters: [proposalParameter],
          requestBody: body(
            object({ step: { enum: CHANGE_STEPS }, statement: signOffStatement }, ['step', 'statement']),
          ),
          responses: { 200: answer('it counts', ref('Change')), default: problem },
        },
      },
      '/consultations': {
        get: {
          summary: 'What teams are asked, and their time is not over; for their people, and Security',
          responses: {
            200: answer(
              'the consultations',
              object({ consultations: { type: 'array', items: ref('Consultation') } }),
            ),
            default: problem,
          },
        },
      },
      '/consultations/{id}': {
        get: {
          summary: 'One consultation, with the answers',
          parameters: [proposalParameter],
          responses: { 200: answer('the consultation', ref('Consultation')), default: problem },
        },
      },
      '/consultations/{id}/answers': {
        post: {
          summary: 'A signed answer for a team that is asked; it advises, and decides nothing',
          parameters: [proposalParameter],
          requestBody: body(object({ statement: signOffStatement }, ['statement'])),
          responses: { 200: answer('it counts', ref('Consultation')), default: problem },
        },
      },
      '/incidents': {
        post: {
          summary: 'Open an incident by a signed word, or report once more one that is open',
          requestBody: body(
            object({ kind: text, cause: text, severity: { enum: SEVERITIES }, statement: signOffStatement }, [
              'kind',
              'cause',
              'statement',
            ]),
          ),
          responses: { 201: answer('it is open', ref('Incident')), default: problem },
        },
        get: {
          summary: 'The incidents that are not over',
          responses: {
            200: answer('the incidents', object({ incidents: { type: 'array', items: ref('Incident') } })),
            default: problem,
          },
        },
      },
      '/incidents/alerts': {
        post: {
          summary: 'The webhook of Alertmanager, version 4, which comes with an SVID that policy names',
          requestBody: body({ type: 'object' }),
          responses: { 202: answer('taken up', ref('Incident')), default: problem },
        },
      },
      '/incidents/{id}': {
        get: {
          summary: 'One incident, with the words on it',
          parameters: [proposalParameter],
          responses: { 200: answer('the incident', ref('Incident')), default: problem },
        },
      },
      '/incidents/{id}/words': {
        post: {
          summary: 'A signed word: acknowledge, note, resolve, follow_up, follow_up_close, review',
          parameters: [proposalParameter],
          requestBody: body(object({ statement: signOffStatement, about: text }, ['statement'])),
          responses: { 200: answer('it counts', ref('Incident')), default: problem },
        },
      },
      '/reviews': {
        get: {
          summary: 'Broken glasses that the caller is Accountable for, and nobody has reviewed',
          responses: {
            200: answer('the reviews', object({ reviews: { type: 'array', items: ref('Review') } })),
            default: problem,
          },
        },
      },
      '/reviews/{id}': onRequest(
        'Close a review by a signed word: finding (justified, not_justified), reason, digest',
        object({ request_id: text, finding: text, closed_at: time }),
        { requestBody: { required: true, content: signed } },
      ),
      '/revoke': {
        post: {
          summary: 'RFC 7009',
          requestBody: form,
          responses: { 200: answer('revoked', { type: 'object' }), default: problem },
        },
      },
      '/stops': {
        get: {
          summary: 'What is stopped now, and who wants it lifted; for people of the directory',
          responses: {
            200: answer('the stops', object({ stops: { type: 'array', items: ref('StandingStop') } })),
            default: problem,
          },
        },
        post: {
          summary:
            'Stop an agent, a connector, a request or everything: by whom policy lets, over their signature',
          requestBody: signedBody,
          responses: { 200: answer('it is stopped', ref('Stop')), default: problem },
        },
      },
      '/stops/lift': {
        post: {
          summary: 'Lift a stop; that of everything takes two people',
          requestBody: signedBody,
          responses: {
            200: answer('it is lifted, or waits for another person', ref('Stop')),
            default: problem,
          },
        },
      },
      '/introspect': {
        post: {
          summary: 'RFC 7662',
          requestBody: form,
          responses: {
            200: answer('active or not', object({ active: { type: 'boolean' } }, ['active'])),
            default: problem,
          },
        },
      },
      '/token': {
        post: {
          summary: "RFC 8693: a hosting platform's token for one that is bound to a DPoP key",
          security: [],
          parameters: [{ name: 'DPoP', in: 'header', required: true, schema: text }],
          requestBody: {
            required: true,
            content: { 'application/x-www-form-urlencoded': { schema: ref('TokenExchange') } },
          },
          responses: { 200: answer('the token', { type: 'object' }), default: problem },
        },
      },
      '/.well-known/jwks.json': open('Public keys of the mandates (RFC 7517)'),
      '/.well-known/agentauth-configuration': open('Metadata (after RFC 8414)'),
      '/openapi.json': open('This document'),
    },
    components: {
      schemas: SCHEMAS,
      securitySchemes: {
        svid: { type: 'mutualTLS' },
        dpop: {
          type: 'http',
          scheme: 'DPoP',
          description: 'a JWT-SVID, or a token of /token, with a DPoP proof (RFC 9449)',
        },
      },
    },
  };
}
