import type { Route, ValueLocation } from '../../domain/connector';
import { AtbError } from '../../domain/error';
import type { Json, JsonObject } from '../../domain/json';

/** A call by its values: what a route describes, the other way round. */
export interface RouteRequest {
  /** Below the connector, with its leading slash and its query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Null where the route takes none. */
  readonly body: Uint8Array | null;
}

/**
 * Puts values where a route wants them, each in all of its places. Throws `reversal_not_possible` where the route is not
 * one that can be written so. Whether every value is there, and nothing else, is for who takes the call apart again.
 */
export function routeRequest(route: Route, params: JsonObject): RouteRequest {
  let path = route.path;
  const query: string[] = [];
  const headers: Record<string, string> = {};
  const root: { body: Json } = { body: {} };
  for (const [name, places] of Object.entries(route.parameters)) {
    const value = Object.hasOwn(params, name) ? params[name] : undefined;
    if (value === undefined) continue;
    for (const place of places) {
      if (place.in === 'body') put(root, place, value);
      else {
        const text = typeof value === 'string' ? value : JSON.stringify(value);
        if (place.in === 'path') path = path.replace(new RegExp(`:${place.name}(?![\\w$])`), component(text));
        else if (place.in === 'query') query.push(`${component(place.name)}=${component(text)}`);
        else headers[place.name] = text;
      }
    }
  }
  if (/[:*(){}?+]/.test(path)) throw unwritable('its path has a part that no value fills');
  const isJson = route.body === 'json';
  return {
    target: query.length === 0 ? path : `${path}?${query.join('&')}`,
    headers: isJson ? { ...headers, 'content-type': 'application/json' } : headers,
    body: isJson ? Buffer.from(JSON.stringify(root.body)) : null,
  };
}

/** RFC 3986: all but the unreserved characters, so that there is one spelling. */
function component(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** RFC 6901, into objects that are made on the way. */
function put(root: { body: Json }, { pointer }: ValueLocation & { in: 'body' }, value: Json): void {
  const tokens = pointer.split('/').slice(1);
  const last = tokens.pop();
  if (last === undefined) {
    root.body = value;
    return;
  }
  let at = root.body as Record<string, Json>;
  for (const token of tokens) {
    const name = unescaped(token);
    if (!Object.hasOwn(at, name)) at[name] = {};
    at = at[name] as Record<string, Json>;
  }
  at[unescaped(last)] = value;
}

function unescaped(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

function unwritable(why: string): AtbError {
  return new AtbError('reversal_not_possible', `the route of the reversing action cannot be called: ${why}`);
}
