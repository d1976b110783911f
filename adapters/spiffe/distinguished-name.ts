import { DerError, DerSequence, Tag, expectTag, readDer, readDerSeries, readOid } from './der';
import type { Der } from './der';

/** A name of X.500 (RFC 5280 §4.1.2.4). */
export interface DistinguishedName {
  readonly encoded: Uint8Array;
  /** Its parts in order, each in one spelling for all that are equal (RFC 5280 §7.1). */
  readonly parts: readonly string[];
  readonly isEmpty: boolean;
}

const EMAIL_ADDRESS = '2a864886f70d010901';
const EMPTY_BYTES = 2;

/** The strings of RFC 5280 §4.1.2.4, which are compared as text, whatever they are written as. */
const DECODERS: Readonly<Record<number, (bytes: Uint8Array) => string>> = {
  0x0c: utf8,
  0x13: latin1,
  0x14: latin1,
  0x16: latin1,
  0x1c: (bytes) => wide(bytes, 4),
  0x1e: (bytes) => wide(bytes, 2),
};

/** Reads a name. Throws DerError. */
export function readName(der: Der): DistinguishedName {
  const { encoded } = expectTag(der, Tag.sequence);
  return { encoded, parts: readParts(encoded), isEmpty: encoded.length === EMPTY_BYTES };
}

/** RFC 5280 §7.1: case and insignificant spaces do not count, nor which of the string types it is. */
export function sameName(left: DistinguishedName, right: DistinguishedName): boolean {
  if (Buffer.from(left.encoded).equals(right.encoded)) return true;
  return left.parts.length === right.parts.length && isWithin(left, right);
}

/** Whether the name is the base, or stands below it (RFC 5280 §4.2.1.10). */
export function isWithin(name: DistinguishedName, base: DistinguishedName): boolean {
  return base.parts.every((part, index) => part === name.parts[index]);
}

/** The e-mail addresses in a name: what certificates had before alternative names. */
export function emailAddressesOf({ encoded }: DistinguishedName): readonly string[] {
  return attributesOf(encoded)
    .flat()
    .filter(({ type }) => type === EMAIL_ADDRESS)
    .map(({ value }) => latin1(value.content));
}

function readParts(encoded: Uint8Array): readonly string[] {
  return attributesOf(encoded).map((set) =>
    JSON.stringify(set.map(({ type, value }) => `${type}=${comparable(value)}`).sort()),
  );
}

interface Attribute {
  readonly type: string;
  readonly value: Der;
}

function attributesOf(encoded: Uint8Array): readonly (readonly Attribute[])[] {
  return readDerSeries(readDer(encoded).content).map((set) => {
    const attributes = readDerSeries(expectTag(set, Tag.set).content);
    if (attributes.length === 0) throw new DerError('an empty part of a name');
    return attributes.map((element) => {
      const attribute = new DerSequence(element);
      const type = readOid(attribute.take(Tag.objectIdentifier));
      const [value, ...more] = attribute.rest();
      if (!value || more.length > 0) throw new DerError('an attribute has one value');
      return { type, value };
    });
  });
}

function comparable({ tag, content }: Der): string {
  const decode = DECODERS[tag];
  if (!decode) return `#${tag} ${Buffer.from(content).toString('hex')}`;
  return decode(content).normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DerError('not UTF-8', { cause });
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

function wide(bytes: Uint8Array, width: 2 | 4): string {
  if (bytes.length % width !== 0) throw new DerError('not a string of wide characters');
  const view = Buffer.from(bytes);
  let text = '';
  for (let at = 0; at < bytes.length; at += width) {
    const point = view.readUIntBE(at, width);
    if (point > 0x10ffff) throw new DerError('not a character');
    text += String.fromCodePoint(point);
  }
  return text;
}
