import type { Change, ChangeAction } from '../../domain/change';
import { AtbError } from '../../domain/error';
import type { OperationContext, OperationOutcome, Operations } from '../../domain/ports';
import { httpCheck, prometheusCheck } from './checks';
import { runCommand } from './command';
import type { CommandOutcome } from './command';
import { commit } from './commit';
import { filled, matches } from './definitions';
import type { CommandDefinition, OperationDefinition, OperationDefinitions } from './definitions';

/** What may be done to production, as the operations file says it. */
export class ConfiguredOperations implements Operations {
  constructor(private readonly definitions: OperationDefinitions) {}

  require({ apply, rollback, checks }: Change): void {
    this.allowed(apply);
    this.allowed(rollback);
    if (!this.isRepeatable(rollback)) {
      throw new AtbError(
        'change_operation_unknown',
        `${rollback.operation} is not repeatable, so no change is rolled back by it`,
      );
    }
    const unknown = checks.find((name) => !Object.hasOwn(this.definitions.checks, name));
    if (unknown !== undefined) throw new AtbError('change_operation_unknown', `there is no check ${unknown}`);
  }

  targets({ apply, rollback }: Change): readonly string[] {
    const all = [apply, rollback].map((action) => this.allowed(action).target ?? action.operation);
    return [...new Set(all)].sort();
  }

  isRepeatable({ operation }: ChangeAction): boolean {
    const definition = this.definitions.operations[operation];
    // The same commit again finds the file as it wants it.
    return definition?.kind === 'commit' || definition?.repeatable === true;
  }

  async run(action: ChangeAction, context: OperationContext): Promise<OperationOutcome> {
    const definition = this.allowed(action);
    const values = { ...action.parameters, percent: String(context.percent) };
    if (definition.kind === 'commit') return commit(definition, values, context);
    return outcomeOf(await this.command(definition, values, context), definition.timeout_seconds);
  }

  async check(name: string, context: OperationContext): Promise<OperationOutcome> {
    const check = Object.hasOwn(this.definitions.checks, name) ? this.definitions.checks[name] : undefined;
    if (!check) throw new AtbError('change_operation_unknown', `there is no check ${name}`);
    switch (check.kind) {
      case 'command': {
        const values = { percent: String(context.percent) };
        return outcomeOf(await this.command(check, values, context), check.timeout_seconds);
      }
      case 'http':
        return httpCheck(check, context.signal);
      case 'prometheus':
        return prometheusCheck(check, context.signal);
    }
  }

  private command(
    { program, arguments: template, timeout_seconds, environment }: CommandDefinition,
    values: Readonly<Record<string, string>>,
    { change, percent, fence, signal }: OperationContext,
  ): Promise<CommandOutcome> {
    return runCommand({
      ...{ program, arguments: template.map((text) => filled(text, values)) },
      environment: {
        ...environment,
        ...{ ATB_CHANGE: change, ATB_PERCENT: String(percent), ATB_FENCE: String(fence) },
      },
      ...{ timeoutMs: timeout_seconds * 1000, signal },
    });
  }

  private allowed({ operation, parameters }: ChangeAction): OperationDefinition {
    const { operations } = this.definitions;
    const definition = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
    if (!definition) throw new AtbError('change_operation_unknown', `there is no operation ${operation}`);
    const { parameters: wanted } = definition;
    const names = new Set([...Object.keys(wanted), ...Object.keys(parameters)]);
    for (const name of names) {
      const pattern = Object.hasOwn(wanted, name) ? wanted[name] : undefined;
      const value = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
      if (pattern === undefined || value === undefined || !matches(pattern, value)) {
        throw new AtbError(
          'change_parameter_refused',
          `${operation} does not take this ${name}, or lacks it`,
        );
      }
    }
    return definition;
  }
}

/** Throws `internal` where it was cut short by us: that is no outcome, and it is looked at again. */
function outcomeOf(outcome: CommandOutcome, timeoutSeconds: number): OperationOutcome {
  const { exitCode, why, lastWords, outputDigest } = outcome;
  if (why === 'interrupted') throw new AtbError('operation_interrupted', 'the command was cut short');
  const how = why === 'timed out' ? `killed after ${timeoutSeconds} seconds` : `exit code ${exitCode}`;
  const words = lastWords.trim();
  return { good: exitCode === 0, detail: words === '' ? how : `${how}: ${words}`, outputDigest };
}
