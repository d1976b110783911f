// What one file says about another: names must lead somewhere, and nobody deputises in a circle.

/** Everything in the data that no schema of a single file can see, as `{ place, detail }`. */
export function crossFaults({ data, placeOf }) {
  const faults = [];
  const fault = (path, detail) => faults.push({ place: placeOf(...path), detail });
  for (const check of [heldRoles, knownPersons, deputies, ceilingNames]) check(data, fault);
  return faults;
}

/** A role that nobody holds can never be satisfied: whoever waits for it waits for ever. */
function heldRoles({ directory, tiers, escalation }, fault) {
  const held = new Set(Object.values(directory.persons).flatMap(({ roles }) => roles));
  // A queue of tickets is told, not asked.
  held.add('ticket_queue');
  const need = (roles, path) => {
    roles.forEach((role, index) => {
      if (!held.has(role)) fault([...path, index], `nobody in the directory holds the role ${role}`);
    });
  };
  for (const [name, tier] of Object.entries(tiers)) {
    need(tier.approver_roles, ['tiers', name, 'approver_roles']);
    need(tier.release_roles, ['tiers', name, 'release_roles']);
  }
  for (const [severity, { ladder }] of Object.entries(escalation)) {
    ladder.forEach((roles, rung) => need(roles, ['escalation', severity, 'ladder', rung]));
  }
}

function knownPersons({ directory, agents }, fault) {
  const known = (id, path) => {
    if (id !== undefined && !Object.hasOwn(directory.persons, id))
      fault(path, `${id} is not in the directory`);
  };
  for (const [id, { deputy_for: principal }] of Object.entries(directory.persons))
    known(principal, ['directory', 'persons', id, 'deputy_for']);
  for (const [id, { owner, deployed_by: deployer }] of Object.entries(agents)) {
    known(owner, ['agents', id, 'owner']);
    known(deployer, ['agents', id, 'deployed_by']);
  }
}

/** Deputies of deputies, and circles above all, would make one person of many, or nobody of them. */
function deputies({ directory: { persons } }, fault) {
  for (const start of Object.keys(persons)) {
    const chain = [start];
    for (let next = persons[start].deputy_for; next !== undefined; next = persons[next]?.deputy_for) {
      if (next === start) {
        fault(
          ['directory', 'persons', start, 'deputy_for'],
          `deputies in a circle: ${[...chain, next].join(' → ')}`,
        );
        break;
      }
      if (chain.includes(next)) break;
      chain.push(next);
    }
  }
}

/** A bound that is a name is one of the action's own ceilings. */
function ceilingNames({ catalogue }, fault) {
  for (const [name, { params = {}, ceilings = {} }] of Object.entries(catalogue.actions)) {
    for (const [param, rule] of Object.entries(params)) {
      for (const bound of ['min', 'max', 'in']) {
        const named = rule[bound];
        if (typeof named === 'string' && !Object.hasOwn(ceilings, named)) {
          fault(['catalogue', name, 'params', param, bound], `${named} is no ceiling of ${name}`);
        }
      }
    }
  }
}
