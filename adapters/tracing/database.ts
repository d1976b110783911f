import { spanned, SpanKind } from './span';

/**
 * One statement, from asking for a connection to its answer, as a part of the trace that is under way. `summary` is its
 * name, a constant: neither its text nor its values are told.
 */
export function statement<T>(summary: string, run: () => Promise<T>): Promise<T> {
  return spanned(
    summary,
    SpanKind.CLIENT,
    { 'db.system.name': 'postgresql', 'db.query.summary': summary },
    run,
  );
}
