import { createHash } from 'node:crypto';

/** SHA-256 (FIPS 180-4) of a text's UTF-8 bytes or of bytes, in base64url without padding (RFC 7515 §2). */
export function sha256Base64url(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('base64url');
}
