import { visible } from '../../domain/foreign-text';
import type { AgentAuthClient } from './agentauth-client';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { moment } from './moment';
import { Refusal, UsageError } from './refusal';
import { requestPath } from './session';
import type { Session } from './session';
import { list, parseStanding } from './standing';
import type { Standing } from './standing';
import { giveVerdict, showRequest } from './verdict';
import type { VerdictOptions } from './verdict';
import { shortName } from './words';
import type { Word } from './words';

/** What waits for the caller, most urgent first; what a newer AgentAuth orders otherwise is ordered here. */
export async function waitingForMe(client: AgentAuthClient) {
  const { body } = await client.get('/approvals');
  const waiting = list(body.approvals).map(parseStanding);
  const expiry = ({ expiresAt }: Standing) => expiresAt?.getTime() ?? Number.MAX_SAFE_INTEGER;
  return { body, waiting: [...waiting].sort((a, b) => expiry(a) - expiry(b)) };
}

/**
 * Walks through all that waits, one after the other: approve (or release, where that is what is missing), reject, skip,
 * quit. Each is shown in full and signed by itself; there is no way to sign several at once. A refusal of one is told,
 * and the next one follows.
 */
export async function walkQueue(session: Session, options: VerdictOptions): Promise<ExitCode> {
  const { ask } = session.surroundings;
  if (!ask) throw new UsageError('--batch asks at a terminal, and there is none');
  if (options.yes === true || options.reason !== '' || options.attest.length > 0) {
    throw new UsageError('--batch asks for each request by itself: no --yes, --reason or --attest');
  }
  const client = session.client();
  const { waiting } = await waitingForMe(client);
  const tally = { approved: 0, rejected: 0, skipped: 0 };
  for (const [index, { requestId, tier, action, agent, expiresAt }] of waiting.entries()) {
    const until = expiresAt === undefined ? '' : `, until ${moment(expiresAt, session.now)}`;
    session.output.note(
      `\n[${index + 1} of ${waiting.length}] ${visible(tier ?? '')} ${visible(action ?? '')} for ${shortName(agent ?? '')}${until}`,
    );
    const done = await decideOne(session, client, requestId, options);
    if (done === 'quit') break;
    tally[done]++;
  }
  const left = waiting.length - tally.approved - tally.rejected - tally.skipped;
  session.output.answer(
    { ...tally, left },
    waiting.length === 0
      ? 'nothing waits for you'
      : `approved ${tally.approved}, rejected ${tally.rejected}, skipped ${tally.skipped}, left ${left}`,
  );
  return EXIT.done;
}

async function decideOne(
  session: Session,
  client: AgentAuthClient,
  requestId: string,
  options: VerdictOptions,
): Promise<'approved' | 'rejected' | 'skipped' | 'quit'> {
  try {
    const standing = parseStanding((await client.get(requestPath(requestId))).body);
    const yes: Word = awaitsRelease(standing) ? 'release' : 'approve';
    const toSign = showRequest(session, standing, requestId);
    const word = await chosen(session, yes);
    if (word === 'skip' || word === 'quit') return word === 'quit' ? 'quit' : 'skipped';
    const { exit, text } = await giveVerdict(session, word, { standing, toSign }, options);
    if (exit !== EXIT.done) return 'skipped';
    // The one answer on stdout is the tally.
    session.output.note(text);
    return word === 'reject' ? 'rejected' : 'approved';
  } catch (error) {
    // Somebody was quicker, or the verdict does not count: said, and on to the next.
    if (!(error instanceof Refusal) && !(error instanceof UsageError)) throw error;
    session.output.note(`skipped: ${error.message}`);
    return 'skipped';
  }
}

async function chosen(session: Session, yes: Word): Promise<Word | 'skip' | 'quit'> {
  const letter = yes === 'release' ? 'l' : 'a';
  for (;;) {
    const reply = await session.surroundings.ask?.(`\n[${letter}] ${yes}  [r] reject  [s] skip  [q] quit: `);
    switch ((reply ?? '').trim().toLowerCase()) {
      case letter:
      case yes:
        return yes;
      case 'r':
      case 'reject':
        return 'reject';
      case 's':
      case 'skip':
        return 'skip';
      // The end of input too.
      case '':
      case 'q':
      case 'quit':
        return 'quit';
      default:
        session.output.note('one of the letters, please');
    }
  }
}

function awaitsRelease({ outstanding }: Standing): boolean {
  return outstanding.release && outstanding.approvals === 0 && outstanding.attest.length === 0;
}
