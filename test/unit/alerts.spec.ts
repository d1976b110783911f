import incidents from '../../policy/data/incidents.json';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { processSurroundings } from '../../apps/atb/output';
import { createProgram } from '../../apps/atb/program';
import { AUDIT_EVENT_TYPES } from '../../domain/audit-event';
import { ERROR_CODES, statusOf } from '../../domain/error';
import { foreignMetrics, knownMetrics } from '../support/known-metrics';

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const FOLDER = 'deploy/prometheus';
const rules = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.rules.yml'))
  .flatMap((name) => {
    const { groups } = parse(readFileSync(join(FOLDER, name), 'utf8')) as { groups: { rules: Rule[] }[] };
    return groups.flatMap((group) => group.rules);
  });
const alerts = rules.filter(({ alert }) => alert !== undefined);
const recorded = new Set(rules.flatMap(({ record }) => record ?? []));

/** The selectors of an expression: a metric's name, and its matchers, as written. */
function selectorsOf(expr: string): readonly { readonly metric: string; readonly matchers: string }[] {
  const words = new Set(['and', 'or', 'unless', 'by', 'without', 'on', 'ignoring', 'offset', 'bool']);
  // Names of labels stand in parentheses after `by`; names of functions before one.
  const bare = expr
    .replaceAll(/\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ');
  return [...bare.matchAll(/(?<![\w:"])([a-zA-Z_:][\w:]*)(?![\w:])\s*(\{[^}]*\})?(?!\s*\()/g)]
    .map(([, metric = '', matchers = '']) => ({ metric, matchers }))
    .filter(({ metric }) => !words.has(metric));
}

const dashboards = readdirSync('deploy/grafana').map((name) => ({
  name,
  document: JSON.parse(readFileSync(join('deploy/grafana', name), 'utf8')) as {
    panels: { title: string; targets: { expr: string; legendFormat: string }[] }[];
  },
}));

describe('alerts and dashboards name only what is told (attack 45)', () => {
  let labelsOf: (metric: string) => readonly string[] | undefined;

  beforeAll(async () => {
    const [own, foreign] = await Promise.all([knownMetrics(), foreignMetrics()]);
    labelsOf = (metric) => {
      const base = metric.replace(/_(?:bucket|count|sum)$/, '');
      const known = own.get(metric) ?? (own.get(base)?.type === 'histogram' ? own.get(base) : undefined);
      if (known) return [...known.labels, 'job', 'instance', ...(metric.endsWith('_bucket') ? ['le'] : [])];
      const others = foreign.get(metric) ?? foreign.get(base);
      if (others) return [...others, 'job', 'instance', 'le'];
      return recorded.has(metric) ? [] : undefined;
    };
  });

  const faultsOf = (expr: string): string[] =>
    selectorsOf(expr).flatMap(({ metric, matchers }) => {
      const labels = labelsOf(metric);
      if (!labels) return [`${metric} is told by nobody`];
      return [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)]
        .map(([, label = '']) => label)
        .filter((label) => !labels.includes(label))
        .map((label) => `${metric} has no label ${label}`);
    });

  it('finds what is not told', () => {
    expect(faultsOf('sum by (tier) (rate(atb_no_such_total{type="x"}[5m])) > 3')).toEqual([
      'atb_no_such_total is told by nobody',
    ]);
    expect(faultsOf('atb_log_size{colour="red"} > 1 and up == 0')).toEqual([
      'atb_log_size has no label colour',
    ]);
    expect(
      selectorsOf('sum by (le) (rate(a_b{c="d"}[5m])) > (slo:x:y5m or vector(0))').map(
        ({ metric }) => metric,
      ),
    ).toEqual(['a_b', 'slo:x:y5m']);
  });

  it.each(rules.map((rule): [string, Rule] => [rule.alert ?? rule.record ?? '', rule]))(
    '%s',
    (_, { expr }) => {
      expect(selectorsOf(expr).length).toBeGreaterThan(0);
      expect(faultsOf(expr)).toEqual([]);
    },
  );

  it.each(dashboards)('dashboard $name', ({ document }) => {
    const targets = document.panels.flatMap((panel) => panel.targets);
    expect(targets.length).toBeGreaterThan(5);
    for (const { expr, legendFormat } of targets) {
      expect(faultsOf(expr)).toEqual([]);
      const kept =
        /by \(([^)]*)\)/.exec(expr)?.[1]?.split(/,\s*/) ?? labelsOf(selectorsOf(expr)[0]?.metric ?? '') ?? [];
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) expect(kept).toContain(label);
    }
  });

  it('and so do runbooks', () => {
    const asked = readdirSync('docs/runbooks').flatMap((page) =>
      [...readFileSync(join('docs/runbooks', page), 'utf8').matchAll(/`([^`]*\batb_[^`]*)`/g)].map(
        ([, expr = '']) => expr,
      ),
    );
    expect(asked.length).toBeGreaterThan(5);
    expect(asked.flatMap(faultsOf)).toEqual([]);
  });

  it('name types of events that there are, and take for the broker’s own faults what is answered with 5xx', () => {
    const exprs = [
      ...rules,
      ...dashboards.flatMap(({ document }) => document.panels.flatMap(({ targets }) => targets)),
    ];
    const types = exprs.flatMap(({ expr }) =>
      [...expr.matchAll(/\btype=~?"([a-z_|]+)"/g)].flatMap(([, named = '']) => named.split('|')),
    );
    expect(types.length).toBeGreaterThan(5);
    expect(types.filter((type) => !(AUDIT_EVENT_TYPES as readonly string[]).includes(type))).toEqual([]);
    const own = /^(?:internal|[a-z_]+_unavailable)$/;
    expect(rules.find(({ record }) => record === 'slo:atb_broker_errors:ratio_rate5m')?.expr).toContain(
      'outcome=~"internal|[a-z_]+_unavailable"',
    );
    expect(ERROR_CODES.filter((code) => own.test(code) && statusOf(code) < 500)).toEqual([]);
  });
});

describe('each alert', () => {
  const cases = readdirSync(join(FOLDER, 'tests')).flatMap((name) => {
    const { tests } = parse(readFileSync(join(FOLDER, 'tests', name), 'utf8')) as {
      tests: { promql_expr_test: { expr: string; exp_samples: object[] }[] }[];
    };
    return tests.flatMap((test) => test.promql_expr_test);
  });
  const names = [...new Set(alerts.map(({ alert }) => alert ?? ''))];

  it('is one of more than a dozen, those of operating model §5 among them', () => {
    expect(names.length).toBeGreaterThan(12);
    const P1 = alerts.filter(({ labels }) => labels?.severity === 'P1').map(({ alert }) => alert);
    expect(P1).toEqual(
      expect.arrayContaining([
        'ATBSecurityPolicyDenialSpike',
        'ATBSingleUseReplayRepeated',
        'ATBPromptInjectionBlocked',
      ]),
    );
  });

  it.each(names)('%s has a test that makes it fire, and one that keeps it quiet', (name) => {
    const own = cases.filter(({ expr }) => expr.includes(`alertname="${name}"`));
    expect(own.some(({ exp_samples }) => exp_samples.length > 0)).toBe(true);
    expect(own.some(({ exp_samples }) => exp_samples.length === 0)).toBe(true);
  });

  it.each(alerts)(
    '$alert has a severity, a team, and a runbook that is there',
    ({ alert, labels, annotations }) => {
      expect(labels?.severity).toMatch(/^P[1-4]$/);
      const contacts = JSON.parse(readFileSync('policy/data/contacts.json', 'utf8')) as object;
      expect(Object.keys(contacts)).toContain(labels?.team);
      expect(annotations?.summary).toMatch(/\.$/);
      expect(annotations?.runbook_url).toBe(`docs/runbooks/${alert ?? ''}.md`);
      expect(existsSync(annotations?.runbook_url ?? '')).toBe(true);
    },
  );

  it('is as grave as the kind of incident that has its name, and its group is of one severity', () => {
    const kinds = incidents.kinds as Readonly<Record<string, { readonly severity: string }>>;
    const named = alerts.filter(({ alert }) => alert !== undefined && alert in kinds);
    expect(named.length).toBeGreaterThan(0);
    for (const { alert = '', labels } of named) expect(labels?.severity).toBe(kinds[alert]?.severity);
    const { route } = parse(readFileSync(join(FOLDER, 'alertmanager.yml'), 'utf8')) as {
      route: { group_by: string[] };
    };
    expect(route.group_by).toEqual(['alertname', 'severity']);
  });

  it('has its page in the list, and no page is of an alert that is none', () => {
    const pages = readdirSync('docs/runbooks').filter((name) => name.startsWith('ATB'));
    expect(pages.sort()).toEqual(names.map((name) => `${name}.md`).sort());
    const index = readFileSync('docs/runbooks/README.md', 'utf8');
    expect(pages.filter((page) => !index.includes(`(${page})`))).toEqual([]);
  });
});

/** Attack 46: commands that do not exist. */
describe('runbooks', () => {
  const program = createProgram(processSurroundings());

  it.each(readdirSync('docs/runbooks'))('%s names commands and options that there are', (page) => {
    const text = readFileSync(join('docs/runbooks', page), 'utf8');
    const commands = [...text.matchAll(/`atb ([^`]+)`/g)].map(([, command = '']) => command);
    if (page.startsWith('ATB')) expect(text).toContain('## First look');
    for (const command of commands) expect(faultOf(command)).toBeNull();
  });

  it('would tell of a command that is not there', () => {
    expect(faultOf('audit rewrite')).toContain('rewrite');
    expect(faultOf('ls --colour red')).toContain('--colour');
    expect(faultOf('audit ls --type poa_denial')).toContain('poa_denial');
  });

  function faultOf(line: string): string | null {
    const words = line.split(' ');
    let here = program;
    for (let word = words.shift(); word !== undefined; word = words.shift()) {
      if (word.startsWith('--')) {
        const option = here.options.find(({ long }) => long === word);
        if (!option) return `${line}: there is no option ${word}`;
        const value = option.required ? words.shift() : undefined;
        if (word === '--type' && !(AUDIT_EVENT_TYPES as readonly string[]).includes(value ?? ''))
          return `no event ${value ?? ''}`;
        continue;
      }
      const name = word;
      const below = here.commands.find((command) => command.name() === name);
      if (below) here = below;
      else if (here.commands.length > 0 && here.registeredArguments.length === 0)
        return `${line}: there is no ${word}`;
    }
    return null;
  }
});

it('every kind of incident has a page, and stands in the list', () => {
  const index = readFileSync('docs/runbooks/README.md', 'utf8');
  for (const kind of Object.keys(incidents.kinds)) {
    expect(index).toContain(`[${kind}](${kind}.md)`);
    const page = readFileSync(`docs/runbooks/${kind}.md`, 'utf8');
    expect(page).toContain('## The way back');
    expect(page).toContain('## It is over when');
  }
});
