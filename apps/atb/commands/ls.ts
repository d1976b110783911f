import { Option } from 'commander';
import type { Command } from 'commander';
import type { temporal } from '@temporalio/proto';
import type { JsonObject } from '../../../domain/json';
import { TIERS } from '../../../domain/policy';
import type { RequestStatus } from '../../../domain/request-status';
import { POA_REQUEST, requestIdOf } from '../../../workflows/contract';
import { visible } from '../../../domain/foreign-text';
import { table } from '../output';
import type { Surroundings } from '../output';
import { UsageError } from '../refusal';
import { inSession, withCommonOptions } from '../session';
import type { CommonOptions, Session } from '../session';
import { withTemporal } from '../temporal';
import { listedExecutions } from '../../../adapters/temporal/listed-workflows';
import { positiveNumber } from '../whole-number';
import { shortName } from '../words';

type Execution = temporal.api.workflow.v1.IWorkflowExecutionInfo;

interface Options extends CommonOptions {
  readonly state?: string;
  readonly tier?: string;
  readonly action?: string;
  readonly agent?: string;
  readonly waitingOn?: string;
  readonly limit: number;
}

interface ListedRequest {
  readonly id: string;
  readonly state: string;
  readonly tier: string;
  readonly action: string;
  readonly agent: string;
  readonly waitingOn: readonly string[];
  readonly startedAt: Date | undefined;
}

const LIMIT = 100;
/** What `AtbState` says, as workflows write it. */
const STATES = [
  'pending',
  'approved',
  'issued',
  'denied',
  'rejected',
  'withdrawn',
  'expired',
  'cancelled',
] as const satisfies readonly RequestStatus['state'][];

/** `atb ls`: requests, as Temporal's visibility store tells them: for operators, without any key. */
export function registerLs(program: Command, surroundings: Surroundings): void {
  withCommonOptions(program.command('ls'))
    .description('list requests from Temporal, newest first (operators)')
    .addOption(new Option('--state <state>', 'in this state').choices(STATES))
    .addOption(new Option('--tier <tier>', 'of this tier').choices(TIERS))
    .option('--action <action>', 'of this action')
    .option('--agent <spiffe-id>', 'by this agent; agent/NAME will do')
    .option('--waiting-on <role>', 'requests that wait for this role')
    .option('--limit <n>', 'at most so many', positiveNumber, LIMIT)
    .addHelpText(
      'after',
      `
Temporal's address comes from ATB_TEMPORAL_ADDRESS and ATB_TEMPORAL_NAMESPACE, or from a development stack.

Examples:
  atb ls --state pending
  atb ls --waiting-on security_lead --json`,
    )
    .action(async (options: Options) => {
      await inSession(surroundings, options, async (session) => {
        const requests = await listRequests(session, options);
        session.output.answer({ requests: requests.map(requestJson) }, requestsInWords(requests));
      });
    });
}

async function listRequests(session: Session, options: Options): Promise<readonly ListedRequest[]> {
  const { agent } = options;
  const query = visibilityQuery({
    ...options,
    ...(agent !== undefined && { agent: session.agentId(agent) }),
  });
  return withTemporal(session, async ({ connection, namespace }) => {
    const found: ListedRequest[] = [];
    const { workflowService } = connection;
    const pageSize = Math.min(LIMIT, options.limit);
    for await (const execution of listedExecutions({ workflowService, namespace, query, pageSize })) {
      if (found.length === options.limit) break;
      found.push(listed(execution));
    }
    return found;
  });
}

/** A query of Temporal's List Filter. Throws `UsageError` for a value that could be more than a value. */
function visibilityQuery(options: Omit<Options, 'limit'>): string {
  const wanted: readonly (readonly [string, string | undefined])[] = [
    ['AtbState', options.state],
    ['AtbTier', options.tier],
    ['AtbAction', options.action],
    ['AtbAgent', options.agent],
    ['AtbWaitingOn', options.waitingOn],
  ];
  const conditions = wanted.flatMap(([attribute, value]) => {
    if (value === undefined) return [];
    if (!/^[\w.:/-]+$/.test(value))
      throw new UsageError(`${attribute}: "${visible(value)}" is no such value`);
    return [`${attribute} = "${value}"`];
  });
  return [`WorkflowType = "${POA_REQUEST}"`, ...conditions].join(' AND ');
}

function listed({ execution, startTime, searchAttributes }: Execution): ListedRequest {
  const attributes = searchAttributes?.indexedFields ?? {};
  const one = (name: string) => {
    const value = plain(attributes[name]?.data);
    return typeof value === 'string' ? value : '';
  };
  const waitingOn = plain(attributes.AtbWaitingOn?.data);
  const seconds = startTime?.seconds;
  return {
    id: requestIdOf(execution?.workflowId ?? '') ?? execution?.workflowId ?? '',
    state: one('AtbState'),
    tier: one('AtbTier'),
    action: one('AtbAction'),
    agent: one('AtbAgent'),
    waitingOn: [waitingOn].flat().filter((role): role is string => typeof role === 'string'),
    startedAt: seconds == null ? undefined : new Date(Number(seconds) * 1000),
  };
}

function plain(data: Uint8Array | null | undefined): unknown {
  if (!data) return undefined;
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined;
  }
}

function requestJson(request: ListedRequest): JsonObject {
  return {
    request_id: request.id,
    state: request.state,
    tier: request.tier,
    act: request.action,
    agent: request.agent,
    waiting_on: request.waitingOn,
    started_at: request.startedAt?.toISOString() ?? null,
  };
}

function requestsInWords(requests: readonly ListedRequest[]): string {
  if (requests.length === 0) return 'no requests';
  return table([
    ['REQUEST', 'STATE', 'TIER', 'ACTION', 'AGENT', 'WAITING ON'],
    ...requests.map(({ id, state, tier, action, agent, waitingOn }) => [
      visible(id),
      visible(state),
      visible(tier),
      visible(action),
      shortName(agent),
      waitingOn.map(visible).join(', '),
    ]),
  ]);
}
