import { Catch, HttpException, Logger } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AtbError, isAtbError, isRetryable, statusOf } from '../../domain/error';
import type { ErrorCode } from '../../domain/error';
import { problemOf } from '../problem-details';
import { accessOf } from './access';

const DEFAULT_RETRY_AFTER_SECONDS = 5;

/** Every error becomes a problem; one that is not ours says nothing of itself outside, and all of it in the log. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly log = new Logger('AgentAuth');

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const reply = http.getResponse<FastifyReply>();
    const request = http.getRequest<FastifyRequest>();
    const error = this.known(thrown, request);
    const access = accessOf(request);
    access.code = error.code;
    if (isRetryable(error.code)) {
      void reply.header('retry-after', error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS);
    }
    if (error.requestId !== undefined) void reply.header('location', `/requests/${error.requestId}`);
    void reply
      .status(statusOf(error.code))
      .header('content-type', 'application/problem+json')
      .send(JSON.stringify(problemOf(error, access.traceId)));
  }

  private known(thrown: unknown, request: FastifyRequest): AtbError {
    if (isAtbError(thrown) && thrown.code !== 'internal') return thrown;
    const code = codeOfFramework(thrown);
    if (code !== undefined) return new AtbError(code, MESSAGES[code]);
    this.log.error(`${request.method} ${request.routeOptions.url ?? 'no route'} failed`, told(thrown));
    if (isAtbError(thrown)) return thrown;
    return new AtbError('internal', 'something went wrong on our side; it was logged');
  }
}

/** An error with all that led to it. */
function told(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const own = thrown.stack ?? thrown.message;
  return thrown.cause === undefined ? own : `${own}\ncaused by ${told(thrown.cause)}`;
}

const MESSAGES = {
  body_not_json: 'the body is not JSON',
  body_too_large: 'the body is larger than 64 KiB',
  invalid_request: 'the request cannot be read',
  media_type_unsupported:
    'the body must be application/json, or a signed request or a form where the call takes one',
  not_found: 'there is no such call',
} as const satisfies Partial<Record<ErrorCode, string>>;

/** What Fastify and Nest themselves refuse, by their codes. */
function codeOfFramework(thrown: unknown): keyof typeof MESSAGES | undefined {
  const { code, statusCode } = (thrown ?? {}) as { code?: unknown; statusCode?: unknown };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'body_too_large';
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return 'media_type_unsupported';
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY') return 'body_not_json';
  const status = thrown instanceof HttpException ? thrown.getStatus() : statusCode;
  if (status === 404) return 'not_found';
  if (status === 413) return 'body_too_large';
  if (status === 415) return 'media_type_unsupported';
  if (typeof status === 'number' && status >= 400 && status < 500) return 'invalid_request';
  return undefined;
}
