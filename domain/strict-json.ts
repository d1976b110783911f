import { AtbError } from './error';
import type { ErrorCode } from './error';
import type { Json } from './json';

export interface StrictJsonOptions {
  /** How many containers may be open at once; 32 unless told. */
  readonly maxDepth?: number;
}

const MAX_DEPTH = 32;

/**
 * Parses a JSON text (RFC 8259) as I-JSON (RFC 7493) and nothing more lenient, in one pass. What two parsers could
 * read in two ways is refused, each with its own code and the RFC 6901 pointer of the place in `errors`:
 * `body_not_utf8`, `body_not_json` (also a byte order mark and trailing data), `body_too_deep`, `duplicate_key` (after
 * escapes are decoded), `lone_surrogate`, `number_not_exact` (a decimal that a double would change), and
 * `key_forbidden` (`__proto__`, which later copying would take for the prototype).
 */
export function parseStrictJson(content: string | Uint8Array, options: StrictJsonOptions = {}): Json {
  const text = typeof content === 'string' ? content : decodeUtf8(content);
  return new Parser(text, options.maxDepth ?? MAX_DEPTH).document();
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    // The byte order mark is kept, so that the parser can refuse it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const message = 'the body is not valid UTF-8';
    throw new AtbError('body_not_utf8', message, {
      cause,
      errors: [{ pointer: '', code: 'body_not_utf8', detail: message }],
    });
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** RFC 8259 §7. */
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** RFC 8259 §6. */
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
/** With the flag u, a pair counts as the one character that it encodes. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const FOUR_HEX_DIGITS = /^[0-9A-Fa-f]{4}$/;

/** Any decimal of this many significant digits comes back from a double unchanged (IEEE 754, DBL_DIG). */
const DIGITS_ALWAYS_EXACT = 15;

class Parser {
  private at = 0;
  /** The names and indexes that lead to the current place. */
  private readonly path: (string | number)[] = [];

  constructor(
    private readonly text: string,
    private readonly maxDepth: number,
  ) {}

  document(): Json {
    this.skipSpace();
    const value = this.value();
    this.skipSpace();
    if (this.at < this.text.length) throw this.notJson('there is more after the JSON value');
    return value;
  }

  private value(): Json {
    switch (this.text.charCodeAt(this.at)) {
      case OPEN_BRACE:
        return this.object();
      case OPEN_BRACKET:
        return this.array();
      case QUOTE:
        return this.string();
      case 0x74:
        return this.literal('true', true);
      case 0x66:
        return this.literal('false', false);
      case 0x6e:
        return this.literal('null', null);
      default:
        return this.number();
    }
  }

  private object(): Json {
    this.open();
    const object: Record<string, Json> = {};
    if (this.text.charCodeAt(this.at) === CLOSE_BRACE) {
      this.at++;
      return object;
    }
    for (;;) {
      if (this.text.charCodeAt(this.at) !== QUOTE) throw this.notJson('a name in double quotes is due');
      const name = this.string();
      this.path.push(name);
      if (name === '__proto__') throw this.refusal('key_forbidden', 'this name is not allowed');
      if (Object.hasOwn(object, name))
        throw this.refusal('duplicate_key', 'this name occurs twice in one object');
      this.skipSpace();
      if (this.text.charCodeAt(this.at) !== COLON) throw this.notJson('a colon is due');
      this.at++;
      this.skipSpace();
      object[name] = this.value();
      this.path.pop();
      if (this.closes(CLOSE_BRACE)) return object;
    }
  }

  private array(): Json {
    this.open();
    const array: Json[] = [];
    if (this.text.charCodeAt(this.at) === CLOSE_BRACKET) {
      this.at++;
      return array;
    }
    for (;;) {
      this.path.push(array.length);
      array.push(this.value());
      this.path.pop();
      if (this.closes(CLOSE_BRACKET)) return array;
    }
  }

  /** Enters a container. As many are open as the path is long. */
  private open(): void {
    if (this.path.length >= this.maxDepth) {
      throw this.refusal('body_too_deep', `the body is nested deeper than ${this.maxDepth} levels`);
    }
    this.at++;
    this.skipSpace();
  }

  /** After a member: true where the container ends, false where a comma announces another one. */
  private closes(bracket: number): boolean {
    this.skipSpace();
    const character = this.text.charCodeAt(this.at);
    if (character !== bracket && character !== COMMA)
      throw this.notJson('a comma or a closing bracket is due');
    this.at++;
    if (character === bracket) return true;
    this.skipSpace();
    return false;
  }

  private string(): string {
    const { text } = this;
    // A local, for this loop is where the time goes.
    let at = this.at + 1;
    let from = at;
    let decoded = '';
    let surrogates = false;
    for (;;) {
      const character = text.charCodeAt(at);
      if (character === QUOTE) break;
      if (character === BACKSLASH) {
        decoded += text.slice(from, at);
        this.at = at;
        const escaped = this.escape();
        surrogates ||= isSurrogate(escaped.charCodeAt(0));
        decoded += escaped;
        from = at = this.at;
      } else if (character >= 0x20) {
        surrogates ||= isSurrogate(character);
        at++;
      } else {
        // NaN, which stands for the end of the text, comes here too.
        this.at = at;
        throw this.notJson('a string has no end, or a control character in it');
      }
    }
    decoded += text.slice(from, at);
    this.at = at + 1;
    if (surrogates && LONE_SURROGATE.test(decoded)) {
      throw this.refusal('lone_surrogate', 'a string has half of a surrogate pair');
    }
    return decoded;
  }

  private escape(): string {
    const letter = this.text.charAt(this.at + 1);
    if (letter === 'u') {
      const digits = this.text.slice(this.at + 2, this.at + 6);
      if (!FOUR_HEX_DIGITS.test(digits)) throw this.notJson('an escape has no four hexadecimal digits');
      this.at += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const character = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
    if (character === undefined) throw this.notJson('JSON knows no such escape');
    this.at += 2;
    return character;
  }

  private number(): number {
    NUMBER.lastIndex = this.at;
    const found = NUMBER.exec(this.text);
    if (!found) throw this.notJson('a value is due');
    const [decimal, , exponent] = found;
    this.at += decimal.length;
    const value = Number(decimal);
    const surelyExact = exponent === undefined && decimal.length <= DIGITS_ALWAYS_EXACT;
    if (!surelyExact && !isExact(decimal, value)) {
      throw this.refusal('number_not_exact', 'the number cannot be carried exactly; send it as a string');
    }
    return value;
  }

  private literal<T extends Json>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.notJson('a value is due');
    this.at += word.length;
    return value;
  }

  private skipSpace(): void {
    for (;;) {
      const character = this.text.charCodeAt(this.at);
      if (character !== 0x20 && character !== 0x0a && character !== 0x0d && character !== 0x09) return;
      this.at++;
    }
  }

  private notJson(detail: string): AtbError {
    return this.refusal('body_not_json', `at character ${this.at}: ${detail}`, 'the body is not JSON: ');
  }

  private refusal(code: ErrorCode, detail: string, prefix = ''): AtbError {
    return new AtbError(code, prefix + detail, { errors: [{ pointer: pointerTo(this.path), code, detail }] });
  }
}

/** RFC 6901 §3. */
function pointerTo(path: readonly (string | number)[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function isSurrogate(codeUnit: number): boolean {
  return codeUnit >= 0xd800 && codeUnit <= 0xdfff;
}

/** Whether the double nearest to the decimal is written as the same decimal again (its shortest form, ECMA-262 §6.1.6.1.20). */
function isExact(decimal: string, value: number): boolean {
  return Number.isFinite(value) && normalForm(decimal) === normalForm(String(value));
}

/** Two decimals are the same number if this is the same: significant digits, and the exponent of the last of them. */
function normalForm(decimal: string): string {
  const [mantissa = '', exponent = '0'] = decimal.replace(/^-/, '').toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = withoutTrailingZeros(digits);
  if (significant === '') return '0';
  return `${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}

/** Not by a regular expression: /0+$/ takes quadratic time on zeros that do not end the text. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (digits.charCodeAt(end - 1) === 0x30) end--;
  return digits.slice(0, end);
}
