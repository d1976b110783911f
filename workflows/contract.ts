import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common/lib/search-attributes';
import type { ChangeAnswer, ChangeStatus } from '../domain/change';
import type { ConsultationAnswer, ConsultationStatus, ConsultedMatter } from '../domain/consultation';
import type { IncidentAnswer, IncidentReport, IncidentStatus } from '../domain/incident';
import type { IdentityEvidence, PoaRequest } from '../domain/mandate-request';
import type { Answer, RequestStatus } from '../domain/request-status';
import type { ProposalStatus, Proposed, SignOffAnswer } from '../domain/proposal';
import type { CarriedOver } from './carried-over';
import type { CarriedIncident } from './carried-incident';

/**
 * What clients and workers agree on. A released name never changes its meaning: recorded histories and other
 * versions of our own processes rely on it.
 */
export const TASK_QUEUE = 'poa';
/** Where changes are carried out: its workers hold no signing key. */
export const OPERATIONS_TASK_QUEUE = 'operations';

export const POA_REQUEST = 'poaRequest';
export const REVOCATION = 'revocation';
export const INTROSPECTION = 'introspection';
export const TOKEN_EXCHANGE = 'tokenExchange';
export const DIGEST = 'digest';
export const STOP_LISTING = 'stopListing';
export const REVIEW_LISTING = 'reviewListing';
export const REVIEW_CLOSING = 'reviewClosing';
export const VELOCITY = 'velocity';
export const RECOLLECTION = 'recollection';
export const READINESS = 'readiness';
export const PROPOSAL = 'proposal';
export const POLICY_ADMISSION = 'policyAdmission';
export const STOP = 'stop';
export const INCIDENT = 'incident';
export const RETENTION = 'retention';
export const CHANGE = 'change';
export const CAB = 'cab';
export const CONSULTATION = 'consultation';

/** The schedule that runs it. */
export const RETENTION_SCHEDULE = 'retention';
export const CAB_SCHEDULE = 'cab';

export function poaRequestWorkflowId(requestId: string): string {
  return `poa-request/${requestId}`;
}

/** A request's id from its workflow's id, or undefined where the workflow is no PoA request. */
export function requestIdOf(workflowId: string): string | undefined {
  return /^poa-request\/(.+)$/.exec(workflowId)?.[1];
}

/** The body of the verdict signal and update: an approver's signed statement, a compact JWS. */
export interface VerdictSubmission {
  readonly verdict: string;
}

export interface PolicyMove {
  readonly revision: string;
}

/** The caller's proof of identity goes with each of these: the worker believes no name. */
export interface CallerSubmission {
  readonly evidence: IdentityEvidence;
}

/** An approver's signed verdict, straight to Temporal. What is not a sealed, valid statement is recorded and ignored. */
export const verdictSignal = defineSignal<[VerdictSubmission]>('verdict');

/** Another policy was loaded: what waits for people, or for its agent, is classified again. */
export const policyMovedSignal = defineSignal<[PolicyMove]>('policyMoved');

export const statusQuery = defineQuery<RequestStatus>('status');

/** Answers as soon as policy has looked at the request: it waits for no human. */
export const decisionUpdate = defineUpdate<RequestStatus>('decision');
export const verdictUpdate = defineUpdate<Answer, [VerdictSubmission]>('submitVerdict');
export const collectUpdate = defineUpdate<Answer, [CallerSubmission]>('collect');
export const withdrawUpdate = defineUpdate<Answer, [CallerSubmission]>('withdraw');

/** What a proposal starts with: what is proposed, and the statement of whoever proposes it. */
export interface ProposalInput {
  readonly id: string;
  readonly proposed: Proposed;
  readonly statement: string;
}

export interface SignOffSubmission {
  readonly statement: string;
}

export function proposalWorkflowId(id: string): string {
  return `proposal/${id}`;
}

/** A proposal's id from its workflow's id, or undefined where the workflow is none. */
export function proposalIdOf(workflowId: string): string | undefined {
  return /^proposal\/(.+)$/.exec(workflowId)?.[1];
}

export type ProposalWorkflow = (input: ProposalInput) => Promise<ProposalStatus>;

export const proposalQuery = defineQuery<ProposalStatus>('proposalStatus');
/** Answers as soon as the proposal was looked at: it waits for nobody's word. */
export const proposedUpdate = defineUpdate<SignOffAnswer>('proposed');
/** Something may have been signed off in its place, or its retirement: it looks. */
export const proposalSupersededSignal = defineSignal('proposalSuperseded');
export const signOffUpdate = defineUpdate<SignOffAnswer, [SignOffSubmission]>('signOff');

/** What an incident starts with; every report of the same kind and cause joins the one that is open. */
export interface IncidentStart {
  readonly id: string;
  readonly report: IncidentReport;
}

/** One more report of an incident. */
export interface IncidentSighting {
  /** What each part of the report is known by, so that it counts once; none where it counts as one. */
  readonly sightings: readonly string[];
  /** How many there were at the least, where whoever reports names only some. */
  readonly atLeast?: number;
}

/** A signed word on an incident; `about` is the follow-up that it closes. */
export interface IncidentWordSubmission {
  readonly statement: string;
  readonly about: string | null;
}

export function incidentWorkflowId(id: string): string {
  return `incident/${id}`;
}

/** An incident's id from its workflow's id, or undefined where the workflow is none. */
export function incidentIdOf(workflowId: string): string | undefined {
  return /^incident\/(.+)$/.exec(workflowId)?.[1];
}

export type IncidentWorkflow = (start: IncidentStart, carried?: CarriedIncident) => Promise<IncidentStatus>;

export const incidentSightedSignal = defineSignal<[IncidentSighting]>('incidentSighted');
/** Something that it had stopped may have been lifted elsewhere: it looks. */
export const incidentLiftedSignal = defineSignal('incidentLifted');
export const incidentQuery = defineQuery<IncidentStatus>('incidentStatus');
/** Answers as soon as it was looked at who reported it. */
export const incidentOpenedUpdate = defineUpdate<IncidentAnswer>('incidentOpened');
export const incidentWordUpdate = defineUpdate<IncidentAnswer, [IncidentWordSubmission]>('incidentWord');

/** What a change starts with: the proposal that was signed off, and the word by which it runs. */
export interface ChangeStart {
  readonly id: string;
  readonly statement: string;
}

export interface ChangeWordSubmission {
  readonly step: 'abort' | 'review';
  readonly statement: string;
}

export function changeWorkflowId(id: string): string {
  return `change/${id}`;
}

/** A change's id from its workflow's id, or undefined where the workflow is none. */
export function changeIdOf(workflowId: string): string | undefined {
  return /^change\/(.+)$/.exec(workflowId)?.[1];
}

/** How a change's workflow is started, by whomever. */
export function changeStart(start: ChangeStart) {
  return {
    workflowId: changeWorkflowId(start.id),
    taskQueue: TASK_QUEUE,
    args: [start] as [ChangeStart],
    staticSummary: start.id,
    typedSearchAttributes: [{ key: ATB_STATE, value: 'starting' }],
  };
}

export type ChangeWorkflow = (start: ChangeStart) => Promise<ChangeStatus>;

export const changeQuery = defineQuery<ChangeStatus>('changeStatus');
/** Answers as soon as it has begun, or was refused. */
export const changeBegunUpdate = defineUpdate<ChangeAnswer>('changeBegun');
export const changeWordUpdate = defineUpdate<ChangeAnswer, [ChangeWordSubmission]>('changeWord');

/** A signed answer for a team that was asked. */
export interface ConsultationSubmission {
  readonly statement: string;
}

export function consultationWorkflowId(id: string): string {
  return `consultation/${id}`;
}

/** A consultation's id from its workflow's id, or undefined where the workflow is none. */
export function consultationIdOf(workflowId: string): string | undefined {
  return /^consultation\/(.+)$/.exec(workflowId)?.[1];
}

export type ConsultationWorkflow = (matter: ConsultedMatter) => Promise<ConsultationStatus>;

export const consultationQuery = defineQuery<ConsultationStatus>('consultationStatus');
export const consultationAnswerUpdate = defineUpdate<ConsultationAnswer, [ConsultationSubmission]>(
  'consultationAnswer',
);

/** Search attributes are stored in plain: no personal data goes here. */
export const ATB_ACTION = defineSearchAttributeKey('AtbAction', 'KEYWORD');
export const ATB_TIER = defineSearchAttributeKey('AtbTier', 'KEYWORD');
export const ATB_STATE = defineSearchAttributeKey('AtbState', 'KEYWORD');
export const ATB_AGENT = defineSearchAttributeKey('AtbAgent', 'KEYWORD');
export const ATB_WAITING_ON = defineSearchAttributeKey('AtbWaitingOn', 'KEYWORD_LIST');
export const ATB_TICKET = defineSearchAttributeKey('AtbTicket', 'KEYWORD');
export const ATB_POLICY_REVISION = defineSearchAttributeKey('AtbPolicyRevision', 'KEYWORD');

export type PoaRequestWorkflow = (request: PoaRequest, carried?: CarriedOver) => Promise<RequestStatus>;
