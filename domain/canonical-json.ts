import { AtbError } from './error';

/** With the flag u, a pair counts as the one character that it encodes. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * The RFC 8785 (JCS) form of a value: the one text over which digests are taken. Throws `invalid_request` for what
 * JSON cannot carry: undefined, functions, instances of classes, NaN, infinities, lone surrogates, cycles.
 *
 * Written here because the npm package publishes no form that CommonJS code or the workflow bundle can load. It is
 * short: ECMAScript's own spelling of numbers and strings is the one that RFC 8785 §3.2.2 prescribes, and its
 * default sort compares UTF-16 code units as §3.2.3 does.
 */
export function canonicalJson(value: unknown): string {
  return write(value, []);
}

/** `around` are the containers that hold the value, outermost first; as it was when it returns. */
function write(value: unknown, around: object[]): string {
  if (value === null) return 'null';
  if (typeof value === 'object') return writeContainer(value, around);
  if (typeof value === 'string') return writeString(value);
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value !== 'number') throw notJson(`a value of type ${typeof value}`);
  if (!Number.isFinite(value)) throw notJson('a number that is not finite');
  return JSON.stringify(value);
}

function writeContainer(value: object, around: object[]): string {
  if (around.includes(value)) throw notJson('a cycle');
  around.push(value);
  const text = Array.isArray(value) ? writeArray(value, around) : writeObject(value, around);
  around.pop();
  return text;
}

function writeArray(array: readonly unknown[], around: object[]): string {
  let elements = '';
  // By index, so that the holes of a sparse array are seen.
  for (let at = 0; at < array.length; at++) elements += (at === 0 ? '' : ',') + write(array[at], around);
  return `[${elements}]`;
}

function writeObject(value: object, around: object[]): string {
  if (!isPlain(value)) throw notJson('an instance of a class');
  const object = value as Readonly<Record<string, unknown>>;
  let members = '';
  for (const name of Object.keys(object).sort()) {
    members += `${members === '' ? '' : ','}${writeString(name)}:${write(object[name], around)}`;
  }
  return `{${members}}`;
}

function writeString(text: string): string {
  if (LONE_SURROGATE.test(text)) throw notJson('a lone surrogate');
  return JSON.stringify(text);
}

/** Not by identity with Object.prototype: the workflow sandbox has one of its own. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function notJson(what: string): AtbError {
  return new AtbError('invalid_request', `the value has no canonical JSON form: it contains ${what}`);
}
