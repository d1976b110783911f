/** One element of a DER encoding (ITU-T X.690 §8, §10). */
export interface Der {
  /** Class, form and number in one byte, as encoded. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly encoded: Uint8Array;
}

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  null: 0x05,
  sequence: 0x30,
  set: 0x31,
} as const;

/** A context-specific tag (X.690 §8.1.2), constructed or primitive. */
export function contextTag(number: number, form: 'constructed' | 'primitive'): number {
  return (form === 'constructed' ? 0xa0 : 0x80) | number;
}

/** What is not DER, or not what was expected there. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/** Reads exactly one element, with nothing after it. */
export function readDer(bytes: Uint8Array): Der {
  const [element, ...more] = readAll(bytes);
  if (!element || more.length > 0) throw new DerError('one element is due');
  return element;
}

/** Reads elements that follow each other, such as concatenated certificates. */
export function readDerSeries(bytes: Uint8Array): readonly Der[] {
  return readAll(bytes);
}

/** Takes the parts of one element in order. */
export class DerSequence {
  private readonly elements: readonly Der[];
  private at = 0;

  constructor(der: Der, tag: number = Tag.sequence) {
    this.elements = readAll(expectTag(der, tag).content);
  }

  /** The next element, which must have the tag. */
  take(tag: number): Der {
    const element = this.elements[this.at++];
    if (!element) throw new DerError('an element is missing');
    return expectTag(element, tag);
  }

  /** The next element where it has one of the tags; undefined, and nothing is taken, where not. */
  takeIf(...tags: readonly number[]): Der | undefined {
    const element = this.elements[this.at];
    if (!element || !tags.includes(element.tag)) return undefined;
    this.at++;
    return element;
  }

  rest(): readonly Der[] {
    const rest = this.elements.slice(this.at);
    this.at = this.elements.length;
    return rest;
  }

  end(): void {
    if (this.at < this.elements.length) throw new DerError('there is an element too many');
  }
}

export function expectTag(der: Der, tag: number): Der {
  if (der.tag !== tag) throw new DerError(`tag ${tag} is due, and there is ${der.tag}`);
  return der;
}

/** X.690 §11.1: true is all ones. */
export function readBoolean(der: Der): boolean {
  const { content } = expectTag(der, Tag.boolean);
  if (content.length !== 1 || (content[0] !== 0x00 && content[0] !== 0xff))
    throw new DerError('not a boolean');
  return content[0] === 0xff;
}

/** The bytes of an integer, two's complement and as short as can be (X.690 §8.3.2). */
export function readInteger(der: Der): Uint8Array {
  const { content } = expectTag(der, Tag.integer);
  const [first, second] = content;
  if (first === undefined) throw new DerError('not an integer');
  if (second !== undefined && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw new DerError('not the shortest form of an integer');
  }
  return content;
}

/** A non-negative integer of at most three bytes. */
export function readSmallInteger(der: Der): number {
  const content = readInteger(der);
  if (content.length > 3 || (content[0] ?? 0) >= 0x80) throw new DerError('not a small integer');
  return content.reduce((value, byte) => value * 256 + byte, 0);
}

/** An object identifier as the hexadecimal digits of its encoding: good for comparing. */
export function readOid(der: Der): string {
  const { content } = expectTag(der, Tag.objectIdentifier);
  if (content.length === 0) throw new DerError('not an object identifier');
  return Buffer.from(content).toString('hex');
}

/** The bytes of a bit string of whole bytes. */
export function readBits(der: Der): Uint8Array {
  const { content } = expectTag(der, Tag.bitString);
  if (content[0] !== 0) throw new DerError('not a string of whole bytes');
  return content.subarray(1);
}

/** Which bits of a named bit list are set, the first being 0. */
export function readNamedBits(der: Der): ReadonlySet<number> {
  const [unused, ...bytes] = expectTag(der, Tag.bitString).content;
  if (unused === undefined || unused > 7 || (unused > 0 && bytes.length === 0))
    throw new DerError('not a bit string');
  const set = new Set<number>();
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    if (((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0) set.add(bit);
  }
  return set;
}

/** A UTCTime or GeneralizedTime in the forms of RFC 5280 §4.1.2.5: seconds, and Z. */
export function readTime(der: Der): Date {
  const text = Buffer.from(der.content).toString('latin1');
  const form =
    der.tag === Tag.utcTime
      ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
      : /^(\d\d\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
  const found = form.exec(text);
  if (!found || (der.tag !== Tag.utcTime && der.tag !== Tag.generalizedTime))
    throw new DerError('not a time');
  const [, years, month, day, hour, minute, second] = found;
  const century = der.tag === Tag.utcTime ? (Number(years) >= 50 ? '19' : '20') : '';
  const iso = `${century}${years}-${month}-${day}T${hour}:${minute}:${second}`;
  const time = new Date(`${iso}Z`);
  // Date would carry 31 February over into March.
  if (Number.isNaN(time.getTime()) || time.toISOString() !== `${iso}.000Z`) throw new DerError('not a time');
  return time;
}

function readAll(bytes: Uint8Array): readonly Der[] {
  const elements: Der[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at];
    // Certificates need no tag number above 30, so none of the long form.
    if (tag === undefined || (tag & 0x1f) === 0x1f) throw new DerError('not a tag');
    const { length, from } = readLength(bytes, at + 1);
    const end = from + length;
    if (end > bytes.length) throw new DerError('an element ends beyond the end');
    elements.push({ tag, content: bytes.subarray(from, end), encoded: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}

/** X.690 §10.1: definite, and in as few bytes as can be. */
function readLength(bytes: Uint8Array, at: number): { length: number; from: number } {
  const first = bytes[at];
  if (first === undefined) throw new DerError('a length is missing');
  if (first < 0x80) return { length: first, from: at + 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 3 || at + count >= bytes.length) throw new DerError('not a length');
  let length = 0;
  for (let i = 1; i <= count; i++) length = length * 256 + (bytes[at + i] ?? 0);
  if (length < 0x80 || length < 256 ** (count - 1)) throw new DerError('not the shortest form of a length');
  return { length, from: at + 1 + count };
}
