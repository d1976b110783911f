import { spelledByTags } from './plain-text';

/** Shorter runs are words and numbers. */
const BASE64 = /[A-Za-z0-9+/_-]{16,}={0,2}/g;
const HEX = /(?:[0-9A-Fa-f]{2}[ :,-]?){12,}/g;
const PERCENT = /(?:%[0-9A-Fa-f]{2})+/g;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([a-z]{2,8}));/g;
const ESCAPE = /\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([nrtbf"'\\/]))/g;

const NAMED: Readonly<Record<string, string>> = {
  ...{ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ', colon: ':', comma: ',', period: '.' },
  ...{
    newline: '\n',
    tab: '\t',
    lpar: '(',
    rpar: ')',
    excl: '!',
    num: '#',
    sol: '/',
    lowbar: '_',
    hyphen: '-',
  },
};
const CONTROL: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: ' ', f: ' ' };

const READABLE_SHARE = 0.9;
const strict = new TextDecoder('utf-8', { fatal: true });
const lenient = new TextDecoder('utf-8');

/**
 * The text with each kind of encoding in it undone once: percent (RFC 3986 §2.1), HTML's character references, the
 * escapes of JSON and JavaScript, base64 and base64url (RFC 4648), hex, Unicode tags. Only what changes something and
 * can be read. Each takes time in proportion to the text.
 */
export function decodedOnce(text: string): readonly string[] {
  const found: string[] = [];
  const keep = (decoded: string) => {
    if (decoded !== '' && decoded !== text) found.push(decoded);
  };
  keep(unescaped(text));
  for (const [run] of text.matchAll(BASE64))
    for (const decoded of base64(run, text.startsWith(run))) keep(decoded);
  for (const [run] of text.matchAll(HEX)) for (const decoded of hex(run, text.startsWith(run))) keep(decoded);
  for (const spelled of spelledByTags(text)) keep(spelled);
  return found;
}

function unescaped(text: string): string {
  let plain = text;
  if (plain.includes('%'))
    plain = plain.replace(PERCENT, (run) => lenient.decode(Buffer.from(run.replaceAll('%', ''), 'hex')));
  if (plain.includes('&')) plain = plain.replace(ENTITY, entity);
  return plain.includes('\\') ? plain.replace(ESCAPE, escape) : plain;
}

/** A run that stands at the beginning may have begun before it, at another place of its group of four. */
function base64(run: string, mayHaveBegunBefore: boolean): readonly string[] {
  const starts = mayHaveBegunBefore ? [0, 1, 2, 3] : [0];
  return starts.flatMap((start) => readable(Buffer.from(run.slice(start), 'base64')) ?? []);
}

/** As above, with pairs. */
function hex(run: string, mayHaveBegunBefore: boolean): readonly string[] {
  const digits = run.replace(/[ :,-]/g, '');
  const starts = mayHaveBegunBefore ? [0, 1] : [0];
  return starts.flatMap((start) => readable(Buffer.from(digits.slice(start), 'hex')) ?? []);
}

/** UTF-8 that is text; undefined for anything else. */
function readable(bytes: Uint8Array): string | undefined {
  let text: string;
  try {
    text = strict.decode(bytes);
  } catch {
    // Perhaps cut off at the end.
    text = lenient.decode(bytes).replace(/\ufffd+$/, '');
  }
  const unreadable = text.match(/[\ufffd\u0000-\u0008\u000e-\u001f\u007f-\u009f]/g)?.length ?? 0;
  return text.length >= 6 && unreadable <= text.length * (1 - READABLE_SHARE) ? text : undefined;
}

function entity(whole: string, decimal?: string, hex?: string, name?: string): string {
  if (name !== undefined) return NAMED[name] ?? whole;
  return codePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16), whole);
}

function escape(whole: string, braced?: string, four?: string, two?: string, letter?: string): string {
  if (letter !== undefined) return CONTROL[letter] ?? letter;
  return codePoint(Number.parseInt(braced ?? four ?? two ?? '', 16), whole);
}

function codePoint(value: number, otherwise: string): string {
  // UTF-16 halves that stand beside each other become one character again.
  return value <= 0xffff
    ? String.fromCharCode(value)
    : value <= 0x10ffff
      ? String.fromCodePoint(value)
      : otherwise;
}
