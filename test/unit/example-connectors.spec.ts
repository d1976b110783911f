import { loadConnectors } from '../../adapters/connector/definitions';
import { RouteTable } from '../../adapters/connector/route-table';
import { toolsOf } from '../../apps/broker/mcp/tools';
import catalogueCrm from '../../policy/data/catalogue/crm.json';
import catalogueErp from '../../policy/data/catalogue/erp.json';
import catalogueSap from '../../policy/data/catalogue/sap.json';
import crm from '../../apps/example-systems/crm.openapi.json';
import erp from '../../apps/example-systems/erp.openapi.json';

interface Documented {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Operation {
  readonly requestBody?: {
    readonly content: {
      readonly 'application/json': {
        readonly schema: { readonly properties: Readonly<Record<string, unknown>> };
      };
    };
  };
}

interface Action {
  readonly params: Readonly<Record<string, { readonly type: string }>>;
  readonly other_params?: boolean;
  readonly methods?: readonly string[];
}

const ACTIONS: Readonly<Record<string, Action>> = {
  ...catalogueCrm.actions,
  ...catalogueErp.actions,
  ...catalogueSap.actions,
};

describe.each<[string, Documented]>([
  ['erp', erp as unknown as Documented],
  ['crm', crm as unknown as Documented],
])('the connector %s', (id, document) => {
  const connector = loadConnectors('deploy/connectors').get(id);
  if (!connector) throw new Error(`there is no connector ${id}`);

  it('has routes that do not get in each other’s way', () => {
    expect(() => new RouteTable(connector)).not.toThrow();
  });

  it('leads exactly to what its system’s OpenAPI document offers', () => {
    const documented = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
    );
    expect(connector.routes.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(documented.sort());
  });

  it.each(connector.routes.map((route) => [`${route.method} ${route.path}`, route] as const))(
    '%s sends what the system takes, as what the catalogue knows',
    (_, route) => {
      const action = ACTIONS[route.action];
      const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
      const operation = document.paths[path]?.[route.method.toLowerCase()];
      const taken = Object.keys(operation?.requestBody?.content['application/json'].schema.properties ?? {});
      const sent = Object.values(route.parameters)
        .flat()
        .flatMap((place) => (place.in === 'body' ? [place.pointer.slice(1)] : []));
      expect(sent.sort()).toEqual(taken.sort());
      const unknown = Object.keys(route.parameters).filter((name) => !action?.params[name]);
      expect(action?.other_params === true ? [] : unknown).toEqual([]);
      expect(action?.methods ?? [route.method]).toContain(route.method);
    },
  );

  it('has tools whose arguments all have a type: a model that is told none guesses', () => {
    const tools = [...toolsOf([new RouteTable(connector)]).values()];
    expect(tools).toHaveLength(connector.routes.length);
    for (const { name, inputSchema } of tools) {
      const untyped = Object.entries(inputSchema.properties).filter(([, { type }]) => type === undefined);
      expect({ name, untyped }).toEqual({ name, untyped: [] });
    }
  });
});
