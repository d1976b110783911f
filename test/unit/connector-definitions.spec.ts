import { readFileSync } from 'node:fs';
import { parseConnector } from '../../adapters/connector/definitions';
import { RouteTable } from '../../adapters/connector/route-table';
import { Egress } from '../../adapters/upstream/egress';
import type { JsonObject } from '../../domain/json';
import { parseStrictJson } from '../../domain/strict-json';

const FILE = 'deploy/connectors/erp.json';
const erp = parseStrictJson(readFileSync(FILE)) as JsonObject & {
  readonly routes: readonly JsonObject[];
  readonly upstream: JsonObject;
};
const [route] = erp.routes;

/** As a broker does at its start. */
const read = (changes: JsonObject) => {
  const connector = parseConnector(JSON.stringify({ ...erp, ...changes }), FILE);
  return { routes: new RouteTable(connector), egress: new Egress(connector) };
};
const withRoute = (changes: JsonObject) => read({ routes: [{ ...route, ...changes }] });
const refused = (work: () => unknown) => {
  expect(work).toThrow(expect.objectContaining({ code: 'configuration_invalid' }) as Error);
};

describe('a connector definition (operating model §2.4)', () => {
  it('is taken as it is delivered', () => {
    expect(() => read({})).not.toThrow();
  });

  it.each(['upstream', 'egress', 'data_classification', 'owner', 'state', 'routes'])(
    'has its %s',
    (member) => {
      const rest = Object.fromEntries(Object.entries(erp).filter(([name]) => name !== member));
      refused(() => parseConnector(JSON.stringify(rest), FILE));
    },
  );

  it('has no route without an action', () => {
    const nameless = Object.fromEntries(Object.entries(route ?? {}).filter(([name]) => name !== 'action'));
    refused(() => read({ routes: [nameless] }));
    refused(() => withRoute({ action: '' }));
  });
});

describe('what is written wrongly in one means nothing, least of all open (attack 34)', () => {
  it.each<[string, JsonObject]>([
    ['a member that there is not', { egres: [] }],
    ['a state with a typo', { state: 'Active' }],
    ['a classification that there is not', { data_classification: 'none' }],
    ['no host in the egress list', { egress: { allow: [{ host: '', port: 443 }] } }],
    ['no port in the egress list', { egress: { allow: [{ host: 'erp.corp.example' }] } }],
    ['addresses that are none', { egress: { allow: [], private_addresses: ['10.0.0.0/33'] } }],
    ['a way to treat secrets with a typo', { guardrails: { secrets: 'blok' } }],
    ['looking at answers as a text', { guardrails: { responses: 'false' } }],
    ['a word for Idempotency-Key that there is not', { idempotency_key: 'honored' }],
    ['an empty SPIFFE ID of the system', { upstream: { ...erp.upstream, spiffe_id: '' } }],
    ['a pattern for the SPIFFE ID of the system', { upstream: { ...erp.upstream, spiffe_id: 'spiffe://*' } }],
    ['plain http', { upstream: { ...erp.upstream, url: 'http://erp.corp.example/' } }],
    [
      'a name and a password in the URL',
      { upstream: { ...erp.upstream, url: 'https://a:b@erp.corp.example/' } },
    ],
  ])('%s', (_, changes) => {
    refused(() => read(changes));
  });

  it.each<[string, JsonObject]>([
    ['any method', { method: '*' }],
    ['a method in another case', { method: 'post' }],
    ['an action with a wildcard', { action: 'sap.*' }],
    ['an empty action', { action: '' }],
    ['a path without its slash', { path: 'payments' }],
    ['a path with a part that no parameter names', { path: '/payments/:id' }],
    ['a path with a wildcard that no parameter names', { path: '/payments/*' }],
    [
      'a value where the mandate stands',
      { parameters: {}, unchecked: [{ in: 'header', name: 'Authorization' }] },
    ],
    ['a parameter in a header that is none', { parameters: { amount: [{ in: 'header', name: 'a b' }] } }],
    ['a parameter in a place that there is not', { parameters: { amount: [{ in: 'cookie', name: 'a' }] } }],
    [
      'a parameter of a type that there is not',
      { parameters: { amount: [{ in: 'query', name: 'a', type: 'any' }] } },
    ],
  ])('a route with %s', (_, changes) => {
    refused(() => withRoute(changes));
  });
});
