import type { IncomingHttpHeaders } from 'node:http';
import { AtbError } from '../../domain/error';
import type { Guardrail, GuardrailFinding, GuardrailSubject } from '../../domain/guardrail';
import { checkFindings, findingsOf } from './checks/guardrails';
import { agentHeaders } from './headers';

/** What can be read as text, and so be looked at. */
const TEXT =
  /^(?:text\/[a-z0-9.+-]+|application\/(?:json|xml|x-ndjson|javascript|yaml|x-www-form-urlencoded|[a-z0-9.-]+\+(?:json|xml)))\s*(?:;|$)/i;
const CHARSET = /charset="?([^";\s]+)/i;
const CHARSETS = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii', 'iso-8859-1', 'latin1']);

/** How much is looked at together, and how much of it is kept back, so that nothing passes in two parts. */
const WINDOW_BYTES = 32 * 1024;
const KEPT_BACK_BYTES = 4 * 1024;
const MOST_FINDINGS = 32;

/**
 * Looks at an answer while it is handed on. Memory is bounded: bytes are given out when what they belong to, up to
 * 4 KiB of text, was looked at. Throws `guardrail_blocked`, `guardrail_unavailable`, `answer_not_inspectable`.
 */
export class AnswerInspection {
  /** What was recorded and did not block, each rule once. */
  readonly findings: GuardrailFinding[] = [];
  private pending = Buffer.alloc(0);
  /** What the agent gets before the body; empty once it was looked at. */
  private head: ReadonlyMap<string, string>;

  /** Throws `answer_not_inspectable` where its headers say that it is no text. */
  constructor(
    headers: IncomingHttpHeaders,
    private readonly guardrails: readonly Guardrail[],
    private readonly handling: GuardrailSubject['handling'],
  ) {
    requireText(headers);
    const { location } = headers;
    const handed = { ...agentHeaders(200, headers), ...(location !== undefined && { location }) };
    this.head = new Map(Object.entries(handed).map(([name, value]) => [name, [value].flat().join(' ')]));
  }

  /** Takes bytes in, and answers those that may go out. */
  async push(chunk: Buffer): Promise<Buffer> {
    this.pending = Buffer.concat([this.pending, chunk]);
    if (this.pending.length < WINDOW_BYTES) return Buffer.alloc(0);
    await this.look();
    const out = this.pending.subarray(0, this.pending.length - KEPT_BACK_BYTES);
    this.pending = this.pending.subarray(this.pending.length - KEPT_BACK_BYTES);
    return out;
  }

  /** The rest. */
  async end(): Promise<Buffer> {
    await this.look();
    return this.pending;
  }

  private async look(): Promise<void> {
    const found = await findingsOf(this.guardrails, {
      path: '',
      query: new Map(),
      headers: this.head,
      body: this.pending.toString('utf8'),
      handling: this.handling,
    });
    this.head = new Map();
    for (const finding of found) {
      const isKnown = this.findings.some(({ rule }) => rule === finding.rule);
      if (!isKnown && this.findings.length < MOST_FINDINGS) this.findings.push(finding);
    }
    checkFindings(found, 'answer');
  }
}

function requireText(headers: IncomingHttpHeaders): void {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = headers;
  const charset = CHARSET.exec(type)?.[1]?.toLowerCase() ?? 'utf-8';
  const isEmpty = headers['content-length'] === '0' || type === '';
  if (encoding === 'identity' && (isEmpty || (TEXT.test(type) && CHARSETS.has(charset)))) return;
  throw new AtbError(
    'answer_not_inspectable',
    'the connector wants answers to be looked at, and this one is no text that could be',
  );
}
