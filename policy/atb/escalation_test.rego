package atb.escalation_test

import data.atb.poa
import data.atb.poa_test.decide
import data.atb.poa_test.payment
import data.atb.poa_test.person
import data.atb.poa_test.rotation
import data.atb.poa_test.verdict
import data.atb.poa_test.with_context

climbed(question, rungs) := with_context(question, {"climbed": rungs})

first := {"rung": 1, "waited_seconds": 3600}

second := {"rung": 2, "waited_seconds": 7200}

heidis := [verdict("bob", "compliance", "approve"), verdict("heidi", "team_lead", "approve")]

test_before_its_rung_a_role_is_not_eligible if {
	every rungs in [[], [first], null, "x", {}] {
		decision := decide(climbed(payment, rungs))
		not "team_lead" in decision.requirement.roles
		not person("heidi") in decision.eligible_approvers
	}
	decide(with_context(climbed(payment, [first]), {"verdicts": heidis})).verdicts["heidi-approve"].reasons == ["verdict_role_not_eligible"]
}

test_its_rung_makes_a_role_eligible if {
	decision := decide(climbed(payment, [first, second]))
	"team_lead" in decision.requirement.roles
	"team_lead" in decision.waiting_on
	person("heidi") in decision.eligible_approvers
	decide(with_context(climbed(payment, [second]), {"verdicts": heidis})).effect == "issue"
}

test_a_rung_before_its_time_widens_nothing if {
	every early in [
		{"rung": 2, "waited_seconds": 7189},
		{"rung": 2, "waited_seconds": 0},
		{"rung": 2, "waited_seconds": "7200"},
		{"rung": 2},
		{"waited_seconds": 7200},
		{"rung": 3, "waited_seconds": 99999},
		{"rung": 0, "waited_seconds": 99999},
		{"rung": -1, "waited_seconds": 99999},
		{"rung": 1.5, "waited_seconds": 99999},
	] {
		not "team_lead" in decide(climbed(payment, [early])).requirement.roles
	}
}

test_only_roles_that_the_tier_names_are_added if {
	whole := [{"rung": rung, "waited_seconds": 99999} | some rung in numbers.range(1, 3)]
	decide(climbed(rotation, whole)).requirement.roles == decide(rotation).requirement.roles
	critical := object.union(data.tiers.critical, {"escalated_roles": ["on_call"]})
	decision := poa.decision with data.tiers as object.union(data.tiers, {"critical": critical})
		with data.revision as "test"
		with input as climbed(rotation, whole)
	person("carol") in decision.eligible_approvers
	decision.requirement.release_roles == decide(rotation).requirement.release_roles
}

# Who owns the agent stays on the requester's side, whatever rung told them.
test_a_rung_makes_nobody_independent if {
	owned := {"spiffe://corp.example/agent/finance-bot": object.union(
		data.agents["spiffe://corp.example/agent/finance-bot"],
		{"owner": person("heidi")},
	)}
	decision := poa.decision with data.agents as owned
		with data.revision as "test"
		with input as with_context(climbed(payment, [first, second]), {"verdicts": heidis})
	not person("heidi") in decision.eligible_approvers
	decision.verdicts["heidi-approve"].reasons == ["verdict_not_independent"]
}

# Whoever nominates approvers gets them and nobody else.
test_a_rung_adds_nobody_to_those_who_were_nominated if {
	question := with_context(climbed(payment, [first, second]), {"approvers": [person("bob"), person("dave")]})
	not person("heidi") in decide(question).eligible_approvers
	decide(with_context(question, {"verdicts": heidis})).verdicts["heidi-approve"].reasons == ["verdict_not_nominated"]
}
