import type { FastifyInstance } from 'fastify';
import { AtbError } from '../../domain/error';
import { SIGNED_REQUEST_MEDIA_TYPE } from '../../domain/signed-request';
import { parseStrictJson } from '../../domain/strict-json';

export const BODY_LIMIT_BYTES = 64 * 1024;
const MAX_DEPTH = 32;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** A body that is a request as the agent signed it: a compact JWS, not looked into yet. */
export class SignedBody {
  constructor(readonly statement: string) {}
}

/**
 * The kinds of body there are, and nothing else: JSON, read strictly from its bytes (attack 17), the same signed by the
 * agent, and forms for the RFC 7009 and RFC 7662 calls.
 */
export function registerBodyParsers(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT_BYTES },
    (_request, body, done) => {
      try {
        done(null, parseStrictJson(body, { maxDepth: MAX_DEPTH }));
      } catch (error) {
        done(error as Error);
      }
    },
  );
  fastify.addContentTypeParser(
    SIGNED_REQUEST_MEDIA_TYPE,
    { parseAs: 'string', bodyLimit: BODY_LIMIT_BYTES },
    (_request, body, done) => {
      done(null, new SignedBody(body as string));
    },
  );
  fastify.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: BODY_LIMIT_BYTES },
    (_request, body, done) => {
      done(null, new URLSearchParams(body as string));
    },
  );
}

/** The one `token` of a form. Throws `invalid_request`. */
export function tokenOf(form: unknown): string {
  const tokens = form instanceof URLSearchParams ? form.getAll('token') : [];
  const [token] = tokens;
  if (token === undefined || token === '' || tokens.length > 1) {
    throw new AtbError('invalid_request', 'the form must have exactly one token');
  }
  return token;
}

/** A JSON object body. Throws `invalid_request` for anything else, a form or nothing included. */
export function jsonOf(body: unknown): Record<string, unknown> {
  if (
    typeof body !== 'object' ||
    body === null ||
    Array.isArray(body) ||
    body instanceof URLSearchParams ||
    body instanceof SignedBody
  ) {
    throw new AtbError('invalid_request', 'the body must be a JSON object');
  }
  return body as Record<string, unknown>;
}

/** The members of a JSON object body, where it has no others than these. Throws `invalid_request`, `unknown_field`. */
export function membersOf(body: unknown, names: readonly string[]): Record<string, unknown> {
  const members = jsonOf(body);
  const more = Object.keys(members).find((name) => !names.includes(name));
  if (more !== undefined) throw new AtbError('unknown_field', `${more} does not belong here`);
  return members;
}

/** A person's signed word, not looked into yet. Throws `verdict_malformed`. */
export function statementOf(statement: unknown): string {
  if (typeof statement !== 'string' || !COMPACT_JWS.test(statement)) {
    throw new AtbError('verdict_malformed', 'statement must be a compact JWS');
  }
  return statement;
}
