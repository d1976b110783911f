import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { recordedLeaf } from '../../adapters/audit-log/leaf';
import { requireInVocabulary } from '../../adapters/audit-log/event-schema';
import { AUDIT_EVENT_TYPES } from '../../domain/audit-event';
import type { AuditEvent, AuditEventType } from '../../domain/audit-event';
import { leafOf } from '../../domain/audit-leaf';
import { anEvent } from '../support/ledger-contract';
import { sampleData } from '../support/audit-sample';

describe('the vocabulary of the audit log', () => {
  it.each(AUDIT_EVENT_TYPES)(
    'takes %s with the least data that it must have, and nothing unknown',
    (type) => {
      const data = sampleData(type);
      requireInVocabulary(leafOf(anEvent(type, 'request', { data })));
      expect(() => {
        requireInVocabulary(leafOf(anEvent(type, 'request', { data: { ...data, smuggled: 1 } })));
      }).toThrow('smuggled');
    },
  );

  it('has what the operating model names (§2.1, §2.2)', () => {
    expect(AUDIT_EVENT_TYPES).toEqual(expect.arrayContaining(['poa_issued', 'poa_issued_dual_control']));
  });

  it.each(AUDIT_EVENT_TYPES)('has %s because something writes it (attack 46)', (type) => {
    const written = ['activities', 'adapters/postgres', 'apps'].some((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts') && !name.startsWith('atb/'))
        .some((name) => readFileSync(join(folder, name), 'utf8').includes(`'${type}'`)),
    );
    expect(written).toBe(true);
  });

  it.each<[string, Partial<AuditEvent>]>([
    ['a type of its own', { type: 'poa_invented' as AuditEventType }],
    ['the data of another type', { data: { rung: 1 } }],
    ['an id of no length', { id: '' }],
    ['a name without end', { action: 'a'.repeat(513) }],
    ['reasons without end', { reasons: Array.from({ length: 257 }, () => 'reason') }],
    ['a trace that is none', { traceId: '00-trace' }],
    ['a tier of its own', { tier: 'extreme' as 'high' }],
    ['half a character', { reasons: ['\ud800'] }],
  ])('takes no event with %s', (_, change) => {
    expect(() => recordedLeaf(anEvent('poa_denied', 'request', change))).toThrow();
  });

  it('is what docs/audit.md says (attack 46)', () => {
    execFileSync(process.execPath, ['tools/audit-docs.mjs', '--check']);
  });
});
