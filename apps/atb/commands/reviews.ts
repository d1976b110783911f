import type { Command } from 'commander';
import { FINDINGS, reviewPath } from '../../../domain/break-glass-review';
import { visible } from '../../../domain/foreign-text';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';
import type { AgentAuthClient } from '../agentauth-client';
import { EXIT } from '../exit';
import { moment } from '../moment';
import { table } from '../output';
import type { Surroundings } from '../output';
import { Refusal, UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { shortName } from '../words';

interface CloseOptions extends CommonOptions {
  readonly finding?: string;
  readonly reason?: string;
  readonly yes?: boolean;
}

/** `atb reviews`: broken glasses that somebody Accountable has to look at. */
export function registerReviews(program: Command, surroundings: Surroundings): void {
  const reviews = program.command('reviews').description('broken glasses, and their review');
  withCommonOptions(reviews.command('ls'))
    .description('list the open reviews that your team is Accountable for')
    .addHelpText('after', '\nExample:\n  atb reviews ls --as person/dave')
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const { body } = await session.client().get('/reviews');
        session.output.answer(body, inWords(entriesOf(body), session.now));
      });
    });
  withCommonOptions(reviews.command('close'))
    .argument('<request-id>')
    .description('close a review by your signed word')
    .option('--finding <finding>', FINDINGS.join(' or '))
    .option('--reason <text>', 'why; it is signed with your word')
    .option('--yes', 'sign without being asked; it is shown all the same')
    .addHelpText(
      'after',
      "\nExample:\n  atb reviews close KqzVb… --as person/dave --finding justified --reason 'all approvers were ill'",
    )
    .action(async (requestId: string, options: CloseOptions) => {
      process.exitCode = await inSession(surroundings, options, (session) =>
        close(session, requestId, options),
      );
    });
}

async function close(session: Session, requestId: string, options: CloseOptions) {
  const { finding, reason } = options;
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(requestId)) throw new UsageError('that is not the id of a request');
  if (!FINDINGS.some((known) => known === finding))
    throw new UsageError(`--finding is ${FINDINGS.join(' or ')}`);
  if (finding === undefined || reason === undefined || reason.trim() === '')
    throw new UsageError('--reason TEXT says why; it is signed');
  const client = session.client();
  const review = await openReview(client, requestId);
  session.output.note(reviewInWords(review, session.now));
  session.output.note(`\nyou find: ${finding}: ${visible(reason)}`);
  if (options.yes !== true) {
    const reply = await session.surroundings.ask?.('\nSign this with your key? [y/N] ');
    if (!/^y(es)?$/i.test((reply ?? '').trim())) {
      session.output.note('nothing was signed');
      return EXIT.refused;
    }
  }
  const path = reviewPath(requestId);
  const statement = await session.signed(session.svid(), path, {
    finding,
    reason,
    digest: text(review.digest),
  });
  const { body } = await client.postSigned(path, statement);
  session.output.answer(body, 'the review is closed');
  return EXIT.done;
}

async function openReview(client: AgentAuthClient, requestId: string): Promise<JsonObject> {
  const { body } = await client.get('/reviews');
  const review = entriesOf(body).find(({ request_id: id }) => id === requestId);
  if (review) return review;
  const problem = { code: 'review_unknown', status: 404 };
  throw new Refusal(404, problem.code, 'there is no such open review that you may see', problem, undefined);
}

function entriesOf({ reviews }: JsonObject): readonly JsonObject[] {
  return Array.isArray(reviews) ? (reviews as readonly Json[]).filter(isJsonObject) : [];
}

function inWords(reviews: readonly JsonObject[], now: Date): string {
  if (reviews.length === 0) return 'no review is open';
  return table([
    ['UNTIL', 'TIER', 'ACTION', 'AGENT', 'BY', 'YOU MAY CLOSE', 'REQUEST'],
    ...reviews.map((review) => [
      until(review, now),
      text(review.tier),
      text(review.act),
      shortName(text(review.agent)),
      peopleOf(review)
        .map(({ id }) => shortName(text(id)))
        .join(', '),
      review.may_close === true ? 'yes' : `no: ${reasonsOf(review)}`,
      text(review.request_id),
    ]),
  ]);
}

function reviewInWords(review: JsonObject, now: Date): string {
  return [
    `break-glass: ${text(review.tier)} ${text(review.act)} for ${text(review.agent)}`,
    ...peopleOf(review).map(
      ({ id, reason }) => `  ${text(id)} approved as ${text(review.role)}, and said: ${text(reason)}`,
    ),
    `  to be reviewed until ${until(review, now)}; its whole story: atb audit ls --request ${text(review.request_id)}`,
  ].join('\n');
}

function until({ review_until: end }: JsonObject, now: Date): string {
  const at = new Date(text(end));
  return Number.isNaN(at.getTime()) ? '' : `${moment(at, now)}${at < now ? ' (overdue)' : ''}`;
}

function peopleOf({ people }: JsonObject): readonly JsonObject[] {
  return Array.isArray(people) ? (people as readonly Json[]).filter(isJsonObject) : [];
}

function reasonsOf({ reasons }: JsonObject): string {
  return Array.isArray(reasons) ? (reasons as readonly Json[]).map(text).join(', ') : '';
}

/** As a terminal may show it: what people wrote is foreign text. */
function text(value: Json | undefined): string {
  return typeof value === 'string' ? visible(value) : '';
}
