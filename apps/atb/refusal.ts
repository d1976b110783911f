import type { JsonObject } from '../../domain/json';
import { isJsonObject } from '../../domain/json';

/** A refusal by AgentAuth, as its problem document (RFC 9457) tells it. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** The document as it came, for `--json`. */
    readonly problem: JsonObject,
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(message);
  }

  get reasons(): readonly string[] {
    const { reasons } = this.problem;
    return Array.isArray(reasons)
      ? reasons.filter((reason): reason is string => typeof reason === 'string')
      : [];
  }

  /** Faults as "pointer: sentence". */
  get faults(): readonly string[] {
    const { errors } = this.problem;
    if (!Array.isArray(errors)) return [];
    return errors
      .filter(isJsonObject)
      .map(({ pointer, detail }) => `${text(pointer) || '/'}: ${text(detail)}`);
  }

  get requestId(): string | undefined {
    const { request_id: id } = this.problem;
    return typeof id === 'string' ? id : undefined;
  }
}

/** Wrong use of the command line; nothing was sent. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something on the way cannot be reached or trusted; nothing is known of the outcome. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

/** What a command made cannot be written: the disk is full. */
export class Unwritten extends Error {
  override readonly name = 'Unwritten';
}

/** Ctrl-C. `hint` says how to go on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
