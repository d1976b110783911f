import { isWritable, PATH_GROUP, routeRequest } from '../../../adapters/connector/route-request';
import type { RouteRequest } from '../../../adapters/connector/route-request';
import type { RouteTable } from '../../../adapters/connector/route-table';
import type { Connector, Route, ValueLocation } from '../../../domain/connector';
import { AtbError } from '../../../domain/error';
import type { JsonObject } from '../../../domain/json';

/** A route as a tool of the Model Context Protocol (2025-11-25, Server Features › Tools). */
export interface RouteTool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: {
    readonly type: 'object';
    readonly properties: Readonly<Record<string, JsonObject>>;
    readonly required: readonly string[];
    readonly additionalProperties: false;
  };
  readonly readOnly: boolean;
  readonly connector: Connector;
  readonly route: Route;
  /** By the argument's name: all places where its value goes. */
  readonly places: ReadonlyMap<string, readonly ValueLocation[]>;
}

/** What a call over HTTP would carry. */
export interface ToolCall extends RouteRequest {
  /** The action's parameters as they would be approved. */
  readonly params: JsonObject;
}

const READS = new Set(['GET', 'HEAD']);
const NAME_LENGTH = 128;

/** The routes of the connectors that are open, as tools, by name. A path with wildcards is no tool. */
export function toolsOf(connectors: Iterable<RouteTable>): ReadonlyMap<string, RouteTool> {
  const tools = new Map<string, RouteTool>();
  for (const { connector } of connectors) {
    if (connector.state !== 'active') continue;
    for (const route of connector.routes) {
      if (!isWritable(route)) continue;
      const words = route.path.replace(PATH_GROUP, '$1').replace(/[^A-Za-z0-9]+/g, '_');
      const plain = `${connector.id}.${route.method.toLowerCase()}${words}`.slice(0, NAME_LENGTH - 4);
      let name = plain;
      for (let number = 2; tools.has(name); number++) name = `${plain}_${number}`;
      tools.set(name, toolOf(name, connector, route));
    }
  }
  return tools;
}

function toolOf(name: string, connector: Connector, route: Route): RouteTool {
  const places = new Map<string, readonly ValueLocation[]>(Object.entries(route.parameters));
  const required = [...places]
    .filter(([, found]) => found.some(({ optional }) => !optional))
    .map(([key]) => key);
  for (const place of route.unchecked) {
    const wanted = place.in === 'body' ? (place.pointer.split('/').at(-1) ?? '') : place.name;
    const key = places.has(wanted) || wanted === '' ? `${place.in}_${wanted}` : wanted;
    places.set(key, [place]);
    if (!place.optional && place.in === 'path') required.push(key);
  }
  const properties = Object.fromEntries(
    [...places].map(([key, found]) => [key, propertyOf(found, !Object.hasOwn(route.parameters, key))]),
  );
  return {
    name,
    title: `${connector.title}: ${route.action}`,
    description:
      `${route.method} ${route.path} of ${connector.title}, the action ${route.action}. ` +
      'Without a mandate for these very values it answers what one takes.',
    inputSchema: { type: 'object', properties, required, additionalProperties: false },
    readOnly: READS.has(route.method),
    connector,
    route,
    places,
  };
}

function propertyOf(places: readonly ValueLocation[], isUnchecked: boolean): JsonObject {
  const [first] = places;
  const description = isUnchecked ? 'Sent as it is: nobody approves it.' : 'Part of what is approved.';
  return first?.type === undefined ? { description } : { type: first.type, description };
}

/** The HTTP call that a tool call means. Throws `parameter_not_approved`, `parameter_missing`, `parameter_malformed`. */
export function callOfTool({ route, inputSchema, places }: RouteTool, values: JsonObject): ToolCall {
  const unknown = Object.keys(values).find((name) => !places.has(name));
  if (unknown !== undefined) {
    throw new AtbError('parameter_not_approved', 'the tool has no such argument: see its input schema');
  }
  const missing = inputSchema.required.find((name) => !Object.hasOwn(values, name));
  if (missing !== undefined)
    throw new AtbError('parameter_missing', `the tool wants the argument ${missing}`);

  const own = Object.entries(values).filter(([name]) => Object.hasOwn(route.parameters, name));
  return { ...routeRequest(route, values, places), params: Object.fromEntries(own) };
}
