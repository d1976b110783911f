import type { Command } from 'commander';
import { isAtbError } from '../../domain/error';
import { parseStopOrder } from '../../domain/stop';
import type { StopOrder, StopScope } from '../../domain/stop';
import { UsageError } from './refusal';

export interface StopTargetOptions {
  readonly request?: string;
  readonly agent?: string;
  readonly connector?: string;
  readonly tier?: string;
  readonly all?: boolean;
  readonly reason?: string;
}

/** The options that say what to stop, or to lift, and why. */
export function withStopTarget(command: Command): Command {
  return command
    .option('--request <request-id>', 'a request, with every mandate of it')
    .option(
      '--agent <spiffe-id>',
      'an agent: it is issued nothing and can redeem nothing; agent/NAME will do',
    )
    .option('--connector <id>', 'a connector')
    .option('--tier <tier>', 'a tier: low, medium, high or critical')
    .option('--all', 'everything: the kill switch')
    .option('--reason <text>', 'why; it is signed and recorded');
}

/** What the options name; undefined where they name nothing. Throws `UsageError`. */
export function stopOrder(
  { request, agent, connector, tier, all, reason }: StopTargetOptions,
  ownTrustDomain: string,
): StopOrder | undefined {
  const targets: readonly (readonly [StopScope, string | undefined])[] = [
    ['request', request],
    ['agent', agent?.startsWith('spiffe://') === false ? `spiffe://${ownTrustDomain}/${agent}` : agent],
    ['connector', connector],
    ['tier', tier],
    ['everything', all === true ? '*' : undefined],
  ];
  const named = targets.filter(([, value]) => value !== undefined);
  const [target, ...more] = named;
  if (!target) return undefined;
  if (more.length > 0)
    throw new UsageError('one thing at a time: --request, --agent, --connector, --tier or --all');
  if (reason === undefined) throw new UsageError('why? --reason TEXT');
  try {
    return parseStopOrder({ scope: target[0], value: target[1] ?? '', reason });
  } catch (error) {
    if (!isAtbError(error)) throw error;
    throw new UsageError(error.message);
  }
}
