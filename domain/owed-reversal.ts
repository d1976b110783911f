import type { AuditEvent } from './audit-event';

/** A reversal that a broker has taken up for a while: no other does the same meanwhile. */
export interface OwedReversal {
  readonly jti: string;
  /** The `jti` of the mandate that it reverses. */
  readonly reverses: string;
  readonly connector: string;
  /** The compact JWS. */
  readonly mandate: string;
  /** Whether the call that reverses may have reached the system before. */
  readonly isSent: boolean;
}

/** A reversal that lapsed without a report, though its action was done and nobody knows how that ended. */
export interface UndecidedReversal {
  readonly jti: string;
  readonly reverses: string;
  readonly requestId: string;
  readonly connector: string;
  readonly agent: string;
}

/** Which reversals are owed, for all brokers. Each write has its event, both or neither. Throws `audit_unavailable`. */
export interface ReversalStore {
  /** From here on it is owed, whatever becomes of this broker. False where it was, or where nothing is left to do. */
  owe(reverses: string, connector: string, event: AuditEvent): Promise<boolean>;
  /** Those that are owed and that no broker is at, taken for so long. */
  take(leaseSeconds: number): Promise<readonly OwedReversal[]>;
  /** From here on the call may have reached the system, whatever becomes of this broker. False where that was so before. */
  sending(jti: string): Promise<boolean>;
  /** It is known that the call did not reach the system, or that the system did nothing. */
  notSent(jti: string): Promise<void>;
  /** Lets another broker, or this one, try again after so long. */
  putBack(jti: string, afterSeconds: number): Promise<void>;
  /** Nothing is left to do. False where that was so before. */
  end(jti: string, event: AuditEvent): Promise<boolean>;
  /** Of those that lapsed before a moment and were never owed: lets go of what ended well, answers the rest. */
  undecided(before: Date): Promise<readonly UndecidedReversal[]>;
}
