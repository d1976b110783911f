import { standing } from '../../activities/proposal';
import type { JudgingPorts } from '../../activities/proposal';
import type { Connector } from '../../domain/connector';
import { AtbError, isAtbError, isRetryable } from '../../domain/error';
import type { Proposals } from '../../domain/ports';
import { proposalDigest } from '../../domain/proposal-digest';

export interface RegisterOptions {
  readonly pollMs: number;
  /** How old what it knows may be before nothing is served. */
  readonly maxAgeMs: number;
  /** Told when a connector comes into force, or is in force no more, and why. */
  readonly onChange: (connector: string, reason: string | null) => void;
}

/** Which connectors may be called. */
export interface Register {
  /** Throws `connector_not_signed_off`, and `revocation_unavailable` where what is known is too old. */
  require(connector: Connector): void;
}

/** For a broker whose operator signs connectors off by other means: every definition that it has is served. */
export const OPEN_REGISTER: Register = { require: () => undefined };

type RegisterPorts = JudgingPorts & { readonly proposals: Pick<Proposals, 'activeConnectors'> };

/**
 * Which connectors were signed off (operating model §2.4), as exactly the definition that this broker has. Neither the
 * database nor Temporal is believed: the words of Security, Legal and Platform-Ops are verified here again, as of their
 * receipt, and policy is asked as it is now.
 */
export class ConnectorRegister implements Register {
  private inForce = new Map<string, { readonly proposalId: string; readonly validUntil: Date | null }>();
  private reasons = new Map<string, string | null>();
  /** Proposals that were found in order, under a revision of policy: that need not be found out twice a second. */
  private readonly verified = new Map<string, string>();
  private readAt = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;

  private constructor(
    private readonly ports: RegisterPorts,
    private readonly connectors: readonly Connector[],
    private readonly options: RegisterOptions,
  ) {}

  /** Throws `audit_unavailable` where it cannot be read at the start. */
  static async start(
    ports: RegisterPorts,
    connectors: readonly Connector[],
    options: RegisterOptions,
  ): Promise<ConnectorRegister> {
    const register = new ConnectorRegister(ports, connectors, options);
    await register.read();
    register.schedule();
    return register;
  }

  require({ id }: Connector): void {
    if (performance.now() - this.readAt > this.options.maxAgeMs) {
      throw new AtbError('revocation_unavailable', 'it cannot be read which connectors are signed off');
    }
    const found = this.inForce.get(id);
    if (!found) throw notSignedOff(this.reasons.get(id) ?? 'nobody signed off this definition');
    if (found.validUntil && !(this.ports.clock() < found.validUntil)) {
      throw notSignedOff('the time of its sign-off is over');
    }
  }

  end(): void {
    this.ended = true;
    clearTimeout(this.timer);
  }

  private schedule(): void {
    this.timer = setTimeout(() => {
      // What fails is not heard of: after the age that is allowed, everything is refused.
      void this.read()
        .catch(() => undefined)
        .then(() => {
          if (!this.ended) this.schedule();
        });
    }, this.options.pollMs);
    this.timer.unref();
  }

  private async read(): Promise<void> {
    const startedAt = performance.now();
    const active = await this.ports.proposals.activeConnectors();
    const inForce: typeof this.inForce = new Map();
    for (const connector of this.connectors) {
      const digest = digestOf(connector);
      const entry = active.find(({ name }) => name === connector.id);
      const reason = entry ? await this.faultOf(entry.proposalId, digest) : 'it was not signed off';
      if (entry && reason === null) inForce.set(connector.id, entry);
      this.tell(connector.id, reason);
    }
    this.inForce = inForce;
    this.readAt = startedAt;
  }

  /** Why this proposal does not put this definition in force, or null where it does. */
  private async faultOf(proposalId: string, digest: string): Promise<string | null> {
    const policy = this.ports.policy.snapshot();
    const found = `${digest} ${policy.revision}`;
    if (this.verified.get(proposalId) === found) return null;
    try {
      const { effect, digest: signed } = await standing({ ...this.ports, policy }, proposalId);
      if (signed !== digest) return 'another definition was signed off than the one that is here';
      if (effect !== 'approved') return 'not all who have to sign it off count any more';
    } catch (error) {
      if (!isAtbError(error) || isRetryable(error.code)) throw error;
      return error.message;
    }
    this.verified.set(proposalId, found);
    return null;
  }

  private tell(connector: string, reason: string | null): void {
    if (this.reasons.get(connector) === reason) return;
    this.reasons.set(connector, reason);
    this.options.onChange(connector, reason);
  }
}

/** What people sign for a connector: its definition, to the last byte that means something. */
function digestOf({ id, definition }: Connector): string {
  return proposalDigest({ kind: 'connector', name: id, content: definition });
}

function notSignedOff(reason: string): AtbError {
  return new AtbError('connector_not_signed_off', `this connector is not in service: ${reason}`);
}
