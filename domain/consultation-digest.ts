import { canonicalJson } from './canonical-json';
import { sha256Base64url } from './digest';

/** What an answer to a consultation is signed over: its id and when it was asked, in epoch seconds. */
export function consultationDigest(id: string, askedAt: number): string {
  return sha256Base64url(canonicalJson({ consultation: id, asked_at: askedAt }));
}
