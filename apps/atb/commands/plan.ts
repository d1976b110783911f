import type { Command } from 'commander';
import { visible } from '../../../domain/foreign-text';
import { trustDomainOf } from '../identity';
import type { Surroundings } from '../output';
import { row } from '../presentation';
import { requestBody, withRequestOptions } from '../request-body';
import type { RequestOptions } from '../request-body';
import { EXIT } from '../exit';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { parseStanding } from '../standing';
import { demanded, shortName, valueLines } from '../words';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';

/** `atb plan`: what would it take? Starts nothing. */
export function registerPlan(program: Command, surroundings: Surroundings): void {
  withCommonOptions(withRequestOptions(program.command('plan')))
    .argument('[action]', "the action's name in the catalogue")
    .description('ask what a request would take, and start nothing')
    .addHelpText(
      'after',
      `
Exits with 0 where a mandate is possible, and with 1 where policy would refuse.

Examples:
  atb plan sap.payment.execute --as agent/finance-bot --param amount:=1250 --leg-file leg.json
  atb plan --file request.json --as agent/explorer --json`,
    )
    .action(async (action: string | undefined, options: RequestOptions & CommonOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const svid = session.svid();
        const body = await requestBody(action, options, trustDomainOf(svid.spiffeId), surroundings.input);
        const { body: plan } = await session.client(svid).post('/plan', body);
        session.output.answer(plan, planInWords(plan));
        return plan.effect === 'deny' ? EXIT.refused : EXIT.done;
      });
    });
}

const EFFECTS: Readonly<Record<string, string>> = {
  issue: 'possible at once: nothing is required',
  require: 'possible: people have to agree',
  deny: 'not possible: policy refuses',
};

export function planInWords(plan: JsonObject): string {
  const standing = parseStanding(plan);
  const { tier, reasons, eligibleApprovers } = standing;
  const effect = typeof plan.effect === 'string' ? plan.effect : 'unknown';
  const raised = objects(plan.tier_raised).map(({ to, detail }) => `${words(to)}: ${words(detail)}`);
  return [
    EFFECTS[effect] ?? visible(effect),
    ...(tier === undefined ? [] : [row('tier', visible(tier))]),
    ...rows('raised to', raised),
    ...(reasons.length > 0 ? [row('reasons', reasons.map(visible).join(', '))] : []),
    ...rows(
      'missing',
      objects(plan.errors).map(({ pointer, detail }) => `${words(pointer)} ${words(detail)}`),
    ),
    ...(effect === 'deny' ? [] : [row('demanded', demanded(standing))]),
    ...(eligibleApprovers.length > 0 ? [row('who', eligibleApprovers.map(shortName).join(', '))] : []),
    ...rows('call', contacts(plan.contacts)),
    ...rows('consulted', list(plan.consulted)),
    ...rows('informed', list(plan.informed)),
    ...(isJsonObject(plan.limits) ? valueLines(plan.limits).map((line) => row('limit', line)) : []),
    ...rows('velocity', objects(plan.velocity).map(velocityInWords)),
    ...rows('rules', list(plan.rules)),
    ...rows('policy', list([plan.policy_revision ?? null])),
  ].join('\n');
}

function velocityInWords({
  rule,
  most,
  taken,
  window_seconds: seconds,
  resets_at: resetsAt,
}: JsonObject): string {
  const full = typeof taken === 'number' && typeof most === 'number' && taken >= most;
  const standing = `${words(taken)} of ${words(most)} in ${words(seconds)} s (${words(rule)})`;
  return full ? `${standing}: REACHED, room again at ${words(resetsAt)}` : standing;
}

function contacts(value: Json | undefined): string[] {
  return Object.entries(isJsonObject(value) ? value : {}).map(([team, contact]) => {
    const { channel, email } = isJsonObject(contact) ? contact : {};
    return `${visible(team)} ${[channel, email].map(words).join(' / ')}`;
  });
}

/** One row for each, the title beside the first. */
function rows(title: string, lines: readonly string[]): string[] {
  return lines.map((line, index) => row(index === 0 ? title : '', line));
}

function objects(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isJsonObject) : [];
}

function list(value: Json | undefined): string[] {
  return Array.isArray(value) ? (value as readonly Json[]).map(words).filter((line) => line !== '') : [];
}

function words(value: Json | undefined): string {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' ? visible(value) : '';
}
