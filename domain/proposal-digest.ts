import { canonicalJson } from './canonical-json';
import { sha256Base64url } from './digest';
import { proposalSubject } from './proposal';
import type { Proposed } from './proposal';

const ID_CHARACTERS = 22;

/** Base64url SHA-256 over the RFC 8785 form of what is proposed. */
export function proposalDigest({ kind, name, content }: Proposed): string {
  return sha256Base64url(canonicalJson({ kind, name, content }));
}

/** The same statement is the same proposal, however often it is sent. */
export function proposalId(proposed: Pick<Proposed, 'kind' | 'name'>, statement: string): string {
  return `${proposalSubject(proposed)}.${sha256Base64url(statement).slice(0, ID_CHARACTERS)}`;
}
