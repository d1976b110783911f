import { canonicalJson } from '../../domain/canonical-json';
import { sha256Base64url } from '../../domain/digest';
import { AtbError } from '../../domain/error';
import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';
import type { ToApprove } from '../../domain/mandate-request';
import type { ReversalContent } from '../../domain/reversal';
import type { Standing } from './standing';

/** What an approver is about to sign for, and its digest, computed here. */
export interface Signable {
  readonly content: ToApprove;
  readonly digest: string;
}

const MEMBERS = ['act', 'aud', 'con', 'leg', 'req', 'sub', 'ticket'];

/**
 * Takes what is to be signed from an answer, and trusts nothing about it: its form must be the known one, so that
 * every member is shown; it must be about the request that was asked for; and what stands beside it must not say
 * anything else. The digest is computed here. Throws `verdict_digest_mismatch`, and `verdict_malformed` where there is
 * nothing to sign.
 */
export function signable(standing: Standing, requestId: string): Signable {
  const { toApprove } = standing;
  if (!toApprove) {
    throw new AtbError(
      'verdict_malformed',
      `there is nothing to sign: the request is ${standing.state}, or its content is not shown to you`,
    );
  }
  const content = parseContent(toApprove);
  if (content.req !== requestId || standing.requestId !== requestId) {
    throw contradiction(`you asked about ${requestId}, and it is about another request`);
  }
  const beside: readonly (readonly [string, string | null, string | null | undefined])[] = [
    ['action', content.act, standing.action],
    ['agent', content.sub, standing.agent],
    ['ticket', content.ticket, standing.ticket],
  ];
  for (const [what, signed, shown] of beside) {
    if (shown !== undefined && shown !== signed)
      throw contradiction(`it shows one ${what} and has another signed`);
  }
  const digest = sha256Base64url(canonicalJson(content));
  for (const claimed of [standing.document.dig, standing.document.digest]) {
    if (claimed !== undefined && claimed !== digest) {
      throw contradiction('the digest that it names is not that of what it shows');
    }
  }
  return { content, digest };
}

function parseContent(toApprove: JsonObject): ToApprove {
  const { req, sub, act, con, leg, ticket, aud, reversal } = toApprove;
  const members = Object.keys(toApprove).filter((name) => name !== 'reversal');
  const unknown = members.filter((name) => !MEMBERS.includes(name));
  if (unknown.length > 0 || members.length !== MEMBERS.length) {
    throw contradiction('what is to be signed has not the known form; is this program too old?');
  }
  if (!isJsonObject(leg)) throw contradiction('its legal ground has not the known form');
  if (ticket !== null && typeof ticket !== 'string') throw contradiction('its ticket is no text');
  return {
    req: requiredText(req),
    sub: requiredText(sub),
    act: requiredText(act),
    con: parseConstraints(con),
    leg,
    ticket: ticket ?? null,
    aud: requiredText(aud),
    ...(reversal !== undefined && { reversal: parseReversal(reversal) }),
  };
}

function parseReversal(reversal: Json): ReversalContent {
  const { act, con, ...more } = isJsonObject(reversal) ? reversal : {};
  if (Object.keys(more).length > 0) throw contradiction('its reversal has not the known form');
  return { act: requiredText(act), con: parseConstraints(con) };
}

function parseConstraints(con: Json | undefined): ToApprove['con'] {
  const { params, limits, ...more } = isJsonObject(con) ? con : {};
  if (!isJsonObject(params) || !isJsonObject(limits) || Object.keys(more).length > 0) {
    throw contradiction('its constraints have not the known form');
  }
  return { params, limits };
}

function requiredText(value: Json | undefined): string {
  if (typeof value !== 'string' || value === '') throw contradiction('one of its names is no text');
  return value;
}

function contradiction(why: string): AtbError {
  return new AtbError('verdict_digest_mismatch', `nothing was signed; the server contradicts itself: ${why}`);
}
