import { readFile } from 'node:fs/promises';
import { isJsonObject } from '../../domain/json';
import type { OperationOutcome } from '../../domain/ports';
import { exchange } from '../http/outbound';
import type { HttpCheck, PrometheusCheck } from './definitions';

const MOST_BYTES = 1_048_576;

/** A smoke test by one GET: the status must be exactly the one that is expected. */
export async function httpCheck(check: HttpCheck, signal: AbortSignal): Promise<OperationOutcome> {
  try {
    const { status } = await get(new URL(check.url), check, signal);
    return said(status === check.status, `status ${status}, expected ${check.status}`);
  } catch (error) {
    return said(false, `no answer: ${(error as Error).message}`);
  }
}

/** An SLO by one instant query (Prometheus HTTP API): no number, or more than one, is as bad as a wrong one. */
export async function prometheusCheck(
  check: PrometheusCheck,
  signal: AbortSignal,
): Promise<OperationOutcome> {
  try {
    const url = new URL(`${check.url.replace(/\/$/, '')}/api/v1/query`);
    url.searchParams.set('query', check.query);
    const { status, body } = await get(url, check, signal);
    const value = status === 200 ? valueIn(JSON.parse(body)) : undefined;
    if (value === undefined) return said(false, `no number: Prometheus answered with status ${status}`);
    const { at_most: most = Infinity, at_least: least = -Infinity } = check;
    return said(value <= most && value >= least, `${value}, wanted ${boundsOf(check)}`);
  } catch (error) {
    return said(false, `no answer: ${(error as Error).message}`);
  }
}

/** The one number of an answer of the type vector or scalar; undefined where it is another. */
function valueIn(answer: unknown): number | undefined {
  const { status, data } = isJsonObject(answer) ? answer : {};
  const { resultType, result } = status === 'success' && isJsonObject(data) ? data : {};
  if (!Array.isArray(result)) return undefined;
  const [only] = result as readonly unknown[];
  const sample =
    resultType === 'scalar'
      ? (result as readonly unknown[])
      : resultType === 'vector' && result.length === 1 && isJsonObject(only) && Array.isArray(only.value)
        ? (only.value as readonly unknown[])
        : [];
  const [, text] = sample;
  const value = typeof text === 'string' ? Number(text) : Number.NaN;
  return Number.isNaN(value) ? undefined : value;
}

function boundsOf({ at_most: most, at_least: least }: PrometheusCheck): string {
  return [
    ...(most === undefined ? [] : [`at most ${most}`]),
    ...(least === undefined ? [] : [`at least ${least}`]),
  ].join(', ');
}

async function get(
  url: URL,
  { timeout_seconds, ca_file }: { readonly timeout_seconds: number; readonly ca_file?: string },
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly body: string }> {
  const timeoutMs = timeout_seconds * 1000;
  if (url.protocol === 'https:') {
    const ca = ca_file === undefined ? undefined : await readFile(ca_file, 'utf8');
    return exchange(url, { method: 'GET', ca, timeoutMs, maxBytes: MOST_BYTES, signal });
  }
  const answer = await fetch(url, {
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  const body = await answer.text();
  if (body.length > MOST_BYTES) throw new Error(`the answer is longer than ${MOST_BYTES} bytes`);
  return { status: answer.status, body };
}

function said(good: boolean, detail: string): OperationOutcome {
  return { good, detail, outputDigest: null };
}
