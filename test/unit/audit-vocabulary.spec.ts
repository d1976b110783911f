import { execFileSync } from 'node:child_process';
import { requireInVocabulary } from '../../adapters/audit-log/event-schema';
import { AUDIT_EVENT_TYPES, AUDIT_EVENTS } from '../../domain/audit-event';
import { sampleData } from '../support/audit-sample';

describe('the vocabulary of the audit log', () => {
  it.each(AUDIT_EVENT_TYPES)(
    'takes %s with the least data that it must have, and nothing unknown',
    (type) => {
      const data = sampleData(type);
      requireInVocabulary({ type, data });
      if (AUDIT_EVENTS[type].data.additionalProperties) return;
      expect(() => {
        requireInVocabulary({ type, data: { ...data, smuggled: 1 } });
      }).toThrow('smuggled');
    },
  );

  it('has what the operating model names (§2.1, §2.2)', () => {
    expect(AUDIT_EVENT_TYPES).toEqual(expect.arrayContaining(['poa_issued', 'poa_issued_dual_control']));
  });

  it('is what docs/audit.md says (attack 46)', () => {
    execFileSync(process.execPath, ['tools/audit-docs.mjs', '--check']);
  });
});
