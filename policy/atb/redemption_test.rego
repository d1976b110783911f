package atb.redemption_test

import data.atb.poa_test
import data.atb.redemption

question := {
	"subject": {"id": "spiffe://corp.example/agent/finance-bot"},
	"action": {"name": "sap.payment.execute"},
	"context": {
		"params": {"amount": 100},
		"limits": {"payment_limit": 1000},
		"leg": poa_test.ground,
		"ticket": null,
		"ticket_fact": null,
		"requires_dual_control": false,
		"approvers": [],
		"ttl_seconds": null,
		"verdicts": [],
		"now": 1000,
	},
	"mandate": {"tier": "high"},
	"connector": {"id": "erp", "state": "active"},
	"method": "POST",
	"allow_unmandated_low_risk": false,
}

with_fields(base, more) := object.union(object.remove(base, object.keys(more)), more)

with_context(more) := with_fields(question, {"context": with_fields(question.context, more)})

decide(asked) := decision if decision := redemption.decision with input as asked with data.revision as "test"

refused(asked, reason) if {
	decision := decide(asked)
	decision.effect == "deny"
	reason in decision.reasons
}

test_allows_what_was_approved if decide(question).effect == "allow"

test_refuses_a_raised_tier if refused(with_fields(question, {"mandate": {"tier": "medium"}}), "tier_raised")

test_refuses_a_tier_that_nobody_knows if refused(with_fields(question, {"mandate": {"tier": "none"}}), "tier_raised")

test_refuses_a_closed_connector if {
	some state in ["closed", "draft", null]
	refused(with_fields(question, {"connector": {"id": "erp", "state": state}}), "connector_closed")
}

test_refuses_a_connector_without_a_state if refused(with_fields(question, {"connector": {"id": "erp"}}), "connector_closed")

test_refuses_a_suspended_agent if {
	decision := redemption.decision with input as question
		with data.revision as "test"
		with data.agents as {question.subject.id: {"owner": "o", "actions": ["sap.*"], "state": "suspended"}}
	"agent_suspended" in decision.reasons
}

test_refuses_an_agent_that_lost_its_actions if {
	decision := redemption.decision with input as question
		with data.revision as "test"
		with data.agents as {question.subject.id: {"owner": "o", "actions": []}}
	"agent_not_allowed" in decision.reasons
}

test_refuses_a_closed_ticket if {
	refused(with_context({"ticket": "CHG-1", "ticket_fact": {"id": "CHG-1", "state": "closed"}}), "ticket_not_open")
}

test_refuses_a_ticket_that_is_gone if refused(with_context({"ticket": "CHG-1", "ticket_fact": null}), "ticket_not_open")

test_allows_an_open_ticket if {
	decide(with_context({"ticket": "CHG-1", "ticket_fact": {"id": "CHG-1", "state": "open"}})).effect == "allow"
}

test_refuses_limits_that_policy_narrowed_since if refused(with_context({"limits": {"payment_limit": 99999999}}), "limit_wider")

read := with_fields(question, {
	"subject": {"id": "spiffe://corp.example/agent/crm-assistant"},
	"action": {"name": "crm.contact.read"},
	"context": with_fields(question.context, {"params": {"contact_id": "C-42"}, "limits": {}}),
	"mandate": null,
	"method": "GET",
	"allow_unmandated_low_risk": true,
})

test_allows_an_unmandated_low_read_where_switched_on if decide(read).effect == "allow"

# As the broker asks it: without a mandate there is no legal ground.
groundless := with_fields(read, {"context": with_fields(read.context, {"leg": {}})})

test_allows_an_unmandated_low_read_without_a_legal_ground if decide(groundless).effect == "allow"

test_refuses_an_unmandated_low_read_with_a_bad_ground if {
	bad := with_fields(read, {"context": with_fields(read.context, {"leg": {"basis": "NONE"}})})
	count(decide(bad).reasons) > 0
}

test_refuses_a_groundless_read_where_switched_off if {
	refused(with_fields(groundless, {"allow_unmandated_low_risk": false}), "mandate_missing")
}

test_refuses_a_groundless_redemption if {
	not decide(with_fields(question, {"context": with_fields(question.context, {"leg": {}})})).effect == "allow"
}

test_refuses_a_groundless_read_of_an_agent_that_is_not_known if {
	refused(with_fields(groundless, {"subject": {"id": "spiffe://corp.example/agent/nobody"}}), "agent_unknown")
}

test_refuses_it_where_switched_off if refused(with_fields(read, {"allow_unmandated_low_risk": false}), "mandate_missing")

test_refuses_it_where_the_switch_is_no_boolean if {
	every value in ["true", 1, null, {}] {
		refused(with_fields(read, {"allow_unmandated_low_risk": value}), "mandate_missing")
	}
}

test_refuses_unmandated_writes if {
	every method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
		refused(with_fields(read, {"method": method}), "mandate_missing")
	}
}

test_refuses_unmandated_higher_tiers if {
	refused(with_fields(read, {"action": {"name": "crm.contact.update"}}), "mandate_missing")
}

test_refuses_an_unknown_action if refused(with_fields(question, {"action": {"name": "sap.nothing"}}), "unknown_action")
