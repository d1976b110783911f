import { setTimeout as sleep } from 'node:timers/promises';
import { PostgresLedger } from '../../adapters/postgres/ledger';
import { isAtbError } from '../../domain/error';

const MOST_TRIES = 20;

/** The audit log as an auditor reads it: they ask again where a machine that stood still did not answer in time. */
export class AuditorsLedger extends PostgresLedger {
  override async events(
    ...asked: Parameters<PostgresLedger['events']>
  ): ReturnType<PostgresLedger['events']> {
    for (let tries = 1; ; tries++) {
      try {
        return await super.events(...asked);
      } catch (error) {
        if (tries === MOST_TRIES || !isAtbError(error) || error.code !== 'audit_unavailable') throw error;
        await sleep(250);
      }
    }
  }
}
