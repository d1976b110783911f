import type { Json } from './json';

/** What an RFC 6901 pointer leads to, or undefined where it leads nowhere. Own members only. */
export function at(document: Json, pointer: string): Json | undefined {
  let value: Json | undefined = document;
  for (const name of tokensOf(pointer)) {
    if (Array.isArray(value))
      value = /^(0|[1-9]\d*)$/.test(name) ? (value as readonly Json[])[Number(name)] : undefined;
    else if (typeof value === 'object' && value !== null)
      value = Object.hasOwn(value, name) ? (value as Readonly<Record<string, Json>>)[name] : undefined;
    else return undefined;
  }
  return value;
}

/** The document with another value where the pointer leads to, which must be somewhere below the whole. */
export function withValueAt(document: Json, pointer: string, value: Json): Json {
  return replaced(document, tokensOf(pointer), value);
}

function replaced(within: Json, [name, ...further]: readonly string[], value: Json): Json {
  if (name === undefined) return value;
  if (Array.isArray(within)) {
    return (within as readonly Json[]).map((item, index) =>
      String(index) === name ? replaced(item, further, value) : item,
    );
  }
  const object = within as Readonly<Record<string, Json>>;
  return { ...object, [name]: replaced(object[name] ?? null, further, value) };
}

/** The names and places that a pointer goes by (RFC 6901 §4). */
export function tokensOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}
