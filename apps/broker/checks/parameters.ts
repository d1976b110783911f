import { canonicalJson } from '../../../domain/canonical-json';
import type { Route, TextType, ValueLocation } from '../../../domain/connector';
import { AtbError } from '../../../domain/error';
import { isJsonObject } from '../../../domain/json';
import type { Json, JsonObject } from '../../../domain/json';
import { at } from '../../../domain/json-pointer';

/** All that a call carries, where its values may stand. */
export interface Carried {
  readonly path: ReadonlyMap<string, string>;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Json;
}

/**
 * The values that a call carries, by the catalogue's names. All places of one parameter must agree (attack 27), and
 * nothing is carried that the route does not name: what nobody can compare nobody has approved. Throws
 * `parameter_missing`, `parameter_mismatch`, `parameter_malformed`, `parameter_not_approved`.
 */
export function carriedParameters(route: Route, carried: Carried): JsonObject {
  const parameters: Record<string, Json> = {};
  for (const [name, places] of Object.entries(route.parameters)) {
    for (const place of places) {
      const value = valueAt(place, carried);
      if (value === undefined) {
        if (place.optional) continue;
        throw new AtbError('parameter_missing', `the call does not carry ${name} where the route wants it`);
      }
      const before = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
      if (before !== undefined && canonicalJson(before) !== canonicalJson(value)) {
        throw new AtbError('parameter_mismatch', `the call carries ${name} twice, and not the same`);
      }
      parameters[name] = value;
    }
  }
  refuseWhatIsNotNamed(route, carried);
  return parameters;
}

/** What was approved is what is carried: the same names, the same values, the same types. */
export function checkParameters(approved: JsonObject, carried: JsonObject, route: Route): void {
  for (const [name, value] of Object.entries(carried)) {
    if (!Object.hasOwn(approved, name)) {
      throw new AtbError(
        'parameter_not_approved',
        `the call carries ${name}, which the mandate does not name`,
      );
    }
    if (canonicalJson(value) !== canonicalJson(approved[name])) {
      throw new AtbError('parameter_mismatch', `${name} is not what was approved`);
    }
  }
  for (const name of Object.keys(approved)) {
    // A route that names no place for it says that it is approved, but not sent.
    const isSent = !Object.hasOwn(route.parameters, name) || route.parameters[name]?.length !== 0;
    if (isSent && !Object.hasOwn(carried, name)) {
      throw new AtbError(
        'parameter_missing',
        `the mandate is for a call with ${name}, which this one does not carry`,
      );
    }
  }
}

function valueAt(place: ValueLocation, carried: Carried): Json | undefined {
  switch (place.in) {
    case 'path':
      return typed(place.type, carried.path.get(place.name), place.name);
    case 'query':
      return typed(place.type, carried.query.get(place.name), place.name);
    case 'header':
      return typed(place.type, carried.headers.get(place.name), place.name);
    case 'body':
      return ofType(place.type, at(carried.body, place.pointer), place.pointer);
  }
}

/** A text as a value of its type, in the one spelling that JSON has for it: "1e3", "1,000" and "01" are no numbers. */
function typed(type: TextType, text: string | undefined, name: string): Json | undefined {
  if (text === undefined || type === 'string') return text;
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  const number = Number(text);
  const isNumber = type === 'number' ? Number.isFinite(number) : Number.isSafeInteger(number);
  if (type !== 'boolean' && isNumber && String(number) === text) return number;
  throw new AtbError('parameter_malformed', `${name} is no ${type}`);
}

/** A JSON value as it came, where it is of the type that the route wants, if it wants one. */
function ofType(type: TextType | undefined, value: Json | undefined, pointer: string): Json | undefined {
  if (value === undefined || type === undefined) return value;
  const isOfType = type === 'integer' ? Number.isSafeInteger(value) : typeof value === type;
  if (isOfType) return value;
  throw new AtbError('parameter_malformed', `the body's ${shown(pointer)} is no ${type}`);
}

function refuseWhatIsNotNamed(route: Route, carried: Carried): void {
  const places = [...Object.values(route.parameters).flat(), ...route.unchecked];
  const queries = new Set(places.flatMap((place) => (place.in === 'query' ? [place.name] : [])));
  for (const name of carried.query.keys()) {
    if (!queries.has(name)) throw notNamed(`the query parameter ${shown(name)}`);
  }
  const pointers = new Set(places.flatMap((place) => (place.in === 'body' ? [place.pointer] : [])));
  if (carried.body !== null || route.body === 'json') refuseMembers(carried.body, '', pointers);
}

function refuseMembers(value: Json, pointer: string, named: ReadonlySet<string>): void {
  if (named.has(pointer)) return;
  const isWay = [...named].some((place) => place.startsWith(`${pointer}/`));
  if (!isWay || typeof value !== 'object' || value === null) {
    // An empty object as the whole body carries nothing.
    if (pointer === '' && isJsonObject(value) && Object.keys(value).length === 0) return;
    throw notNamed(`the body's ${shown(pointer === '' ? 'content' : pointer)}`);
  }
  const members = Array.isArray(value) ? [...(value as readonly Json[]).entries()] : Object.entries(value);
  for (const [name, member] of members) {
    refuseMembers(member, `${pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`, named);
  }
}

/** Names come from the caller: shown short, and without what a terminal would obey. */
function shown(name: string): string {
  return JSON.stringify(name.slice(0, 64)).replace(/[^\x20-\x7e]/g, '?');
}

function notNamed(what: string): AtbError {
  return new AtbError('parameter_not_approved', `the call carries ${what}, which its route does not name`);
}
