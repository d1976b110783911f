import type { Command } from 'commander';
import { LIFT_PATH, stopOrderJson } from '../../../domain/stop';
import { EXIT } from '../exit';
import { trustDomainOf } from '../identity';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions } from '../session';
import { stopOrder, withStopTarget } from '../stop-target';
import type { StopTargetOptions } from '../stop-target';

/** `atb lift`: what was stopped goes on. */
export function registerLift(program: Command, surroundings: Surroundings): void {
  withCommonOptions(withStopTarget(program.command('lift')))
    .description('lift a stop of an agent, a connector, a tier or everything')
    .addHelpText(
      'after',
      `
Over your signature. Lifting the stop of everything takes two people, each with this command, within the time that
policy gives; exits with 2 while another one is needed. A request that was stopped stays so.

Example:
  atb lift --all --reason 'the keys were changed' --as person/carol`,
    )
    .action(async (options: StopTargetOptions & CommonOptions) => {
      process.exitCode = await inSession(surroundings, options, async (session) => {
        const svid = session.svid();
        const order = stopOrder(options, trustDomainOf(svid.spiffeId));
        if (!order) throw new UsageError('what? one of --agent, --connector, --tier, --request, --all');
        const statement = await session.signed(svid, LIFT_PATH, stopOrderJson(order));
        const { body } = await session.client(svid).postSigned(LIFT_PATH, statement);
        const isLifted = body.state === 'lifted';
        session.output.answer(body, isLifted ? 'lifted' : 'another person has to say the same');
        return isLifted ? EXIT.done : EXIT.timedOut;
      });
    });
}
