package atb.reversal_test

import data.atb.poa_test.decide
import data.atb.poa_test.denied
import data.atb.poa_test.payment
import data.atb.poa_test.person
import data.atb.poa_test.request
import data.atb.poa_test.verdict
import data.atb.poa_test.with_context
import data.atb.redemption

order := with_context(request("explorer", "erp.order.create"), {
	"params": {"order_id": "SO-9", "customer_id": "C-1", "amount": 40},
	"reversal": true,
})

test_the_pair_is_the_catalogues_with_the_actions_own_values if {
	decide(order).reversal == {"act": "erp.order.cancel", "params": ["order_id"], "limits": {}, "ttl_seconds": 300}
	decide(with_context(payment, {"reversal": true})).reversal.act == "sap.payment.reverse"
}

test_nobody_gets_one_who_does_not_ask if {
	decide(with_context(order, {"reversal": false})).reversal == null
	decide(payment).reversal == null
}

test_what_is_no_yes_or_no_is_refused if {
	every asked in ["true", 1, {}, [], null] {
		denied(with_context(order, {"reversal": asked}), "reversal_not_possible")
	}
}

# Attack 18: nothing is guessed where the catalogue says nothing.
test_an_action_that_nothing_reverses if {
	asked := with_context(request("explorer", "erp.order.cancel"), {"params": {"order_id": "SO-9"}, "reversal": true})
	denied(asked, "reversal_not_possible")
	decide(with_context(asked, {"reversal": false})).effect == "require"
}

test_there_must_be_a_value_that_says_what_to_reverse if {
	denied(with_context(order, {"params": {"customer_id": "C-1"}}), "reversal_not_possible")
}

test_what_would_be_refused_later_is_refused_now if {
	decision := decide(order) with data.catalogue.actions["erp.order.cancel"].params.order_id.pattern as "^X"
	some fault in decision.faults
	fault.pointer == "/reversal"
	fault.code == "reversal_not_possible"
	contains(fault.detail, "erp.order.cancel: order_id must match")
}

test_a_legal_ground_must_do_for_both if {
	decision := decide(order) with data.catalogue.actions["erp.order.cancel"].legal_bases as ["LEGAL"]
	"reversal_not_possible" in decision.reasons
}

test_both_are_approved_as_the_graver_one if {
	decide(order).tier == "medium"
	decision := decide(order) with data.catalogue.actions["erp.order.cancel"].tier as "high"
	decision.tier == "high"
	decision.requirement.approvals == 2
	[raise] := decision.raises
	raise.reason == "reversal"
	graver := decide(order) with data.catalogue.actions["erp.order.create"].tier as "high"
	graver.tier == "high"
}

test_the_action_ends_while_its_reversal_can_be_had if {
	decide(order).ttl_seconds == 210
	decide(with_context(order, {"reversal": false})).ttl_seconds == 300
	decide(with_context(payment, {"reversal": true})).ttl_seconds == 120
	decide(with_context(order, {"ttl_seconds": 210})).ttl_seconds == 210
	denied(with_context(order, {"ttl_seconds": 211}), "ttl_above_cap")
}

test_issue_with_its_reversal if {
	decision := decide(with_context(order, {"verdicts": [verdict("alice", "manager", "approve")]}))
	decision.effect == "issue"
	decision.reversal.act == "erp.order.cancel"
	decision.verdicts["alice-approve"].counts
	person("alice") in object.keys(data.directory.persons)
}

# --- When the broker redeems it ---

reverse := {
	"subject": {"id": order.subject.id},
	"action": {"name": "erp.order.cancel"},
	"context": object.union(
		object.remove(order.context, ["params", "reversal"]),
		{"params": {"order_id": "SO-9"}},
	),
	"mandate": {"tier": "medium", "reverses": "erp.order.create"},
	"connector": {"id": "erp", "state": "active"},
	"method": "POST",
	"allow_unmandated_low_risk": false,
}

redeem(asked) := decision if decision := redemption.decision with input as asked with data.revision as "test"

test_the_broker_may_reverse if redeem(reverse).effect == "allow"

test_whatever_became_of_the_agent if {
	every agents in [
		{},
		{order.subject.id: {"owner": "o", "actions": ["crm.*"], "state": "active"}},
		{order.subject.id: {"owner": "o", "actions": ["erp.*"], "state": "suspended"}},
	] {
		decision := redeem(reverse) with data.agents as agents
		decision.effect == "allow"
	}
}

test_not_where_it_reverses_something_else if {
	every reverses in ["erp.invoice.create", "erp.order.cancel", "no.such.action", ""] {
		decision := redeem(object.union(reverse, {"mandate": {"tier": "medium", "reverses": reverses}}))
		decision.effect == "deny"
		"reversal_not_possible" in decision.reasons
	}
}

test_not_on_a_closed_connector if {
	redeem(object.union(reverse, {"connector": {"id": "erp", "state": "closed"}})).effect == "deny"
}

test_not_where_it_is_graver_than_what_was_approved if {
	decision := redeem(reverse) with data.catalogue.actions["erp.order.cancel"].tier as "high"
	decision.reasons == ["tier_raised"]
}

test_only_a_reversal_is_excused if {
	plain := object.union(object.remove(reverse, ["mandate"]), {"mandate": {"tier": "medium"}})
	every reverses in [null, false, 7] {
		decision := redeem(object.union(plain, {"mandate": {"tier": "medium", "reverses": reverses}})) with data.agents as {}
		decision.effect == "deny"
	}
}
