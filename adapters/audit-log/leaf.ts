import type { AuditEvent } from '../../domain/audit-event';
import { leafOf, leafText } from '../../domain/audit-leaf';
import { requireInVocabulary } from './event-schema';

/** The leaf to write for an event. Throws `internal` for one that is not in the vocabulary, or too long. */
export function recordedLeaf(event: AuditEvent): string {
  const leaf = leafOf(event);
  requireInVocabulary(leaf);
  return leafText(leaf);
}
