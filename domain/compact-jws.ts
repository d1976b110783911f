import { AtbError } from './error';
import type { ErrorCode } from './error';
import { isJsonObject } from './json';
import type { Json, JsonObject } from './json';
import { parseStrictJson } from './strict-json';

/** A JWS in compact serialization (RFC 7515 §7.1), its form checked, its signature not yet. */
export interface CompactJws {
  readonly header: JsonObject;
  readonly claims: JsonObject;
  readonly signature: Uint8Array;
  /** What was signed (RFC 7515 §5.1): header and payload as they were sent. */
  readonly signingInput: string;
}

export interface CompactJwsForm {
  /** The one `typ` that is expected (RFC 8725 §3.11). */
  readonly typ: string;
  /** The header parameters that there must be beside `alg` and `typ`; there may be no others, so neither `crit` nor
   *  `jwk` nor `jku` gets a say. */
  readonly headerParameters: readonly string[];
  readonly maxLength: number;
  /** The code with which a malformed one is refused. */
  readonly code: ErrorCode;
}

/**
 * Takes a compact JWS apart, and refuses whatever could be written in a second way: base64url that is not canonical
 * (RFC 4648 §3.5), JSON that is not strict, header parameters that nobody asked for. Throws the form's code.
 */
export function parseCompactJws(text: string, form: CompactJwsForm): CompactJws {
  const malformed = (why: string, cause?: unknown) =>
    new AtbError(form.code, `the signed statement is malformed: ${why}`, { cause });

  if (text.length > form.maxLength) throw malformed(`it is longer than ${form.maxLength} characters`);
  const [protectedHeader, payload, signature, ...more] = text.split('.');
  if (protectedHeader === undefined || payload === undefined || signature === undefined || more.length > 0) {
    throw malformed('it does not have three parts');
  }
  const decode = (part: string, name: string): Uint8Array => {
    const bytes = decodeBase64url(part);
    if (bytes === undefined || bytes.length === 0) throw malformed(`its ${name} is not canonical base64url`);
    return bytes;
  };
  const parseObject = (part: string, name: string): JsonObject => {
    let value: Json;
    try {
      value = parseStrictJson(decode(part, name));
    } catch (cause) {
      throw malformed(`its ${name} is not strict JSON`, cause);
    }
    if (!isJsonObject(value)) throw malformed(`its ${name} is not a JSON object`);
    return value;
  };

  const header = parseObject(protectedHeader, 'header');
  const due = new Set(['alg', 'typ', ...form.headerParameters]);
  const superfluous = Object.keys(header).find((name) => !due.has(name));
  if (superfluous !== undefined) throw malformed('its header has a parameter that does not belong there');
  const missing = [...due].find((name) => !Object.hasOwn(header, name));
  if (missing !== undefined) throw malformed(`its header has no ${missing}`);
  if (header.typ !== form.typ) throw malformed(`its typ is not ${form.typ}`);
  return {
    header,
    claims: parseObject(payload, 'payload'),
    signature: decode(signature, 'signature'),
    signingInput: `${protectedHeader}.${payload}`,
  };
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Six bits by character code; 255 where the character is not in the alphabet. */
const SEXTETS = new Uint8Array(128).fill(255);
for (let value = 0; value < ALPHABET.length; value++) SEXTETS[ALPHABET.charCodeAt(value)] = value;

/**
 * Decodes base64url without padding (RFC 7515 §2); undefined where the text is not the one spelling of its bytes:
 * other characters, an impossible length, bits beyond the last byte that are not zero.
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  if (text.length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const sextet = SEXTETS[text.charCodeAt(at)] ?? 255;
    if (sextet === 255) return undefined;
    bits = ((bits << 6) | sextet) & 0xfff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[length++] = (bits >> held) & 0xff;
    }
  }
  return (bits & ((1 << held) - 1)) === 0 ? bytes : undefined;
}
