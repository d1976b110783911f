import { DerError, contextTag, expectTag, readDer } from './der';
import type { Der } from './der';
import { readName } from './distinguished-name';
import type { DistinguishedName } from './distinguished-name';

/** A name in one of the forms of RFC 5280 §4.2.1.6; those that nothing here decides by are kept as `other`. */
export type GeneralName =
  | { readonly form: 'email' | 'dns' | 'uri'; readonly text: string }
  | { readonly form: 'directory'; readonly name: DistinguishedName }
  | { readonly form: 'ip'; readonly bytes: Uint8Array }
  | { readonly form: 'other'; readonly number: number };

const TEXTS = { 1: 'email', 2: 'dns', 6: 'uri' } as const;
const DIRECTORY = 4;
const IP = 7;
const LAST = 8;
const NOT_ASCII = /[^\x20-\x7e]/;

/** Reads a general name. Throws DerError. */
export function readGeneralName(der: Der): GeneralName {
  const number = der.tag & 0x1f;
  if ((der.tag & 0xc0) !== 0x80 || number > LAST) throw new DerError('not a name');
  if (number in TEXTS) {
    const { content } = expectTag(der, contextTag(number, 'primitive'));
    const text = Buffer.from(content).toString('latin1');
    if (NOT_ASCII.test(text)) throw new DerError('a name has a character that is not of ASCII');
    return { form: TEXTS[number as keyof typeof TEXTS], text };
  }
  if (number === DIRECTORY) {
    // A choice is always tagged explicitly (X.680 §31.2.7).
    return {
      form: 'directory',
      name: readName(readDer(expectTag(der, contextTag(number, 'constructed')).content)),
    };
  }
  if (number === IP) return { form: 'ip', bytes: expectTag(der, contextTag(number, 'primitive')).content };
  return { form: 'other', number };
}
