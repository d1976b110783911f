import { URLPattern } from 'urlpattern-polyfill';
import type { Connector, Route } from '../../domain/connector';
import { AtbError } from '../../domain/error';
import { decodeComponent } from '../../domain/request-target';

export interface RouteMatch {
  readonly route: Route;
  /** The path's named groups, decoded. */
  readonly path: ReadonlyMap<string, string>;
}

interface Compiled {
  readonly route: Route;
  readonly pattern: URLPattern;
}

/** The routes of one connector (URL Pattern Standard, pathnames; case counts). */
export class RouteTable {
  private readonly byMethod = new Map<string, Compiled[]>();

  /** Throws `configuration_invalid` for a pattern that is none, or one with a part that no parameter names. */
  constructor(readonly connector: Connector) {
    for (const route of connector.routes) {
      const compiled = { route, pattern: compile(connector, route) };
      const known = this.byMethod.get(route.method);
      if (known) known.push(compiled);
      else this.byMethod.set(route.method, [compiled]);
    }
  }

  /** The one route that does an action. Throws `reversal_not_possible` where there is none, or more than one. */
  routeOf(action: string): Route {
    const [route, ...others] = this.connector.routes.filter((known) => known.action === action);
    if (route && others.length === 0) return route;
    const many = route ? 'more than one route' : 'no route';
    throw new AtbError('reversal_not_possible', `the connector has ${many} for ${action}`);
  }

  /**
   * The one route of a method and a path (canonical, see parseRequestTarget). Throws `route_unknown`, and
   * `route_ambiguous` where two routes with different actions fit: neither is guessed.
   */
  match(method: string, pathname: string): RouteMatch {
    const found: RouteMatch[] = [];
    for (const { route, pattern } of this.byMethod.get(method) ?? []) {
      const groups = pattern.exec({ pathname })?.pathname.groups;
      if (!groups) continue;
      const path = new Map<string, string>();
      for (const [name, value] of Object.entries(groups))
        if (value !== undefined) path.set(name, decodeComponent(value));
      found.push({ route, path });
    }
    const [match, ...others] = found;
    if (!match) throw new AtbError('route_unknown', 'the connector has no such route');
    if (others.length > 0) throw new AtbError('route_ambiguous', 'more than one route of the connector fits');
    return match;
  }
}

function compile(connector: Connector, route: Route): URLPattern {
  let pattern: URLPattern;
  try {
    pattern = new URLPattern({ pathname: route.path });
  } catch (cause) {
    throw invalid(connector, route, 'its path is no URLPattern', cause);
  }
  const places = [...Object.values(route.parameters).flat(), ...route.unchecked];
  const named = new Set(places.flatMap((place) => (place.in === 'path' ? [place.name] : [])));
  const groups = groupsOf(route.path);
  const unnamed = groups.find((group) => !named.has(group));
  if (unnamed !== undefined)
    throw invalid(connector, route, `no parameter names the part ${unnamed} of its path`);
  const missing = [...named].find((name) => !groups.includes(name));
  if (missing !== undefined) throw invalid(connector, route, `its path has no part ${missing}`);
  if (route.body === 'none' && places.some((place) => place.in === 'body')) {
    throw invalid(connector, route, 'it takes no body, and has a parameter there');
  }
  return pattern;
}

/** The names of a pattern's groups; wildcards and bare expressions have numbers. */
function groupsOf(path: string): readonly string[] {
  let anonymous = 0;
  return [...path.matchAll(/:([A-Za-z_$][\w$]*)(?:\([^)]*\))?|\*|\([^)]*\)/g)].map(
    ([, name]) => name ?? String(anonymous++),
  );
}

function invalid(connector: Connector, route: Route, why: string, cause?: unknown): AtbError {
  return new AtbError(
    'configuration_invalid',
    `the route ${route.method} ${route.path} of the connector ${connector.id} cannot be used: ${why}`,
    { cause },
  );
}
