package atb.break_glass_test

import data.atb.poa
import data.atb.poa_test.payment
import data.atb.poa_test.person
import data.atb.poa_test.rotation
import data.atb.poa_test.verdict
import data.atb.poa_test.with_context
import data.atb.review

firefighters := {"grace", "heidi", "carol", "frank", "alice"}

people := object.union(data.directory, {"persons": object.union(data.directory.persons, {person(name): object.union(
	data.directory.persons[person(name)],
	{"roles": array.concat(data.directory.persons[person(name)].roles, ["break_glass"])},
) |
	some name in firefighters
})})

settings := {"role": "break_glass", "tiers": ["high", "critical"], "people": 2, "after_rungs": 1, "review_within_seconds": 60}

waited := [{"rung": 1, "waited_seconds": 3600}]

outcome(question, context, changes) := decision if {
	decision := poa.decision with data.directory as people
		with data.break_glass as object.union(settings, changes)
		with data.revision as "test"
		with input as with_context(question, context)
}

word(name) := object.union(verdict(name, "break_glass", "approve"), {"jti": sprintf("%s-glass", [name])})

both := [word("grace"), word("heidi")]

test_off_by_default if {
	decision := poa.decision with data.directory as people
		with data.revision as "test"
		with input as with_context(payment, {"climbed": waited, "verdicts": both})
	decision.effect == "require"
	decision.outstanding.approvals == 2
	decision.verdicts["grace-glass"].reasons == ["verdict_role_not_eligible"]
	decision.break_glass.broken == false
}

test_two_approve_in_place_of_approvers if {
	decision := outcome(payment, {"climbed": waited, "verdicts": both}, {})
	decision.effect == "issue"
	decision.break_glass.broken
	decision.break_glass.accountable == ["Legal", "Security"]
}

test_closed_for_other_tiers_and_before_its_rung if {
	every closed in [
		outcome(payment, {"climbed": [], "verdicts": both}, {}),
		outcome(payment, {"climbed": [{"rung": 1, "waited_seconds": 60}], "verdicts": both}, {}),
		outcome(payment, {"climbed": waited, "verdicts": both}, {"after_rungs": 2}),
		outcome(payment, {"climbed": waited, "verdicts": both}, {"tiers": ["critical"]}),
		outcome(payment, {"climbed": waited, "verdicts": both}, {"role": null}),
	] {
		closed.effect == "require"
		closed.verdicts["grace-glass"].reasons == ["verdict_role_not_eligible"]
		not "break_glass" in closed.waiting_on
	}
}

test_one_is_never_enough_not_even_beside_an_approver if {
	one := outcome(payment, {"climbed": waited, "verdicts": [word("grace")]}, {})
	one.outstanding.approvals == 1
	one.verdicts["grace-glass"].counts
	mixed := outcome(payment, {"climbed": waited, "verdicts": [word("grace"), verdict("bob", "compliance", "approve")]}, {})
	mixed.effect == "require"
	every people in [1, 0, -1] {
		outcome(payment, {"climbed": waited, "verdicts": [word("grace")]}, {"people": people}).effect == "require"
	}
}

test_approvers_who_suffice_break_nothing if {
	decision := outcome(
		payment, {"climbed": waited, "verdicts": [
			word("grace"),
			verdict("bob", "compliance", "approve"),
			verdict("dave", "security_lead", "approve"),
		]},
		{},
	)
	decision.effect == "issue"
	decision.break_glass.broken == false
}

# Never self-granted: neither requester nor owner nor deployer, nor who is one person with them (attack 6).
test_never_by_the_requesters_side if {
	owned := object.union(people, {"persons": object.union(people.persons, {person("judy"): {
		"kind": "person",
		"roles": ["break_glass"],
		"team": "Finance",
		"deputy_for": person("alice"),
		"absent": [],
	}})})
	bot := "spiffe://corp.example/agent/finance-bot"
	every name in ["alice", "judy", "grace"] {
		decision := poa.decision with data.directory as owned
			with data.agents as object.union(data.agents, {bot: object.union(data.agents[bot], {"deployed_by": person("grace")})})
			with data.break_glass as settings
			with data.revision as "test"
			with input as with_context(payment, {"climbed": waited, "verdicts": [word(name), word("carol")]})
		decision.effect == "require"
		"verdict_not_independent" in decision.verdicts[sprintf("%s-glass", [name])].reasons
		not person(name) in decision.eligible_approvers
	}
	by_agent := object.union(word("grace"), {"by": bot})
	outcome(payment, {"climbed": waited, "verdicts": [by_agent, word("carol")]}, {}).effect == "require"
}

# Frank and heidi, his deputy, are one person.
test_never_by_one_person_twice if {
	every pair in [["frank", "heidi"], ["heidi", "frank"], ["grace", "grace"]] {
		second := object.union(word(pair[1]), {"jti": "second"})
		decision := outcome(payment, {"climbed": waited, "verdicts": [word(pair[0]), second]}, {})
		decision.effect == "require"
		decision.verdicts.second.reasons == ["verdict_second_from_person"]
	}
}

test_each_says_why if {
	silent := object.union(word("grace"), {"reasoned": false})
	decision := outcome(payment, {"climbed": waited, "verdicts": [silent, word("heidi")]}, {})
	decision.effect == "require"
	decision.verdicts["grace-glass"].reasons == ["verdict_reason_missing"]
}

# Grace owns the agent that rotates keys.
others := [word("carol"), word("heidi")]

test_the_release_stays_with_those_who_release if {
	decision := outcome(rotation, {"climbed": waited, "verdicts": others}, {})
	decision.outstanding == {"approvals": 0, "attest": [], "release": true}
	decision.break_glass.broken
	decision.waiting_on == ["ciso", "security_lead"]
	outcome(rotation, {"climbed": waited, "verdicts": array.concat(others, [verdict("erin", "ciso", "release")])}, {}).effect == "issue"
	outcome(rotation, {"climbed": waited, "verdicts": array.concat(others, [verdict("frank", "break_glass", "release")])}, {}).effect == "require"
}

test_a_closed_ticket_or_a_no_stops_it_all_the_same if {
	closed := {"climbed": waited, "verdicts": others, "ticket_fact": {"id": "CHG-1", "state": "closed"}}
	outcome(rotation, closed, {}).effect == "deny"
	rejected := {"climbed": waited, "verdicts": array.concat(both, [verdict("carol", "security", "reject")])}
	outcome(payment, rejected, {}).reasons == ["rejected"]
}

test_in_place_of_those_who_were_nominated if {
	nominated := {"climbed": waited, "approvers": [person("bob"), person("dave")]}
	decision := outcome(payment, nominated, {})
	person("grace") in decision.eligible_approvers
	not person("erin") in decision.eligible_approvers
	outcome(payment, object.union(nominated, {"verdicts": both}), {}).effect == "issue"
}

# --- the review ---

reviewed(name, tier, by) := decision if {
	decision := review.decision with input as {
		"id": person(name),
		"agent": "spiffe://corp.example/agent/finance-bot",
		"tier": tier,
		"people": by,
	}
}

test_somebody_accountable_without_a_part_in_it_closes if {
	every name in ["dave", "erin", "bob"] {
		reviewed(name, "high", [person("grace"), person("carol")]) == {"effect": "allow", "reasons": [], "visible": true}
	}
}

test_nobody_else_closes if {
	reviewed("carol", "high", [person("grace"), person("carol")]).reasons == ["review_by_involved"]
	reviewed("frank", "high", [person("grace"), person("heidi")]).reasons == ["review_by_involved"]
	reviewed("grace", "high", [person("heidi"), person("carol")]) == {"effect": "deny", "reasons": ["review_by_other_team"], "visible": false}
	reviewed("alice", "high", [person("heidi"), person("carol")]).visible == false
	reviewed("mallory", "high", [person("heidi"), person("carol")]).effect == "deny"
	reviewed("dave", "none", [person("heidi"), person("carol")]).effect == "deny"
	every by in [[], [null, person("grace")], null, "x"] {
		"review_people_unknown" in reviewed("dave", "high", by).reasons
	}
}

reviewed_in_role(name, role, by) := decision if {
	decision := review.decision with input as {
		"id": person(name),
		"agent": "spiffe://corp.example/agent/finance-bot",
		"tier": "high",
		"people": by,
		"role": role,
	}
}

test_a_review_of_somebody_erased_is_closed_by_who_cannot_have_been_them if {
	by := [null, person("grace")]
	reviewed_in_role("dave", "break_glass", by).effect == "allow"
	reviewed_in_role("dave", "security_lead", by).reasons == ["review_people_unknown"]
	reviewed_in_role("dave", null, by).reasons == ["review_people_unknown"]
	reviewed_in_role("grace", "break_glass", [null, person("heidi")]).effect == "deny"
}

test_the_requesters_side_does_not_close if {
	bot := "spiffe://corp.example/agent/finance-bot"
	decision := review.decision with input as {"id": person("dave"), "agent": bot, "tier": "high", "people": [person("grace"), person("heidi")]}
		with data.agents as object.union(data.agents, {bot: object.union(data.agents[bot], {"owner": person("dave")})})
	decision.reasons == ["review_by_requesters_side"]
}
