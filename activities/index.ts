import { ApplicationFailure } from '@temporalio/common';
import { isAtbError, isRetryable } from '../domain/error';
import { admitRequest } from './admission';
import { closeRequest } from './closing';
import { escalate } from './escalation';
import { introspectMandate } from './introspection';
import { issueAtOnce } from './at-once';
import { confirmCaller, issueMandate } from './issuance';
import type { ActivityPorts } from './ports';
import { revokeMandate } from './revocation';
import { recordRejectedSignal } from './signal-rejection';
import type { Activities } from './types';
import { exchangeToken } from './token-exchange';
import { recordVerdict } from './verdict';

export type { ActivityPorts } from './ports';

/** The activities over their ports. Failures cross to the workflow by their code alone. */
export function createActivities(ports: ActivityPorts): Activities {
  return {
    admitRequest: (request) => step(() => admitRequest(ports, request)),
    issueAtOnce: (request) => step(() => issueAtOnce(ports, request)),
    recordVerdict: (input) => step(() => recordVerdict(ports, input)),
    issueMandate: (input) => step(() => issueMandate(ports, input)),
    closeRequest: (input) => step(() => closeRequest(ports, input)),
    escalate: (input) => step(() => escalate(ports, input)),
    recordRejectedSignal: (input) => step(() => recordRejectedSignal(ports, input)),
    confirmCaller: (input) => step(() => confirmCaller(ports, input)),
    revokeMandate: (input) => step(() => revokeMandate(ports, input)),
    exchangeToken: (input) => step(() => exchangeToken(ports, input)),
    introspectMandate: (input) => step(() => introspectMandate(ports, input)),
  };
}

/** An AtbError becomes a failure whose `type` is its code; anything else is a defect, and worth another try. */
async function step<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw ApplicationFailure.create({
      type: error.code,
      message: error.message,
      nonRetryable: !isRetryable(error.code),
      ...(error.cause instanceof Error && { cause: error.cause }),
    });
  }
}
