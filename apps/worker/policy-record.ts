import { randomBytes } from 'node:crypto';
import { Logger } from '@nestjs/common';
import type { AuditEvent } from '../../domain/audit-event';
import type { Ledger, PolicyChange, PolicyEngine } from '../../domain/ports';

const TRY_AGAIN_MS = 5_000;

/** Tells the audit log which policy decides from when on, and which was refused; what the log cannot take now, later. */
export class PolicyRecord {
  private readonly log = new Logger(PolicyRecord.name);
  // A worker's own: two of them load the same bundle, and each of them does it.
  private readonly worker = randomBytes(9).toString('base64url');
  private readonly unhear: () => void;
  private waiting: AuditEvent[] = [];
  private writing: Promise<void> | undefined;
  private again: NodeJS.Timeout | undefined;
  private told = 0;

  constructor(
    policy: PolicyEngine,
    private readonly ledger: Ledger,
    private readonly actor: string,
  ) {
    this.unhear = policy.onChange((change) => {
      this.tell(change);
    });
    this.tell({ change: 'loaded', revision: policy.revision, previous: null });
  }

  close(): void {
    this.unhear();
    clearTimeout(this.again);
  }

  private tell(change: PolicyChange | { change: 'loaded'; revision: string; previous: null }): void {
    const { revision } = change;
    const type = change.change === 'loaded' ? 'policy_loaded' : 'policy_refused';
    this.waiting.push({
      id: `${type}/${this.worker}/${this.told++}`,
      type,
      time: new Date(),
      requestId: null,
      actor: this.actor,
      subject: null,
      action: null,
      tier: null,
      reasons: change.change === 'refused' ? ['policy_bundle_refused'] : [],
      data:
        change.change === 'loaded'
          ? { revision, previous: change.previous }
          : { stays: revision, detail: change.reason },
    });
    this.writing ??= this.write();
  }

  private async write(): Promise<void> {
    try {
      for (let event = this.waiting[0]; event; event = this.waiting[0]) {
        await this.ledger.append(event);
        this.waiting = this.waiting.slice(1);
      }
    } catch (error) {
      this.log.warn(`a change of policy is not recorded yet: ${error instanceof Error ? error.message : ''}`);
      this.again = setTimeout(() => {
        this.writing ??= this.write();
      }, TRY_AGAIN_MS);
      this.again.unref();
    } finally {
      this.writing = undefined;
    }
  }
}
