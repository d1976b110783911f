import type { Command } from 'commander';
import { STOP_PATH, stopOrderJson } from '../../../domain/stop';
import { trustDomainOf } from '../identity';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { stopOrder, withStopTarget } from '../stop-target';
import type { StopTargetOptions } from '../stop-target';
import { readToken } from '../token';

interface Options extends StopTargetOptions, CommonOptions {
  readonly mandate?: string;
}

/** `atb revoke`: a mandate (RFC 7009), or everything around it. */
export function registerRevoke(program: Command, surroundings: Surroundings): void {
  withCommonOptions(withStopTarget(program.command('revoke')))
    .argument('[mandate]', 'the mandate; @FILE reads it from a file, - from stdin')
    .option('--mandate <mandate>', 'the same')
    .description('revoke a mandate, or stop a request, an agent, a connector, a tier or everything')
    .addHelpText(
      'after',
      `
A mandate: your own, or any where your team may. The others are for whom policy lets, over your signature; every
broker knows within a second. See atb lift.

Examples:
  atb collect KqzVb… --as agent/finance-bot --quiet | atb revoke - --as agent/finance-bot
  atb revoke --agent agent/finance-bot --reason 'it pays twice' --as person/carol
  atb revoke --all --reason 'keys are stolen' --as person/carol`,
    )
    .action(async (mandate: string | undefined, options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const named = [mandate, options.mandate].filter((value) => value !== undefined);
        const order = stopOrder(options, trustDomainOf(session.svid().spiffeId));
        const [token] = named;
        if (named.length + (order ? 1 : 0) !== 1) {
          throw new UsageError('what? a mandate, or one of --request, --agent, --connector, --tier, --all');
        }
        if (order) await stop(session, order);
        else await revoke(session, await readToken(token ?? '', surroundings.input));
      });
    });
}

async function revoke(session: Session, token: string): Promise<void> {
  await session.client().form('/revoke', { token });
  session.output.answer({ revoked: true }, 'revoked');
}

async function stop(session: Session, order: NonNullable<ReturnType<typeof stopOrder>>): Promise<void> {
  const statement = await session.signed(session.svid(), STOP_PATH, stopOrderJson(order));
  const { body } = await session.client().postSigned(STOP_PATH, statement);
  session.output.answer(body, `stopped: ${order.target.scope} ${order.target.value}`);
}
