import type { Route, ValueLocation } from '../../domain/connector';
import { AtbError } from '../../domain/error';
import type { Json, JsonObject } from '../../domain/json';

/** A call by its values: what a route describes, the other way round. */
export interface RouteRequest {
  /** Below the connector, with its leading slash and its query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty where the route takes none. */
  readonly body: Buffer;
}

/** A named part of a path, with its expression. */
export const PATH_GROUP = /:([A-Za-z_$][\w$]*)(?:\([^)]*\))?/g;
/** A path that values can be put into: plain segments and whole named ones. */
const WRITABLE = /^(?:\/(?:[A-Za-z0-9._~-]+|:[A-Za-z_$][\w$]*(?:\([^()/]*\))?))+$/;

/** Whether calls of the route can be made from values: one with a wildcard is not. */
export function isWritable({ path }: Route): boolean {
  return WRITABLE.test(path);
}

/**
 * Puts values where a route wants them: each where it must be, and of places that may have it, in the first. `places`
 * are the route's parameters, unless told. Throws `parameter_malformed`. Whether every value is there, and nothing else,
 * is for who takes the call apart again.
 */
export function routeRequest(
  route: Route,
  values: JsonObject,
  places: ReadonlyMap<string, readonly ValueLocation[]> = new Map(Object.entries(route.parameters)),
): RouteRequest {
  const path = new Map<string, string>();
  const query: string[] = [];
  const headers: Record<string, string> = {};
  let body: Json | undefined;
  for (const [name, [first, ...others]] of places) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined || first === undefined) continue;
    for (const place of [first, ...others.filter(({ optional }) => !optional)]) {
      switch (place.in) {
        case 'path':
          path.set(place.name, component(textOf(name, value)));
          break;
        case 'query':
          query.push(`${component(place.name)}=${component(textOf(name, value))}`);
          break;
        case 'header':
          headers[place.name] = textOf(name, value);
          break;
        case 'body':
          body = withMember(body, place.pointer.split('/').slice(1), value);
      }
    }
  }
  const filled = route.path.replace(PATH_GROUP, (_, name: string) => path.get(name) ?? '');
  return {
    target: query.length === 0 ? filled : `${filled}?${query.join('&')}`,
    headers,
    body: route.body === 'json' ? Buffer.from(JSON.stringify(body ?? {})) : Buffer.alloc(0),
  };
}

/** RFC 3986 §2.3: unreserved characters stand for themselves, and only they, so that there is one spelling. */
function component(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function textOf(name: string, value: Json): string {
  if (typeof value === 'object') throw new AtbError('parameter_malformed', `${name} must be one plain value`);
  return String(value);
}

/** RFC 6901, where all that leads to the value are objects. */
function withMember(document: Json | undefined, [token, ...rest]: readonly string[], value: Json): Json {
  if (token === undefined) return value;
  const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
  const members =
    typeof document === 'object' && document !== null && !Array.isArray(document) ? document : {};
  const before = Object.hasOwn(members, name) ? (members as JsonObject)[name] : undefined;
  return { ...(members as JsonObject), [name]: withMember(before, rest, value) };
}
