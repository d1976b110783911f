import { canonicalJson } from './canonical-json';
import { sha256Base64url } from './digest';
import type { IncidentMatter } from './incident';

const ID_CHARACTERS = 22;

/** Of one kind and one cause: one incident at a time. */
export function incidentId({ kind, cause }: Pick<IncidentMatter, 'kind' | 'cause'>): string {
  return `${kind}.${sha256Base64url(canonicalJson({ kind, cause })).slice(0, ID_CHARACTERS)}`;
}

/** What whoever opens one signs as `on` and `dig`: it has no opening time before. */
export function openingSubject({ kind }: Pick<IncidentMatter, 'kind'>): string {
  return `incident.${kind}`;
}

export function openingDigest({ kind, cause, severity }: IncidentMatter): string {
  return sha256Base64url(canonicalJson({ kind, cause, severity }));
}

/** What every word on it is signed over; `about` is the follow-up that it closes, or what it stops or lifts. */
export function incidentDigest(id: string, openedAt: number, about: string | null): string {
  return sha256Base64url(canonicalJson({ incident: id, opened_at: openedAt, about }));
}
