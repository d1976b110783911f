package atb.deputies_test

import data.atb.directory
import data.atb.poa
import data.atb.poa_test.payment
import data.atb.poa_test.person
import data.atb.poa_test.verdict
import data.atb.poa_test.with_context

week := [{"from": "2026-03-02", "until": "2026-03-06"}]

away(names) := object.union(data.directory, {"persons": object.union(
	data.directory.persons,
	{person(name): object.union(data.directory.persons[person(name)], {"absent": week}) | some name in names},
)})

# Ivan is the deputy of heidi, who is frank's.
chain(names) := object.union(people, {"persons": object.union(people.persons, {person("ivan"): {
	"kind": "person",
	"roles": ["platform_ops"],
	"team": "Platform-Ops",
	"deputy_for": person("heidi"),
	"absent": [],
}})}) if {
	people := away(names)
}

outcome(people, context) := decision if {
	decision := poa.decision with data.directory as people
		with data.revision as "test"
		with input as with_context(payment, context)
}

on(date) := {"date": date, "weekday": 3, "minute_of_day": 720}

as_legal(name, date) := object.union(verdict(name, "legal", "approve"), {"received_on": date})

test_a_deputy_is_eligible_while_the_principal_is_away if {
	decision := outcome(away({"frank"}), {})
	person("heidi") in decision.eligible_approvers
	not person("frank") in decision.eligible_approvers
}

test_a_deputy_is_not_eligible_on_other_days if {
	not person("heidi") in outcome(data.directory, {}).eligible_approvers
	every date in ["2026-03-01", "2026-03-07"] {
		decision := outcome(away({"frank"}), {"time": on(date)})
		not person("heidi") in decision.eligible_approvers
		person("frank") in decision.eligible_approvers
	}
	every date in ["2026-03-02", "2026-03-06"] {
		person("heidi") in outcome(away({"frank"}), {"time": on(date)}).eligible_approvers
	}
}

test_a_deputy_who_is_away_too_hands_on if {
	decision := outcome(chain({"frank", "heidi"}), {})
	person("ivan") in decision.eligible_approvers
	not person("heidi") in decision.eligible_approvers
	not person("ivan") in outcome(chain({"frank"}), {}).eligible_approvers
	not person("ivan") in outcome(chain({"heidi"}), {}).eligible_approvers
}

word(date) := outcome(away({"frank"}), {"verdicts": [as_legal("heidi", date)]}).verdicts["heidi-approve"]

test_a_deputys_word_counts_by_the_day_of_its_receipt if {
	word("2026-03-04").counts
	word("2026-03-02").counts
	every date in ["2026-03-01", "2026-03-07", null, 7, "", "x", ["2026-03-04"]] {
		word(date).reasons == ["verdict_role_not_held"]
	}
}

test_a_deputys_word_outlives_the_absence if {
	decision := outcome(away({"frank"}), {
		"time": on("2026-03-07"),
		"verdicts": [as_legal("heidi", "2026-03-06"), verdict("bob", "compliance", "approve")],
	})
	decision.effect == "issue"
}

test_a_deputy_stands_in_for_who_was_nominated if {
	people := away({"frank"})
	nominated := {"approvers": [person("frank"), person("bob")]}
	person("heidi") in outcome(people, nominated).eligible_approvers
	outcome(people, object.union(nominated, {"verdicts": [as_legal("heidi", "2026-03-04")]})).verdicts["heidi-approve"].counts
	not outcome(data.directory, object.union(nominated, {"verdicts": [as_legal("heidi", "2026-03-04")]})).verdicts["heidi-approve"].counts
}

# Heidi owns the agent: whoever she stands in for, she stays on its side.
test_a_deputy_never_decides_on_their_own_request if {
	decision := poa.decision with data.directory as away({"frank"})
		with data.revision as "test"
		with data.agents as {"spiffe://corp.example/agent/finance-bot": object.union(
			data.agents["spiffe://corp.example/agent/finance-bot"],
			{"owner": person("heidi")},
		)}
		with input as with_context(payment, {"verdicts": [as_legal("heidi", "2026-03-04")]})
	not person("heidi") in decision.eligible_approvers
	decision.verdicts["heidi-approve"].reasons == ["verdict_not_independent"]
}

told(people, roles, date) := ids if {
	ids := directory.deputies with data.directory as people
		with input as {"roles": roles, "context": {"time": on(date)}}
}

test_deputies_are_told if {
	told(away({"frank"}), ["compliance", "legal"], "2026-03-04") == [person("heidi")]
	told(away({"frank"}), ["compliance"], "2026-03-04") == []
	told(away({"frank"}), ["legal"], "2026-03-07") == []
	told(chain({"frank", "heidi"}), ["legal"], "2026-03-04") == [person("ivan")]
	told(chain({"frank", "heidi"}), ["team_lead"], "2026-03-04") == [person("ivan")]
	told(data.directory, ["legal"], "2026-03-04") == []
}

# --- independence: every pair of the directory, while every principal is away (attacks 4, 6) ---

everybody_away := chain({name | some id, _ in data.directory.persons; name := split(id, "/")[4]})

test_no_pair_of_one_person_counts_twice_while_all_are_away if {
	some_pairs := {[a, b] |
		some a, _ in everybody_away.persons
		some b, _ in everybody_away.persons
		one_person(a, b)
	}
	count(some_pairs) > count(everybody_away.persons)
	every pair in some_pairs {
		not issued_by(pair[0], pair[1])
	}
}

issued_by(a, b) if {
	some left in all_roles(a)
	some right in all_roles(b)
	outcome(everybody_away, {"verdicts": [approval("1", a, left), approval("2", b, right)]}).effect == "issue"
}

all_roles(id) := {role | some role in everybody_away.persons[id].roles} | {"legal", "team_lead"}

approval(jti, by, role) := {"jti": jti, "by": by, "certificate": jti, "verdict": "approve", "role": role, "attests": [], "reasoned": true, "issued_at": 990, "received_at": 995, "received_on": "2026-03-04"}

one_person(a, b) if a == b

one_person(a, b) if {
	family := {person("frank"), person("heidi"), person("ivan")}
	{a, b} - family == set()
}

# The test above can fail: two people of the same directory do count as two.
test_two_people_count_as_two_while_all_are_away if {
	outcome(everybody_away, {"verdicts": [
		approval("1", person("ivan"), "legal"),
		approval("2", person("bob"), "compliance"),
	]}).effect == "issue"
}
