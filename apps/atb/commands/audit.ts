import type { Command } from 'commander';
import type { Surroundings } from '../output';
import { registerErase } from './audit-erase';
import { registerAuditEvents } from './audit-events';
import { registerAuditKey } from './audit-key';
import { registerAuditProve } from './audit-prove';
import { registerReconcile } from './audit-reconcile';
import { registerAuditVerify } from './audit-verify';

/** `atb audit`: what reads and proves the audit log. */
export function registerAudit(program: Command, surroundings: Surroundings): void {
  const audit = program.command('audit').description('read and prove the audit log');
  registerAuditEvents(audit, surroundings);
  registerAuditVerify(audit, surroundings);
  registerAuditProve(audit, surroundings);
  registerReconcile(audit, surroundings);
  registerAuditKey(audit, surroundings);
  registerErase(audit, surroundings);
}
