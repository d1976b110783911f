import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { CHANGE_KINDS } from '../../../domain/proposal';
import { isChangeKind, parseChange } from '../../../domain/change';
import type { ChangeStep } from '../../../domain/change';
import { isAtbError } from '../../../domain/error';
import { visible } from '../../../domain/foreign-text';
import { isJsonObject } from '../../../domain/json';
import type { JsonObject } from '../../../domain/json';
import { EXIT } from '../exit';
import { table } from '../output';
import type { Surroundings } from '../output';
import { localPolicyData } from '../policy-data';
import {
  proposalInWords,
  proposalOf,
  proposalsOf,
  propose,
  signOff,
  standingInWords,
  wordOn,
} from '../proposal';
import type { ShownProposal, SignOffOptions } from '../proposal';
import type { SigningOptions } from '../signed-word';
import { Refusal, UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { shortName } from '../words';
import { listedJson, withSigningOptions } from './proposals';

interface ProposeOptions extends SigningOptions {
  readonly emergency?: boolean;
}

/** `atb change`: a change of production, from its RFC to its end (operating model §7). */
export function registerChange(program: Command, surroundings: Surroundings): void {
  const change = program
    .command('change')
    .description('change production: propose, sign off, run in canary steps, abort, review');

  withWordOptions(withCommonOptions(change.command('propose')))
    .argument('<name>', 'a short name, 1 to 63 of a-z 0-9 _ -')
    .argument(
      '<file>',
      'the RFC, JSON: description, risk, rollback_plan, window, apply, rollback, canary, checks',
    )
    .option('--emergency', 'it cannot wait for the CAB: on-call says so, and it is reviewed afterwards')
    .description('propose a change, with exactly this content')
    .addHelpText(
      'after',
      "\nExample:\n  atb change propose agentauth-1-4 rfc.json --as person/heidi --reason 'fixes the queue'",
    )
    .action(async (name: string, file: string, options: ProposeOptions) => {
      await inSession(surroundings, options, async (session) => {
        const kind = options.emergency === true ? 'emergency_change' : 'change';
        const shown = await propose(session, { kind, name, content: contentOf(file) }, options);
        session.output.answer(listedJson(shown), standingInWords(shown));
      });
    });

  withCommonOptions(change.command('ls'))
    .description('list changes, the newest first: what is proposed, who has to sign, what runs')
    .addHelpText('after', '\nExample:\n  atb change ls --as person/grace')
    .action(async (options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await proposalsOf(session, CHANGE_KINDS);
        const runs = await runsOf(session);
        session.output.answer(
          { changes: shown.map((one) => ({ ...listedJson(one), run: runs.get(one.id) ?? null })) },
          changesInWords(shown, runs),
        );
      });
    });

  withCommonOptions(change.command('show'))
    .argument('<change-id>')
    .description('show a change: what exactly, who signed, how far it is')
    .addHelpText('after', '\nExample:\n  atb change show change.agentauth-1-4.Zk3V… --as person/grace')
    .action(async (id: string, options: CommonOptions) => {
      await inSession(surroundings, options, async (session) => {
        const shown = await proposalOf(session, requireChange(id));
        const run = await runOf(session, id);
        session.output.answer(
          { ...listedJson(shown), content: shown.content, run },
          [
            proposalInWords(shown),
            ...(run === null || run.state === 'refused' ? mayRunInWords(shown) : []),
            ...(run === null ? [] : ['', runInWords(run)]),
          ].join('\n'),
        );
      });
    });

  withSigningOptions(withCommonOptions(change.command('sign')))
    .argument('<change-id>')
    .description('sign a change off, as Security or as Platform-Ops, after seeing what you sign')
    .addHelpText(
      'after',
      "\nExample:\n  atb change sign change.agentauth-1-4.Zk3V… --as person/dave --reason 'looked at it'",
    )
    .action(async (id: string, options: SignOffOptions) => {
      process.exitCode = await inSession(surroundings, options, (session) =>
        signOff(session, requireChange(id), options),
      );
    });

  word('run', 'carry it out now, in its window, exactly as it was signed off', 'the window is open');
  word('abort', 'roll it back', 'errors rise');
  word('review', 'close the review of an emergency change', 'the cause is known, and has an issue');

  function word(step: ChangeStep, what: string, example: string): void {
    withWordOptions(withCommonOptions(change.command(step)))
      .argument('<change-id>')
      .description(what)
      .addHelpText(
        'after',
        `\nExample:\n  atb change ${step} change.agentauth-1-4.Zk3V… --as person/grace --reason '${example}'`,
      )
      .action(async (id: string, options: SigningOptions) => {
        process.exitCode = await inSession(surroundings, options, async (session) => {
          const statement = await wordOn(session, requireChange(id), options, (_, held) => {
            const roles = localPolicyData().signersOf('change_word', step);
            return { name: step, title: what, roles: roles.length > 0 ? roles : held };
          });
          if (statement === undefined) return EXIT.refused;
          const { body } = await session.client().post(`/changes/${id}/words`, { step, statement });
          session.output.answer(body, runInWords(body));
          return EXIT.done;
        });
      });
  }
}

function withWordOptions(command: Command): Command {
  return command
    .option('--role <role>', 'the role in which you speak; needed where you have several that fit')
    .option('--reason <text>', 'why; it is signed with your word')
    .option('--yes', 'sign without being asked; it is shown all the same');
}

/** Throws `UsageError` for a file that nobody could sign off. */
function contentOf(file: string): JsonObject {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new UsageError(`${file} cannot be read as JSON`, { cause });
  }
  if (!isJsonObject(content)) throw new UsageError(`${file} holds no object`);
  try {
    parseChange({ content });
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(error.message);
  }
  return content;
}

function requireChange(id: string): string {
  if (!isChangeKind(id.split('.')[0] ?? '')) throw new UsageError('that is not the id of a change');
  return id;
}

async function runOf(session: Session, id: string): Promise<JsonObject | null> {
  try {
    return (await session.client().get(`/changes/${id}`)).body;
  } catch (error) {
    if (error instanceof Refusal && error.code === 'change_unknown') return null;
    throw error;
  }
}

async function runsOf(session: Session): Promise<ReadonlyMap<string, JsonObject>> {
  const { changes } = (await session.client().get('/changes')).body;
  const runs = Array.isArray(changes) ? (changes as readonly unknown[]).filter(isJsonObject) : [];
  return new Map(runs.map((run) => [textOf(run.change_id), run]));
}

function changesInWords(changes: readonly ShownProposal[], runs: ReadonlyMap<string, JsonObject>): string {
  if (changes.length === 0) return 'nothing is proposed';
  const rows = changes.map(({ id, state, author, waitingOn }) => {
    const run = runs.get(id);
    return [
      id,
      run === undefined ? state : `${textOf(run.state)} at ${textOf(run.percent)} %`,
      author === null ? '' : visible(shortName(author)),
      run === undefined ? waitingOn.join(', ') : whatARunWaitsFor(run),
    ];
  });
  return table([['CHANGE', 'STATE', 'BY', 'WAITS FOR'], ...rows]);
}

function whatARunWaitsFor(run: JsonObject): string {
  if (run.review_until !== null) return 'its review';
  const what = [run.waits_for, run.behind].map(textOf).filter((text) => text !== '');
  return what.length > 0 ? what.join(', ') : whomItWaitsFor(run);
}

/** How far it is. What programs wrote is escaped: nothing of it may pass for another line. */
function runInWords(run: JsonObject): string {
  const steps = Array.isArray(run.steps) ? (run.steps as readonly unknown[]).filter(isJsonObject) : [];
  const reasons = Array.isArray(run.reasons) ? run.reasons.join(', ') : '';
  return [
    `${textOf(run.change_id)} is ${textOf(run.state)}, at ${textOf(run.percent)} percent`,
    ...(reasons === '' ? [] : [`  because of ${reasons}`]),
    ...steps.map(
      ({ at, what, percent, good, detail }) =>
        `  ${textOf(at)} ${textOf(what)} at ${textOf(percent)}: ${good === true ? 'good' : 'FAILED'}: ${visible(textOf(detail))}`,
    ),
    ...(run.phase === null ? [] : [`  now: ${phaseInWords(run)}`]),
    ...(whomItWaitsFor(run) === '' ? [] : [`  waits for ${whomItWaitsFor(run)}`]),
    ...(run.waits_for === null ? [] : [`  waits: ${textOf(run.waits_for)}`]),
    ...(run.behind === null ? [] : [`  waits behind ${textOf(run.behind)}, which changes the same`]),
  ].join('\n');
}

function phaseInWords({ phase, towards, since, until }: JsonObject): string {
  return [
    textOf(phase).replaceAll('_', ' '),
    ...(towards === null ? [] : [`towards ${textOf(towards)} percent`]),
    `since ${textOf(since)}`,
    ...(until === null ? [] : [`until ${textOf(until)}`]),
  ].join(' ');
}

function whomItWaitsFor({ waiting_on: roles, review_until: due }: JsonObject): string {
  const whom = Array.isArray(roles) ? roles.map(textOf).join(', ') : '';
  return due === null ? whom : `its review, by ${whom}`;
}

/** Of a change that was signed off, and that nobody has run. */
function mayRunInWords({ id, kind, state, content }: ShownProposal): readonly string[] {
  if (state !== 'approved' || !isJsonObject(content.window)) return [];
  const { from, until } = content.window;
  const who = localPolicyData().signersOf('change_word', 'run').join(' or ');
  const cab = kind === 'change' ? ', once it stood on the agenda of a CAB' : '';
  return [
    `  waits for the word of ${who}, from ${visible(textOf(from))} until ${visible(textOf(until))}${cab}: atb change run ${id}`,
  ];
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
