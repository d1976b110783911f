import { randomBytes } from 'node:crypto';
import { Logger } from '@nestjs/common';
import type { AuditEvent, AuditEventType } from '../domain/audit-event';
import { canonicalJson } from '../domain/canonical-json';
import { sha256Base64url } from '../domain/digest';
import { cutShort } from '../domain/foreign-text';
import type { JsonObject } from '../domain/json';
import type { Ledger, PolicyChange, PolicyEngine } from '../domain/ports';

const TRY_AGAIN_MS = 5_000;

/** What a process works with from its start on. */
export interface ProcessFacts {
  readonly process: 'worker' | 'broker' | 'registration' | 'operations';
  /** As whom it acts: its SPIFFE ID, where it has one. */
  readonly actor: string | null;
  /** All its settings; secrets are in files, and only their names are settings. */
  readonly configuration: object;
  /** The mandate keys, where it signs. */
  readonly keys?: { readonly active: string; readonly verifying: readonly string[] };
}

/**
 * Tells the audit log what a process works with: its configuration, its signing keys, and which policy decides from when
 * on, and which was refused. What the log cannot take now, it is told later.
 */
export class ProcessRecord {
  private readonly log = new Logger(ProcessRecord.name);
  // A process's own: two of them load the same bundle, and each of them does it.
  private readonly self = randomBytes(9).toString('base64url');
  private readonly unhear: () => void;
  private waiting: AuditEvent[] = [];
  private writing: Promise<void> | undefined;
  private again: NodeJS.Timeout | undefined;
  private told = 0;

  constructor(
    policy: PolicyEngine,
    private readonly ledger: Pick<Ledger, 'append'>,
    private readonly facts: ProcessFacts,
  ) {
    this.unhear = policy.onChange((change) => {
      this.tellPolicy(change);
    });
    const { process, configuration, keys } = facts;
    // Through JSON, so that what a setting leaves out is not there either.
    const settings = JSON.parse(JSON.stringify(configuration)) as JsonObject;
    this.tell('configuration_loaded', { process, digest: sha256Base64url(canonicalJson(settings)) });
    if (keys) this.tell('signing_keys_loaded', { ...keys });
    this.tellPolicy({ change: 'loaded', revision: policy.revision, previous: null });
  }

  /** Resolves once what is being written is written, or cannot be: the log must not be closed before. */
  async close(): Promise<void> {
    this.unhear();
    await this.writing;
    clearTimeout(this.again);
  }

  private tellPolicy(change: PolicyChange | { change: 'loaded'; revision: string; previous: null }): void {
    if (change.change === 'loaded') {
      this.tell('policy_loaded', { revision: change.revision, previous: change.previous });
    } else {
      const detail = cutShort(change.reason, 1024);
      this.tell('policy_refused', { stays: change.revision, detail }, [change.code]);
    }
  }

  private tell(type: AuditEventType, data: JsonObject, reasons: readonly string[] = []): void {
    this.waiting.push({
      id: `${type}/${this.self}/${this.told++}`,
      ...{ type, time: new Date(), requestId: null, actor: this.facts.actor },
      ...{ subject: null, action: null, tier: null, reasons, data },
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
      this.log.warn(`the audit log is told later: ${error instanceof Error ? error.message : ''}`);
      this.again = setTimeout(() => {
        this.writing ??= this.write();
      }, TRY_AGAIN_MS);
      this.again.unref();
    } finally {
      this.writing = undefined;
    }
  }
}
