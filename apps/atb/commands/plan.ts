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
import type { JsonObject } from '../../../domain/json';

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
  atb plan sap.payment.execute --as agent/finance-bot --param amount:=1250
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

function planInWords(plan: JsonObject): string {
  const standing = parseStanding(plan);
  const { tier, reasons, eligibleApprovers } = standing;
  const { limits } = plan;
  const effect = typeof plan.effect === 'string' ? plan.effect : 'unknown';
  const ceilings = isJsonObject(limits) ? valueLines(limits) : [];
  return [
    EFFECTS[effect] ?? visible(effect),
    ...(tier === undefined ? [] : [row('tier', visible(tier))]),
    ...(reasons.length > 0 ? [row('reasons', reasons.map(visible).join(', '))] : []),
    ...(effect === 'deny' ? [] : [row('demanded', demanded(standing))]),
    ...(eligibleApprovers.length > 0 ? [row('who', eligibleApprovers.map(shortName).join(', '))] : []),
    ...ceilings.map((line) => row('limit', line)),
  ].join('\n');
}
