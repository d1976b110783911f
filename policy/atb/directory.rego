# Who is who. Data: directory.persons, agents (operating model §1).
package atb.directory

# Of another trust domain only who is named, and only where its agents or its people count at all.
person(id) := data.directory.persons[principal_of(id)] if data.identity.trust_domains[trust_domain(id)].approvers == true

# Somebody under another ID is the same somebody.
principal_of(id) := object.get(data.directory.aliases, id, id)

agent(id) := data.agents[id] if data.identity.trust_domains[trust_domain(id)].agents == true

trust_domain(id) := split(trim_prefix(id, "spiffe://"), "/")[0] if startswith(id, "spiffe://")

roles(id) := {role | some role in person(id).roles}

# A principal, their deputies and the aliases of each count as one, however long the chain of them is.
linked[id] contains principal_of(person.deputy_for) if some id, person in data.directory.persons

linked[principal_of(person.deputy_for)] contains id if some id, person in data.directory.persons

ties := {id: object.get(linked, id, set()) | some id, _ in data.directory.persons}

one_person(id) := graph.reachable(ties, {principal_of(id)})

canonical(id) := min(one_person(id))

same_person(a, b) if principal_of(b) in one_person(a)

# The requester's side of an agent: the people whose word on its requests is worth nothing.
on_requesters_side(id, agent_id) if id == agent_id

on_requesters_side(id, agent_id) if same_person(id, agent(agent_id).owner)

on_requesters_side(id, agent_id) if same_person(id, agent(agent_id).deployed_by)

default principal := {"known": false, "kind": null, "roles": [], "team": null, "may_revoke_any": false}

principal := {
	"known": true,
	"kind": "person",
	"roles": sort(person(input.id).roles),
	"team": person(input.id).team,
	"may_revoke_any": may_revoke_any,
} if {
	person(input.id)
}

principal := {"known": true, "kind": "agent", "roles": [], "team": null, "may_revoke_any": false} if agent(input.id)

default may_revoke_any := false

may_revoke_any if person(input.id).team in data.directory.teams_that_may_revoke

# Whoever is away today is not waited for; what they sign all the same counts.
away(id) if {
	some absence in person(id).absent
	absence.from <= input.context.time.date
	input.context.time.date <= absence.until
}
