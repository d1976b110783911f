import type { Json } from './json';

/** What an RFC 6901 pointer leads to, or undefined where it leads nowhere. Own members only. */
export function at(document: Json, pointer: string): Json | undefined {
  let value: Json | undefined = document;
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value))
      value = /^(0|[1-9]\d*)$/.test(name) ? (value as readonly Json[])[Number(name)] : undefined;
    else if (typeof value === 'object' && value !== null)
      value = Object.hasOwn(value, name) ? (value as Readonly<Record<string, Json>>)[name] : undefined;
    else return undefined;
  }
  return value;
}
