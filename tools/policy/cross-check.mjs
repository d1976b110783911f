// What one file says about another: names must lead somewhere, and nobody deputises in a circle.

/** Everything in the data that no schema of a single file can see, as `{ place, detail }`. */
export function crossFaults({ data, placeOf }) {
  const faults = [];
  const fault = (path, detail) => faults.push({ place: placeOf(...path), detail });
  for (const check of CHECKS) check(data, fault);
  return faults;
}

const CHECKS = [
  roles,
  people,
  deputies,
  breakGlass,
  teams,
  agents,
  actions,
  constraints,
  legalGrounds,
  context,
  velocity,
  signOffs,
  incidents,
  changes,
  reversals,
];

/** A role that nobody holds can never be satisfied: whoever waits for it waits for ever. */
function roles({ directory, tiers, escalation }, fault) {
  const held = new Set(Object.values(directory.persons).flatMap((person) => person.roles));
  // A queue of tickets is told, not asked.
  held.add('ticket_queue');
  const need = (names, path) => {
    names.forEach((role, index) => {
      if (!held.has(role)) fault([...path, index], `nobody in the directory holds the role ${role}`);
    });
  };
  for (const [name, tier] of Object.entries(tiers)) {
    need(tier.approver_roles, ['tiers', name, 'approver_roles']);
    need(tier.escalated_roles ?? [], ['tiers', name, 'escalated_roles']);
    need(tier.release_roles, ['tiers', name, 'release_roles']);
  }
  for (const [severity, { ladder }] of Object.entries(escalation)) {
    ladder.forEach((rung, index) => need(rung, ['escalation', severity, 'ladder', index]));
  }
  for (const [id, person] of Object.entries(directory.persons)) {
    person.roles.forEach((role, index) => {
      if (!has(directory.roles, role))
        fault(['directory', 'persons', id, 'roles', index], `${role} is no role`);
    });
  }
}

/** Each step leads to people, each step before it is one, and each kind of proposal is somebody's activity. */
function signOffs({ directory, raci, sign_offs: kinds, probes }, fault) {
  const held = new Set(Object.values(directory.persons).flatMap((person) => person.roles));
  probes.roles.forEach((role, n) => {
    if (!held.has(role)) fault(['probes', 'roles', n], `nobody in the directory holds the role ${role}`);
  });
  for (const [kind, { activity, steps }] of Object.entries(kinds)) {
    if (activity !== null && !has(raci, activity))
      fault(['sign_offs', kind, 'activity'], `${activity} is no activity of the RACI matrix`);
    steps.forEach(({ roles: eligible, after }, index) => {
      const at = ['sign_offs', kind, 'steps', index];
      eligible.forEach((role, n) => {
        if (!held.has(role)) fault([...at, 'roles', n], `nobody in the directory holds the role ${role}`);
      });
      const before = new Set(steps.slice(0, index).map(({ name }) => name));
      after.forEach((name, n) => {
        if (!before.has(name)) fault([...at, 'after', n], `${name} is no step before this one`);
      });
    });
  }
}

/** Changes are somebody's activity, and whoever is paged is somebody. */
function changes({ directory, raci, changes: { activity, paged_roles: paged } }, fault) {
  const held = new Set(Object.values(directory.persons).flatMap((person) => person.roles));
  if (!has(raci, activity)) fault(['changes', 'activity'], `${activity} is no activity of the RACI matrix`);
  if (!paged.some((role) => held.has(role)))
    fault(['changes', 'paged_roles'], 'nobody in the directory holds one of these roles');
}

/** Every word on an incident can be said by somebody, and what opens one opens one of a kind that there is. */
function incidents({ directory, raci, incidents: { activity, steps, kinds, watch } }, fault) {
  if (!has(raci, activity)) fault(['incidents', 'activity'], `${activity} is no activity of the RACI matrix`);
  watch.rules.forEach(({ kind }, index) => {
    if (!has(kinds, kind))
      fault(['incidents', 'watch', 'rules', index, 'kind'], `${kind} is no kind of incident`);
    if (/^drill(_|$)/.test(kind))
      fault(['incidents', 'watch', 'rules', index, 'kind'], 'what the log tells is no drill');
  });
  const held = new Set(Object.values(directory.persons).flatMap((person) => person.roles));
  for (const [step, eligible] of Object.entries(steps)) {
    if (!eligible.some((role) => held.has(role)))
      fault(['incidents', 'steps', step], 'nobody in the directory holds one of these roles');
  }
}

function people({ directory, agents: known }, fault) {
  const { persons, aliases } = directory;
  const person = (id, path) => {
    if (id !== undefined && !has(persons, id)) fault(path, `${id} is not in the directory`);
  };
  for (const [id, { deputy_for: principal, absent }] of Object.entries(persons)) {
    person(principal, ['directory', 'persons', id, 'deputy_for']);
    absent.forEach(({ from, until }, index) => {
      if (until < from)
        fault(['directory', 'persons', id, 'absent', index], 'the absence ends before it begins');
    });
  }
  for (const [alias, id] of Object.entries(aliases)) {
    person(id, ['directory', 'aliases', alias]);
    if (has(persons, alias)) fault(['directory', 'aliases', alias], `${alias} is somebody, and so no alias`);
  }
  for (const [id, { owner, deployed_by: deployer }] of Object.entries(known)) {
    person(owner, ['agents', id, 'owner']);
    person(deployer, ['agents', id, 'deployed_by']);
  }
}

/** A circle would make one person of many, or nobody of them. */
function deputies({ directory: { persons } }, fault) {
  for (const start of Object.keys(persons)) {
    const chain = [start];
    for (let next = persons[start].deputy_for; next !== undefined; next = persons[next]?.deputy_for) {
      if (next === start) {
        const circle = [...chain, next].join(' → ');
        fault(['directory', 'persons', start, 'deputy_for'], `deputies in a circle: ${circle}`);
        break;
      }
      if (chain.includes(next)) break;
      chain.push(next);
    }
  }
}

/** Nobody is let in by a role that approves anyway, and there have to be enough of them. */
function breakGlass({ break_glass: { role, tiers: open, people }, directory, tiers }, fault) {
  if (role === null) return;
  const held = Object.values(directory.persons).filter(({ roles }) => roles.includes(role));
  if (held.length < people)
    fault(['break_glass', 'role'], `only ${held.length} hold ${role}, and it takes ${people}`);
  for (const name of open) {
    const {
      approver_roles: approvers,
      escalated_roles: escalated = [],
      release_roles: releasers,
    } = tiers[name];
    if ([...approvers, ...escalated, ...releasers].includes(role))
      fault(['break_glass', 'role'], `${role} may approve or release what is ${name} anyway`);
  }
}

function teams({ directory, raci, contacts, tiers }, fault) {
  const team = (name, path) => {
    if (!has(directory.teams, name)) fault(path, `${name} is no team of the directory`);
  };
  for (const list of ['teams_that_may_reject', 'teams_that_may_revoke'])
    directory[list].forEach((name, index) => team(name, ['directory', list, index]));
  for (const [id, person] of Object.entries(directory.persons))
    team(person.team, ['directory', 'persons', id, 'team']);
  for (const name of Object.keys(contacts)) team(name, ['contacts', name]);
  const members = new Set(Object.values(directory.persons).map(({ team: own }) => own));
  for (const [activity, { teams: letters }] of Object.entries(raci)) {
    for (const name of Object.keys(letters)) {
      team(name, ['raci', activity, 'teams', name]);
      if (!has(contacts, name)) fault(['raci', activity, 'teams', name], `${name} has no contact`);
      if (letters[name] === 'C' && !members.has(name))
        fault(['raci', activity, 'teams', name], `nobody of the directory could answer for ${name}`);
    }
    if (!Object.values(letters).includes('R')) fault(['raci', activity], 'nobody is responsible (R)');
  }
  for (const [name, { activities }] of Object.entries(tiers)) {
    activities.forEach((activity, index) => {
      if (!has(raci, activity))
        fault(['tiers', name, 'activities', index], `${activity} is not in raci.json`);
    });
  }
}

function agents({ agents: known, catalogue }, fault) {
  for (const [id, { ceilings }] of Object.entries(known)) {
    for (const [action, own] of Object.entries(ceilings)) {
      const entry = catalogue.actions[action];
      if (!entry) {
        fault(['agents', id, 'ceilings', action], `${action} is not in the catalogue`);
        continue;
      }
      for (const [name, value] of Object.entries(own)) {
        const path = ['agents', id, 'ceilings', action, name];
        if (!has(entry.ceilings, name)) fault(path, `${name} is no ceiling of ${action}`);
        else if (kindOf(value) !== kindOf(entry.ceilings[name]))
          fault(path, `${name} must be a ${kindOf(entry.ceilings[name])}`);
      }
    }
  }
}

function actions({ catalogue }, fault) {
  for (const [name, entry] of Object.entries(catalogue.actions)) {
    const at = (...path) => ['catalogue', name, ...path];
    if (entry.reversed_by !== undefined) {
      if (!has(catalogue.actions, entry.reversed_by))
        fault(at('reversed_by'), `${entry.reversed_by} is not in the catalogue`);
      if (!entry.reversible) fault(at('reversible'), 'what another action reverses is reversible');
      const reversing = Object.entries(catalogue.actions[entry.reversed_by]?.params ?? {});
      const attested = reversing.find(([, param]) => param.attested);
      if (attested)
        fault(
          at('reversed_by'),
          `${entry.reversed_by} needs somebody's word for ${attested[0]}: nobody can give it`,
        );
    }
    if (entry.tier !== 'low' && entry.other_params)
      fault(at('other_params'), 'only a read of the low tier may take parameters that are not declared');
    for (const [index, refusal] of (entry.refuse ?? []).entries()) {
      if (!has(entry.ceilings, refusal.unless))
        fault(at('refuse', index, 'unless'), `${refusal.unless} is no ceiling of ${name}`);
      for (const [position, condition] of refusal.when.entries()) {
        const path = at('refuse', index, 'when', position);
        if (!has(entry.params, condition.param)) fault(path, `${condition.param} is no parameter of ${name}`);
        if (condition.in !== undefined && !Array.isArray(entry.ceilings[condition.in]))
          fault(path, `${condition.in} is no list among the ceilings of ${name}`);
      }
    }
    for (const [index, way] of (entry.one_of?.ways ?? []).entries())
      for (const param of Object.keys(way))
        if (!has(entry.params, param))
          fault(at('one_of', 'ways', index), `${param} is no parameter of ${name}`);
  }
}

function reversals({ reversal }, fault) {
  if (reversal.reserve_seconds >= reversal.ttl_seconds)
    fault(['reversal', 'reserve_seconds'], 'it leaves the action itself no time');
}

/** Which kinds of bounds a type can have. */
const BOUNDS = {
  string: ['min_length', 'max_length', 'pattern', 'format', 'in'],
  number: ['min', 'max', 'exclusive_min', 'decimals', 'measures', 'unit'],
  integer: ['min', 'max', 'exclusive_min', 'measures', 'unit'],
  boolean: [],
};

/** A bound that is a name is one of the action's own ceilings, of the kind that can bound it. */
function constraints({ catalogue, params: { common } }, fault) {
  const all = Object.values(BOUNDS).flat();
  for (const [name, { params, ceilings }] of Object.entries(catalogue.actions)) {
    for (const [param, rule] of Object.entries(params)) {
      const at = (...path) => ['catalogue', name, 'params', param, ...path];
      if (has(common, param)) fault(at(), `${param} is declared for every action already`);
      for (const bound of all)
        if (rule[bound] !== undefined && !BOUNDS[rule.type].includes(bound))
          fault(at(bound), `a ${rule.type} has no ${bound}`);
      for (const bound of ['min', 'max'])
        if (typeof rule[bound] === 'string' && typeof ceilings[rule[bound]] !== 'number')
          fault(at(bound), `${rule[bound]} is no number among the ceilings of ${name}`);
      if (typeof rule.in === 'string' && !Array.isArray(ceilings[rule.in]))
        fault(at('in'), `${rule.in} is no list among the ceilings of ${name}`);
      if (rule.pattern !== undefined && !isPattern(rule.pattern)) fault(at('pattern'), 'this is no pattern');
    }
  }
}

function legalGrounds({ catalogue, templates, legal_bases: bases }, fault) {
  const known = Object.entries(templates).map(([name, { basis }]) => [basis, name]);
  const byBasis = new Map(known);
  for (const [basis, name] of known)
    if (byBasis.get(basis) !== name) fault(['templates', name, 'basis'], `${basis} has two templates`);
  for (const [name, template] of Object.entries(templates))
    for (const claim of [...template.required, ...template.optional]) {
      if (!has(bases.claims, claim)) fault(['templates', name], `${claim} is no claim of legal-bases.json`);
      if (!has(template.fields, claim)) fault(['templates', name], `${claim} is not described in fields`);
    }
  for (const [tier, claims] of Object.entries(bases.required))
    claims.forEach((claim, index) => {
      if (!has(bases.claims, claim)) fault(['legal_bases', 'required', tier, index], `${claim} is no claim`);
    });
  for (const [name, entry] of Object.entries(catalogue.actions))
    entry.legal_bases.forEach((basis, index) => {
      if (!byBasis.has(basis)) fault(['catalogue', name, 'legal_bases', index], `${basis} has no template`);
    });
}

function context(
  { calendar, context: { other_tenant: tenant, outside_business_hours: raises }, params },
  fault,
) {
  try {
    new Intl.DateTimeFormat('en', { timeZone: calendar.time_zone });
  } catch {
    fault(['calendar', 'time_zone'], `${calendar.time_zone} is no time zone`);
  }
  for (const [day, { from_minute: from, until_minute: until }] of Object.entries(calendar.business_hours))
    if (until <= from) fault(['calendar', 'business_hours', day], 'it closes before it opens');
  tenant.params.forEach((name, index) => {
    if (!has(params.common, name))
      fault(['context', 'other_tenant', 'params', index], `${name} is in no params.json`);
  });
  const ranks = ['low', 'medium', 'high', 'critical'];
  for (const [from, to] of Object.entries(raises))
    if (ranks.indexOf(to) < ranks.indexOf(from))
      fault(['context', 'outside_business_hours', from], `a tier is never lowered, to ${to}`);
}

function velocity({ velocity: rules, catalogue }, fault) {
  rules.forEach((rule, index) => {
    for (const action of rule.for?.actions ?? [])
      if (!has(catalogue.actions, action))
        fault(['velocity', index, 'for'], `${action} is not in the catalogue`);
  });
}

const has = (object, name) => Object.hasOwn(object, name);

const kindOf = (value) => (Array.isArray(value) ? 'list' : typeof value);

function isPattern(text) {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}
