import type { PoaRequest } from '../domain/mandate-request';
import { ISSUE_PATH } from '../domain/signed-request';
import { admitRequest } from './admission';
import { issueMandate } from './issuance';
import type { ActivityPorts } from './ports';
import type { AtOnce } from './types';

/**
 * The short path in one step. The signing step is the same as for every other mandate and believes as little: it reads
 * the record that admission just wrote, verifies the certificate and asks policy again.
 */
export async function issueAtOnce(ports: ActivityPorts, request: PoaRequest): Promise<AtOnce> {
  const admission = await admitRequest(ports, request);
  if (admission.effect !== 'issue') return { admission, issuance: null };
  const input = { request, statements: [], collector: request.evidence };
  const issuance = await issueMandate(ports, input, { path: ISSUE_PATH, asked: request.asked });
  return { admission, issuance };
}
