# Branches of the decision that no request of the other tests takes.
package atb.decision_test

import data.atb.poa
import data.atb.poa_test.decide
import data.atb.poa_test.payment
import data.atb.poa_test.person
import data.atb.poa_test.request
import data.atb.poa_test.verdict
import data.atb.poa_test.with_context
import data.atb.redemption

test_without_a_revision_there_is_no_decision_but_deny if {
	decision := poa.decision with input as payment with data.revision as null
	decision.policy_revision == null
	every question in [{}, null, [], "x"] {
		found := poa.decision with input as question
		found.effect == "deny"
		count(found.reasons) > 0
	}
}

test_redemption_of_nothing_is_denied if {
	every question in [{}, null, []] {
		decision := redemption.decision with input as question
		decision.effect == "deny"
	}
}

test_an_agent_asks_for_what_its_patterns_cover if {
	id := "spiffe://corp.example/agent/finance-bot"
	may(["sap.payment.execute"])
	may(["erp.*", "sap.*"])
	may(["*"])
	every patterns in [[], ["sap"], ["sap."], ["sap.payment"], ["sap.payment.*.x"], ["ap.*"], ["sap.payment.execute.*"], ["sap.p*"], null, "*"] {
		not may(patterns)
	}
	data.agents[id].state == "active"
}

may(patterns) if {
	id := "spiffe://corp.example/agent/finance-bot"
	decision := decide(payment) with data.agents as {id: object.union(object.remove(data.agents[id], ["actions"]), {"actions": patterns})}
	decision.effect == "require"
}

# Attack 18, and look-alikes of what is known.
test_what_only_looks_like_an_action_is_none if {
	every name in ["sap.payment.execute ", " sap.payment.execute", "SAP.payment.execute", "sap.payment.еxecute", "sap.payment", "sap.payment.execute.x", "sap.payment.execute\u200b", "", null, 7, ["sap.payment.execute"]] {
		decision := decide(object.union(payment, {"action": {"name": name}}))
		decision.effect == "deny"
		"unknown_action" in decision.reasons
		decision.tier == null
	}
}

test_a_shorter_life if decide(with_context(payment, {"ttl_seconds": 30})).ttl_seconds == 30

test_more_control_than_policy_demands if {
	read := request("crm-assistant", "crm.contact.read")
	decide(with_context(read, {"requires_dual_control": true})).requirement.approvals == 2
	decide(with_context(read, {"approvers": [person("bob"), person("carol")]})).requirement.dual_control == true
}

test_the_nominated_and_nobody_else if {
	question := with_context(payment, {
		"approvers": [person("bob"), person("dave")],
		"verdicts": [verdict("carol", "security", "approve")],
	})
	decide(question).verdicts["carol-approve"].reasons == ["verdict_not_nominated"]
	decide(question).eligible_approvers == [person("bob"), person("dave")]
}

test_after_the_approvals_any_releaser_is_asked if {
	question := with_context(request("explorer", "security.master_key.rotate"), {
		"ticket": "CHG-1",
		"ticket_fact": {"id": "CHG-1", "state": "open"},
		"approvers": [person("bob"), person("dave")],
		"verdicts": [verdict("bob", "compliance", "approve"), verdict("dave", "security_lead", "approve")],
	})
	decide(question).eligible_approvers == [person("erin")]
}

test_one_jti_is_one_verdict if {
	bob := verdict("bob", "compliance", "approve")
	decision := decide(with_context(payment, {"verdicts": [bob, object.union(verdict("carol", "security", "approve"), {"jti": bob.jti})]}))
	decision.outstanding.approvals == 1
}

test_security_may_reject_in_any_role if {
	decision := decide(with_context(payment, {"verdicts": [verdict("erin", "ciso", "reject")]}))
	"rejected" in decision.reasons
}

test_a_permission_may_be_given_up if {
	attach := with_context(request("explorer", "aws.iam.policy_attach"), {
		"params": {"policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
		"limits": {"allow_admin_policy": false},
	})
	decide(attach).limits == {"allow_admin_policy": false}
}

test_a_ceiling_may_be_asked_as_it_is if {
	decide(with_context(payment, {"limits": {"payment_limit": 100000}})).effect == "require"
}

test_a_permission_of_policy_data_may_be_asked_as_it_is if {
	entry := data.catalogue.actions["aws.iam.policy_attach"]
	attach := with_context(request("explorer", "aws.iam.policy_attach"), {
		"params": {"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"},
		"limits": {"allow_admin_policy": true},
	})
	decision := decide(attach) with data.catalogue.actions as {"aws.iam.policy_attach": object.union(entry, {"ceilings": {"allow_admin_policy": true}})}
	decision.effect == "require"
}

test_reads_are_every_known_agents if decide(request("finance-bot", "crm.contact.read")).effect == "issue"

test_an_unknown_agent_is_unknown_when_it_redeems if {
	question := object.union(request("stranger", "crm.contact.read"), {"mandate": {"tier": "low"}, "connector": {"state": "active"}})
	decision := redemption.decision with input as question with data.revision as "test"
	"agent_unknown" in decision.reasons
	not "agent_suspended" in decision.reasons
}

# Attack 22: what is absent is no less refused than what is wrong.
test_whoever_is_not_named_gets_nothing if {
	every subject in [{}, {"id": null}, {"id": ""}, {"id": 7}, null, "x"] {
		decision := decide(object.union(object.remove(request("explorer", "crm.contact.read"), ["subject"]), {"subject": subject}))
		decision.effect == "deny"
		"agent_unknown" in decision.reasons
	}
	nobody := decide(object.remove(request("explorer", "crm.contact.read"), ["subject"]))
	"agent_unknown" in nobody.reasons
	nothing := decide(object.remove(request("explorer", "crm.contact.read"), ["action"]))
	"unknown_action" in nothing.reasons
}

# Attack 22: the highest tier obeys every rule that the tier below must.
test_no_tier_demands_less_than_the_one_below if {
	order := ["low", "medium", "high", "critical"]
	every i in [1, 2, 3] {
		below := data.tiers[order[i - 1]]
		above := data.tiers[order[i]]
		above.approvals >= below.approvals
		above.ttl_seconds <= below.ttl_seconds
		count(above.release_roles) >= count(below.release_roles)
		{claim | some claim in data.legal_bases.required[order[i - 1]]} - {claim | some claim in data.legal_bases.required[order[i]]} == set()
		{activity | some activity in below.activities} - {activity | some activity in above.activities} == set()
	}
	every action in ["crm.contact.read", "erp.order.create", "sap.cost_center.create", "security.root.access"] {
		decision := decide(with_context(request("explorer", action), {"leg": {}}))
		"leg_incomplete" in decision.reasons
		unknown := decide(with_context(request("explorer", action), {"params": {"payment_limit": 1}}))
		"param_unknown" in unknown.reasons
	}
}

test_whoever_is_away_is_not_waited_for if {
	person("bob") in eligible_while_bob_is_away("2026-03-05", "2026-03-09")
	not person("bob") in eligible_while_bob_is_away("2026-03-04", "2026-03-04")
	not person("bob") in eligible_while_bob_is_away("2026-02-28", "2026-03-15")
	person("bob") in eligible_while_bob_is_away("2026-02-01", "2026-03-03")
}

eligible_while_bob_is_away(from, until) := decision.eligible_approvers if {
	bob := object.union(data.directory.persons[person("bob")], {"absent": [{"from": from, "until": until}]})
	decision := decide(payment) with data.directory.persons as object.union(data.directory.persons, {person("bob"): bob})
}

test_what_somebody_signs_while_away_counts if {
	bob := object.union(data.directory.persons[person("bob")], {"absent": [{"from": "2026-03-04", "until": "2026-03-04"}]})
	question := with_context(payment, {"verdicts": [verdict("bob", "compliance", "approve")]})
	decision := decide(question) with data.directory.persons as object.union(data.directory.persons, {person("bob"): bob})
	decision.outstanding.approvals == 1
}
