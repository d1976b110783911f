import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import connectorSchema from '../../adapters/connector/connector.schema.json';
import { ERROR_CODES, isErrorCode, isRetryable, statusOf } from '../../domain/error';
import * as spiffe from '../../adapters/spiffe';
import { LEAF_RULES } from '../../adapters/spiffe/x509-svid-rules';
import { knownMetrics } from '../support/known-metrics';
import type { KnownMetric } from '../support/known-metrics';

/** Attack 46: variables that nothing reads, and documents of what does not exist. */
describe('docs/configuration.md', () => {
  const read = new Set(
    sources(
      'apps/agentauth',
      'apps/worker',
      'apps/broker',
      'apps/example-systems',
      'apps/registration',
      'apps/log',
      'apps/operations',
      'apps/migration',
      'apps/temporal.ts',
      'apps/policy.ts',
      'apps/identity.ts',
      'apps/access-log.ts',
      'apps/tracing.ts',
    ).flatMap((text) =>
      [
        ...text.matchAll(
          /environment\s*\.(?:required|optional|text|integer|port|list|spiffeIds|flag|oneOf|httpUrl)\(\s*'((?:ATB|ALLOW|SPIFFE|OTEL)_[A-Z_]+)'/g,
        ),
      ].map(([, name]) => name ?? ''),
    ),
  );
  const documented = new Set(
    readFileSync('docs/configuration.md', 'utf8').match(/\b(?:ATB|ALLOW|SPIFFE|OTEL)_[A-Z_]+\b/g),
  );

  it('names every variable that the processes read', () => {
    expect([...read].filter((name) => !documented.has(name))).toEqual([]);
    expect(read.size).toBeGreaterThan(20);
  });

  it('names no variable that nothing reads', () => {
    const others = readsOfOpenTelemetry();
    expect([...documented].filter((name) => !read.has(name) && !others.has(name))).toEqual([]);
  });
});

describe('docs/spiffe.md', () => {
  const page = readFileSync('docs/spiffe.md', 'utf8');

  it('names the rules for a leaf as the code has them, in their order', () => {
    const rows = page.split('\n').map((line) => line.replaceAll(/\s+\|/g, ' |'));
    const rules = LEAF_RULES.map(({ rule, source }) => `| ${rule} | ${source} |`);
    expect(rows.filter((row) => rules.includes(row))).toEqual(rules);
  });

  it('offers nothing that the library does not', () => {
    const [table = ''] = /\| to do[^]*?\n\n/.exec(page) ?? [];
    const offered = [...table.matchAll(/`(\w+)`/g)].map(([, name]) => name ?? '');
    expect(offered.length).toBeGreaterThan(15);
    expect(offered.filter((name) => !(name in spiffe))).toEqual([]);
  });
});

/** Attack 46: reason codes that do not exist. */
describe('docs/identity.md', () => {
  it('explains codes that there are', () => {
    const codes = [...readFileSync('docs/identity.md', 'utf8').matchAll(/^\| `([a-z_]+)`/gm)].map(
      ([, code]) => code,
    );
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => !isErrorCode(code ?? ''))).toEqual([]);
  });
});

describe('docs/problems.md', () => {
  const rows = [
    ...readFileSync('docs/problems.md', 'utf8').matchAll(/^\| `([a-z0-9_]+)` +\| (\d+)(, again)? +\|/gm),
  ].map(([, code = '', status, again]) => ({ code, status: Number(status), again: again !== undefined }));
  const here = rows.map(({ code }) => code);

  it('says what to do about every code that the page of the broker does not have', () => {
    const broker = readFileSync('docs/broker.md', 'utf8');
    const elsewhere = [...broker.matchAll(/^\| `([a-z0-9_]+)` +\|/gm)].map(([, code]) => code);
    expect(ERROR_CODES.filter((code) => !here.includes(code) && !elsewhere.includes(code))).toEqual([]);
    expect(here).toEqual([...new Set(here)]);
  });

  it('says of each what status it has, and whether trying again can help', () => {
    expect(rows.filter(({ code }) => !isErrorCode(code))).toEqual([]);
    const known = ERROR_CODES.filter((code) => here.includes(code));
    const told = new Map(rows.map(({ code, ...row }) => [code, row]));
    for (const code of known) {
      expect({ code, ...told.get(code) }).toEqual({ code, status: statusOf(code), again: isRetryable(code) });
    }
  });
});

describe('docs/broker.md', () => {
  const explained = [...readFileSync('docs/broker.md', 'utf8').matchAll(/^\| `([a-z0-9_]+)` +\|/gm)]
    .map(([, code = '']) => code)
    .filter((code) => isErrorCode(code));

  it('explains every code that the broker refuses with, and none twice', () => {
    const text = sources(
      ...[
        'apps/broker',
        'apps/broker/checks',
        'apps/broker/gateway',
        'apps/broker/mcp',
        'adapters/upstream',
        'adapters/credential',
        'adapters/identity',
      ],
      ...[
        'adapters/connector/route-table.ts',
        'adapters/jose/mandate-jws.ts',
        'adapters/jose/jwks-source.ts',
      ],
      ...['adapters/postgres/redemptions.ts', 'adapters/postgres/revocation-watch.ts'],
      ...['domain/request-target.ts', 'domain/strict-json.ts', 'domain/redemption.ts'],
    ).join('\n');
    const refused = [...text.matchAll(/'([a-z0-9_]+)'/g)].map(([, code = '']) => code).filter(isErrorCode);
    expect([...new Set(refused)].filter((code) => !explained.includes(code))).toEqual([]);
    expect(explained).toEqual([...new Set(explained)]);
    expect(explained.length).toBeGreaterThan(50);
  });

  it('explains no code that the broker does not know', () => {
    const rows = [...readFileSync('docs/broker.md', 'utf8').matchAll(/^\| `([a-z0-9_]+)` +\|/gm)];
    const members = new Set(Object.keys(connectorSchema.properties));
    const unknown = rows
      .map(([, name = '']) => name)
      .filter((name) => !isErrorCode(name) && !members.has(name));
    expect(unknown).toEqual([]);
  });
});

/** Attack 46: metrics that do not exist. */
describe('docs/metrics.md', () => {
  it('lists each metric with its type, labels and processes, as the code has them, and no other', async () => {
    const [own = ''] = readFileSync('docs/metrics.md', 'utf8').split('## Metrics of others');
    const documented = new Map<string, KnownMetric>(
      [...own.matchAll(/^\| `(atb_\w+)` +\| (\w+) +\| ([^|]*)\| ([^|]*)\|/gm)].map(
        ([, name = '', type = '', labels = '', processes = '']) => [
          name,
          {
            type,
            labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
            processes: processes.trim().split(', '),
          },
        ],
      ),
    );
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(await knownMetrics()));
  });
});

/** What OpenTelemetry's packages read of the environment themselves. */
function readsOfOpenTelemetry(): ReadonlySet<string> {
  const folder = 'node_modules/@opentelemetry';
  const text = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /^(?:resources|sdk-trace-base|otlp-exporter-base)\/build\/src\/.*\.js$/.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  return new Set(text.match(/\bOTEL_[A-Z_]+\b/g));
}

function sources(...paths: string[]): string[] {
  return paths.flatMap((path) =>
    path.endsWith('.ts')
      ? [readFileSync(path, 'utf8')]
      : readdirSync(path)
          .filter((name) => name.endsWith('.ts'))
          .map((name) => readFileSync(join(path, name), 'utf8')),
  );
}
