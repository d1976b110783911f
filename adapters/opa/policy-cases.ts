import { isJsonObject } from '../../domain/json';
import type { Json, JsonObject } from '../../domain/json';

/** One question to policy, in the words of the rules. */
export interface PolicyCase {
  readonly name: string;
  readonly input: JsonObject;
}

// A fixed Wednesday noon: what depends on the time must not differ between two looks.
const NOW = 1_772_625_600;

/**
 * Cases from policy's own data: every action by every agent and by a stranger, in the situations that rules tell apart.
 * Two policies, or two engines, are compared over them; they say nothing about what the answer should be.
 */
export function policyCases(data: JsonObject): PolicyCase[] {
  const actions = member(member(data, 'catalogue'), 'actions');
  const agents = Object.keys(member(member(data, 'directory'), 'agents'));
  const named = agents.length > 0 ? agents : Object.keys(member(data, 'agents'));
  const people = Object.entries(member(member(data, 'directory'), 'persons'));
  const cases: PolicyCase[] = [];
  for (const [action, entry] of [...Object.entries(actions), ['no.such.action', {}] as const]) {
    const situations = situationsOf(isJsonObject(entry) ? entry : {}, people);
    for (const agent of [...named, 'spiffe://corp.example/agent/stranger']) {
      for (const [situation, context] of Object.entries(situations)) {
        cases.push({
          name: `${agent.split('/').at(-1) ?? agent} ${action}: ${situation}`,
          input: { subject: { id: agent }, action: { name: action }, context: { ...PLAIN, ...context } },
        });
      }
    }
  }
  return cases;
}

const PLAIN: JsonObject = {
  params: {},
  limits: {},
  leg: {
    jurisdiction: 'EU',
    accountable_party: { type: 'employee', id: 'emp-200' },
    basis: 'CONTRACT',
    ref: 'MSA-12345',
  },
  ticket: null,
  ticket_fact: null,
  requires_dual_control: false,
  approvers: [],
  ttl_seconds: null,
  verdicts: [],
  climbed: [],
  now: NOW,
  time: { weekday: 3, minute_of_day: 720, date: '2026-03-04' },
};

function situationsOf(action: JsonObject, people: readonly [string, Json][]): Record<string, JsonObject> {
  const params = exampleParams(action);
  const ticket = { ticket: 'CHG-1001', ticket_fact: { id: 'CHG-1001', state: 'open' } };
  const ceilings = member(action, 'ceilings');
  return {
    'nothing said': {},
    'plausible parameters': { params, ...ticket },
    'another legal ground': {
      params,
      ...ticket,
      leg: { basis: 'LEGAL', ref: 'GDPR-Art17', jurisdiction: 'EU' },
    },
    'extreme parameters': { params: extremeParams(params), ...ticket },
    'ceilings asked as they are': { params, ...ticket, limits: ceilings },
    'ceilings asked wider': { params, ...ticket, limits: extremeParams(ceilings) },
    'the lifetime of a minute, dual control': {
      params,
      ...ticket,
      ttl_seconds: 60,
      requires_dual_control: true,
    },
    'everybody approved': {
      params,
      ...ticket,
      verdicts: verdictsOf(people, Object.keys(member(action, 'params'))),
    },
    'the whole ladder climbed': {
      params,
      ...ticket,
      climbed: [1, 2, 3].map((rung) => ({ rung, waited_seconds: 1_000_000 })),
    },
    'limits that are a list': { params, ...ticket, limits: [] },
  };
}

function verdictsOf(people: readonly [string, Json][], attests: readonly string[]): Json[] {
  return people.flatMap(([by, person]) => {
    const roles =
      isJsonObject(person) && Array.isArray(person.roles) ? (person.roles as readonly Json[]) : [];
    const word = roles.includes('ciso') ? 'release' : 'approve';
    return roles.slice(0, 1).map((role) => ({
      ...{ jti: `${by}/${word}`, by, certificate: by, verdict: word, role, attests, reasoned: true },
      ...{ issued_at: NOW - 60, received_at: NOW - 50 },
    }));
  });
}

/** A value of each parameter that its own bounds allow. */
function exampleParams(action: JsonObject): JsonObject {
  const ceilings = member(action, 'ceilings');
  return Object.fromEntries(
    Object.entries(member(action, 'params')).map(([name, rule]) => [
      name,
      exampleOf(isJsonObject(rule) ? rule : {}, ceilings),
    ]),
  );
}

function exampleOf(rule: JsonObject, ceilings: JsonObject): Json {
  const { type, min, exclusive_min: above, equals, format, pattern, min_length: least } = rule;
  const allowed = typeof rule.in === 'string' ? ceilings[rule.in] : rule.in;
  const [first] = Array.isArray(allowed) ? (allowed as readonly Json[]) : [];
  if (first !== undefined) return first;
  if (type === 'number' || type === 'integer') {
    if (typeof above === 'number') return above + 1;
    const lowest = typeof min === 'string' ? ceilings[min] : min;
    return typeof lowest === 'number' ? lowest : 1;
  }
  if (type === 'boolean') return equals ?? true;
  if (format === 'date') return '2026-03-04';
  if (typeof pattern === 'string')
    return pattern.startsWith('^arn') ? 'arn:aws:iam::aws:policy/ReadOnly' : 'EUR';
  return 'example-1'.padEnd(typeof least === 'number' ? least : 0, '.');
}

function extremeParams(params: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(params).map(([name, value]): [string, Json] => {
      if (typeof value === 'number') return [name, 1e15];
      if (typeof value === 'boolean') return [name, !value];
      return [name, Array.isArray(value) ? ['*'] : ''];
    }),
  );
}

function member(value: Json | undefined, name: string): JsonObject {
  const found = isJsonObject(value) ? value[name] : undefined;
  return isJsonObject(found) ? found : {};
}
