import { randomFillSync } from 'node:crypto';

/** 128 bits: unique whatever the number of processes; a trace id has as many (W3C Trace Context §3.2.2.3). */
const ID_BYTES = 16;
// Drawn together, for a drawing takes as long as many ids.
const drawn = Buffer.alloc(256 * ID_BYTES);
let at = drawn.length;

/** A random id of 128 bits; each is given out once. */
export function randomId(encoding: 'base64url' | 'hex'): string {
  if (at === drawn.length) {
    randomFillSync(drawn);
    at = 0;
  }
  at += ID_BYTES;
  return drawn.toString(encoding, at - ID_BYTES, at);
}
