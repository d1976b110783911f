import { itKeepsTheLedgerContract } from '../support/ledger-contract';
import type { LedgerUnderTest } from '../support/ledger-contract';
import { MemoryLedger } from '../support/memory-ledger';

describe('the ledger in memory', () => {
  const ledger = new MemoryLedger();
  const underTest: LedgerUnderTest = {
    ledger,
    stop: () => {
      ledger.stop();
      return Promise.resolve();
    },
    start: () => {
      ledger.start();
      return Promise.resolve();
    },
  };
  itKeepsTheLedgerContract(() => underTest);
});
