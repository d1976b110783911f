import { isWritable, routeRequest } from '../../../adapters/connector/route-request';
import type { RouteTable } from '../../../adapters/connector/route-table';
import type { FailureReport, Route } from '../../../domain/connector';
import { AtbError } from '../../../domain/error';
import type { MandateClaims } from '../../../domain/mandate';
import type { ReversalContent } from '../../../domain/reversal';
import { parseCallTarget } from '../call';
import type { Call } from '../call';
import { readBody } from './body';
import { carriedParameters, checkParameters } from './parameters';

/** The call that reverses, as if an agent had made it. */
export interface ReversingCall {
  readonly route: Route;
  /** Below the connector, with its query. */
  readonly path: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

/**
 * A mandate with a reversal is used only where its reversal could be: the system reports failures, we see its answer,
 * and the reversing call can be made here. Throws `reversal_not_possible`.
 */
export function checkReversal({ rev }: MandateClaims, call: Call, table: RouteTable): void {
  if (rev === undefined) return;
  if (call.answeredElsewhere) throw unavailable('the answer goes to a gateway, and nobody tells us of it');
  if (table.connector.failureAfterCommitment === null) {
    throw unavailable('the connector says of no answer that it is a failure after commitment');
  }
  reversingCall(rev, table);
}

/** Made of what was approved alone, and held to the checks of every call. Throws `reversal_not_possible`. */
export function reversingCall({ act, con }: ReversalContent, table: RouteTable): ReversingCall {
  const route = table.routeOf(act);
  if (!isWritable(route)) throw unavailable('the path of the reversing action has a wildcard');
  try {
    const { target: written, headers: named, body } = routeRequest(route, con.params);
    const json = route.body === 'json' ? { 'content-type': 'application/json' } : {};
    const headers = new Map(Object.entries({ ...named, ...json }));
    const target = parseCallTarget(`/c/${table.connector.id}${written}`);
    const { route: found, path } = table.match(route.method, target.path);
    if (found !== route) throw unavailable('another route of the connector fits');
    const read = readBody(route, headers, body);
    const carried = carriedParameters(route, { path, query: target.query, headers, body: read });
    checkParameters(con.params, carried, route);
    return { route, path: written, headers, body };
  } catch (cause) {
    throw unavailable('what was approved makes no call of its route', cause);
  }
}

/** Whether an answer says that the system failed after it had committed. */
export function reportsFailure(
  report: FailureReport,
  {
    statusCode,
    headers,
  }: { readonly statusCode: number; readonly headers: Readonly<Record<string, unknown>> },
): boolean {
  if (statusCode < 400) return false;
  const { statuses, header } = report;
  if (statuses && !statuses.includes(statusCode)) return false;
  return header === undefined || headers[header.name] === header.value;
}

function unavailable(why: string, cause?: unknown): AtbError {
  return new AtbError(
    'reversal_not_possible',
    `a mandate with a reversal cannot be used here: ${why}; ask for one without`,
    { cause },
  );
}
