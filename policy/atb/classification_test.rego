package atb.classification_test

import data.atb.poa_test.decide
import data.atb.poa_test.ground
import data.atb.poa_test.noon
import data.atb.poa_test.request
import data.atb.poa_test.with_context

tier(question) := decide(question).tier

raised(question) := {raise.reason | some raise in decide(question).raises}

order(amount) := with_context(request("finance-bot", "erp.order.create"), {"params": {"amount": amount}})

test_another_tenants_data_is_critical if {
	every tenant in ["globex", "CORP", "corp ", "", null, 7, ["corp"]] {
		question := with_context(request("crm-assistant", "crm.contact.read"), {"params": {"tenant_id": tenant}})
		tier(question) == "critical"
		raised(question) == {"other_tenant"}
	}
	own := with_context(request("crm-assistant", "crm.contact.read"), {"params": {"tenant_id": "corp"}})
	tier(own) == "low"
	decide(own).effect == "issue"
}

test_amounts_above_a_threshold if {
	tier(order(10000)) == "medium"
	tier(order(10000.01)) == "high"
	raised(order(10000.01)) == {"money_above_threshold"}
	decide(order(10000.01)).requirement.approvals == 2
	decide(order(10000.01)).priority == "P2"
	decide(order(10000.01)).ttl_seconds == 120
}

test_negative_amounts_are_as_large if {
	question := with_context(request("explorer", "sap.journal_entry.post"), {"params": {"gl_account": "1", "cost_center": "1", "amount": -1000001}})
	tier(question) == "critical"
}

test_record_counts_above_a_threshold if {
	tier(mail(100)) == "medium"
	tier(mail(101)) == "high"
	tier(mail(10001)) == "critical"
}

test_a_threshold_below_the_actions_tier_raises_nothing if {
	question := with_context(request("finance-bot", "sap.payment.execute"), {"params": {"amount": 50000}})
	tier(question) == "high"
	decide(question).raises == []
}

test_personal_data_for_another_purpose if {
	tier(for_purpose("Customer support")) == "low"
	tier(for_purpose("credit scoring")) == "high"
	raised(for_purpose("credit scoring")) == {"other_purpose"}
	goods := with_context(request("crm-assistant", "catalog.product.read"), {"leg": object.union(ground, {"purpose": "credit scoring"})})
	tier(goods) == "low"
}

wire(moment) := with_context(request("finance-bot", "finance.wire_transfer.execute"), {"params": {"amount": 5}, "time": moment})

at(changes) := object.union(noon, changes)

test_business_hours if {
	every moment in [noon, at({"minute_of_day": 480}), at({"minute_of_day": 1079})] { tier(wire(moment)) == "high" }
	every moment in [
		at({"minute_of_day": 479}),
		at({"minute_of_day": 1080}),
		at({"weekday": 6}),
		at({"weekday": 7}),
		at({"weekday": 0}),
		at({"weekday": 8}),
		at({"weekday": "3"}),
		at({"date": "2026-12-25", "weekday": 5}),
		null,
		{},
		"noon",
	] {
		tier(wire(moment)) == "critical"
		raised(wire(moment)) == {"outside_business_hours"}
	}
	tier(with_context(request("finance-bot", "sap.payment.execute"), {"params": {"amount": 5}, "time": null})) == "high"
}

test_an_unknown_action_has_no_tier if decide(request("explorer", "crm.contact.teleport")).tier == null

# The agent's own state and what it is for.
test_a_suspended_agent_gets_nothing_low_tier_included if {
	id := "spiffe://corp.example/agent/crm-assistant"
	every state in ["suspended", "Active", "", null, true] {
		changed := {id: object.union(data.agents[id], {"state": state})}
		decision := decide(request("crm-assistant", "crm.contact.read")) with data.agents as changed
		decision.reasons == ["agent_suspended"]
	}
}

test_an_agent_without_a_state_gets_nothing if {
	id := "spiffe://corp.example/agent/crm-assistant"
	decision := decide(request("crm-assistant", "crm.contact.read")) with data.agents as {id: object.remove(data.agents[id], ["state"])}
	decision.reasons == ["agent_suspended"]
}

test_an_unknown_agent_gets_nothing_low_tier_included if {
	decision := decide(request("stranger", "crm.contact.read"))
	decision.effect == "deny"
	"agent_unknown" in decision.reasons
}

test_a_decision_explains_itself if {
	decision := decide(order(20000))
	decision.informed == ["Broker-Team", "Platform-Ops"]
	decision.consulted == ["Legal", "Security"]
	decision.contacts.Security == {"channel": "#security-oncall", "email": "security@corp.com"}
	decision.limits == {"order_limit": 50000}
	every rule in ["data/catalogue erp.order.create", "data/tiers high", "data/context money_above_threshold", "data/legal-bases CONTRACT", "atb/constraints amount"] {
		rule in decision.rules
	}
	"deny unknown_action" in decide(request("explorer", "x.y")).rules
}

mail(recipients) := with_context(request("explorer", "marketing.email.send_batch"), {"params": {"recipient_count": recipients}})

for_purpose(purpose) := with_context(request("crm-assistant", "crm.contact.read"), {"leg": object.union(ground, {"purpose": purpose})})
