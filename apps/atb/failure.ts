import { isAtbError, statusOf } from '../../domain/error';
import type { JsonObject } from '../../domain/json';
import { EXIT, exitCodeOf } from './exit';
import type { ExitCode } from './exit';
import { visible } from '../../domain/foreign-text';
import { Interrupted, Refusal, Unreachable, Unwritten, UsageError } from './refusal';

/** How a command ended that did not do what it was told. */
export interface Failure {
  readonly exitCode: ExitCode;
  /** In the form of a problem (RFC 9457), for `--json`. */
  readonly problem: JsonObject;
  /** For people. */
  readonly lines: readonly string[];
}

/** What an error means to whoever typed the command; undefined where it is a fault of ours. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof Refusal) return refused(error);
  if (error instanceof UsageError) return local('usage', EXIT.usage, error);
  if (error instanceof Unreachable) return local('agentauth_unreachable', EXIT.unavailable, error);
  if (error instanceof Unwritten) return local('output_unwritten', EXIT.unavailable, error);
  if (error instanceof Interrupted) return local('interrupted', EXIT.interrupted, error);
  if (isAtbError(error)) return local(error.code, exitCodeOf(error.code, statusOf(error.code)), error);
  return undefined;
}

function refused(refusal: Refusal): Failure {
  const { code, status, message, reasons, faults, requestId, retryAfterSeconds, problem } = refusal;
  const others = reasons.filter((reason) => reason !== code);
  return {
    exitCode: exitCodeOf(code, status),
    problem,
    lines: [
      `${visible(message)} (${visible(code)})`,
      ...(others.length > 0 ? [`reasons: ${others.map(visible).join(', ')}`] : []),
      ...faults.map(visible),
      ...(requestId === undefined ? [] : [`request: ${visible(requestId)}`]),
      ...(retryAfterSeconds === undefined ? [] : [`try again in ${retryAfterSeconds} s`]),
    ],
  };
}

function local(code: string, exitCode: ExitCode, { message }: Error): Failure {
  return { exitCode, problem: { code, detail: message }, lines: [message] };
}
