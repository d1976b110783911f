# Who is who. Data: directory.persons, agents (operating model §1).
package atb.directory

# Of another trust domain only who is named, and only where its agents or its people count at all.
person(id) := data.directory.persons[principal_of(id)] if data.identity.trust_domains[trust_domain(id)].approvers == true

# Somebody under another ID is the same somebody.
principal_of(id) := object.get(data.directory.aliases, id, id)

agent(id) := data.agents[id] if data.identity.trust_domains[trust_domain(id)].agents == true

trust_domain(id) := split(trim_prefix(id, "spiffe://"), "/")[0] if startswith(id, "spiffe://")

roles(id) := {role | some role in person(id).roles}

# Somebody's own, and those of whom they stand in for on that day.
roles_on(id, date) := roles(id) | {role | some principal in stands_in_for(id, date); some role in roles(principal)}

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

default principal := {"known": false, "kind": null, "roles": [], "team": null, "may_revoke_any": false, "may_erase": false}

principal := {
	"known": true,
	"kind": "person",
	"roles": sort(person(input.id).roles),
	"team": person(input.id).team,
	"may_revoke_any": may_revoke_any,
	"may_erase": may_erase,
} if {
	person(input.id)
}

principal := {"known": true, "kind": "agent", "roles": [], "team": null, "may_revoke_any": false, "may_erase": false} if agent(input.id)

default may_revoke_any := false

may_revoke_any if person(input.id).team in data.directory.teams_that_may_revoke

default may_erase := false

may_erase if {
	some role in person(input.id).roles
	role in data.directory.roles_that_may_erase
}

# Whoever is away today is not waited for; what they sign all the same counts.
away(id) if away_on(id, today)

away_on(id, date) if {
	is_string(date)
	some absence in person(id).absent
	absence.from <= date
	date <= absence.until
}

default today := null

today := input.context.time.date

# Whom a deputy stands in for on a day: their principal who is away, and, where that one is a deputy too, theirs.
stands_in_for(id, date) := graph.reachable(away_principals(date), {principal_of(id)}) - {principal_of(id)}

away_principals(date) := away_today if date == today

away_principals(date) := away_principals_on(date) if date != today

away_today := away_principals_on(today)

# Everybody is in it, as graph.reachable knows no node that is not.
away_principals_on(date) := {id: {principal_of(somebody.deputy_for) | away_on(somebody.deputy_for, date)} |
	some id, somebody in data.directory.persons
}

# Who is to be told beside those who hold some roles: whoever stands in for one of them today, and is not away too.
deputies := sort([id |
	some id, _ in away_today
	not away(id)
	some principal in stands_in_for(id, today)
	some role in roles(principal)
	role in input.roles
])
