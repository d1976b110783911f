package atb.velocity_test

import data.atb.poa
import data.atb.poa_test
import data.atb.velocity

limits(agent, action) := decision.velocity if {
	decision := poa_test.decide(poa_test.request(agent, action))
}

limits_of(question) := poa_test.decide(question).velocity

asked(action, params) := poa_test.with_context(poa_test.request("finance-bot", action), {"params": params})

test_an_agent_is_counted_by_itself if {
	some limit in limits("crm-assistant", "crm.contact.read")
	limit.key == "one agent|spiffe://corp.example/agent/crm-assistant"
	limit.window_seconds == 60
}

test_a_tiers_rule_is_for_that_tier if {
	rules := {limit.rule | some limit in limits_of(asked("sap.vendor.change", {"amount": 1}))}
	"one agent, high tier" in rules
	not "one agent, medium tier" in rules
	not "one agent, payments" in rules
}

test_an_actions_rule_is_for_that_action if {
	some limit in limits_of(poa_test.payment)
	limit.key == "one agent, payments|spiffe://corp.example/agent/finance-bot|sap.payment.execute"
}

test_every_action_has_a_limit_for_each_window if {
	every name, _ in data.catalogue.actions {
		found := velocity.limits with input as poa_test.request("explorer", name)
		{limit.window_seconds | some limit in found} == {60, 3600, 86400}
	}
}

test_an_unknown_window_is_the_longest if {
	rule := {"id": "x", "counted_by": [], "per": {"fortnight": 7}}
	found := velocity.limits with input as poa_test.payment with data.velocity as [rule]
	found == [{"rule": "x", "key": "x", "most": 7, "window_seconds": 86400}]
}

test_nothing_is_issued_without_velocity_data if {
	every wrong in [null, {}, "none"] {
		decision := poa.decision with input as poa_test.request("crm-assistant", "crm.contact.read")
			with data.velocity as wrong
			with data.revision as "test"
		decision.effect == "deny"
		"velocity_undefined" in decision.reasons
	}
}
