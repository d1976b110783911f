package atb.federation_test

import data.atb.directory
import data.atb.poa
import data.atb.poa_test

partner := "spiffe://partner.example/agent/buyer"

consultant := "spiffe://partner.example/person/olga"

agents := object.union(data.agents, {partner: {"owner": "spiffe://corp.example/person/alice", "actions": ["erp.*"], "state": "active", "tenant": "partner", "purposes": ["*"]}})

persons := object.union(data.directory.persons, {consultant: {"roles": ["compliance"], "team": "Legal"}})

trusting(agents, approvers) := object.union(data.identity.trust_domains, {"partner.example": {"agents": agents, "approvers": approvers}})

asked := {
	"subject": {"id": partner},
	"action": {"name": "erp.order.create"},
	"context": {
		"params": {"order_id": "SO-7"}, "limits": {}, "leg": poa_test.ground, "ticket": null, "ticket_fact": null,
		"requires_dual_control": false, "approvers": [], "ttl_seconds": null, "verdicts": [], "now": 1767225600,
	},
}

test_an_agent_of_another_trust_domain_is_nobody if {
	decision := poa.decision with input as asked with data.revision as "test" with data.agents as agents
	decision.effect == "deny"
	"agent_unknown" in decision.reasons
}

test_it_is_somebody_where_policy_says_so if {
	decision := poa.decision with input as asked with data.revision as "test"
		with data.agents as agents
		with data.identity.trust_domains as trusting(true, false)
	decision.effect == "require"
}

test_it_must_be_named_all_the_same if {
	decision := poa.decision with input as asked with data.revision as "test" with data.identity.trust_domains as trusting(true, false)
	decision.effect == "deny"
}

test_its_people_do_not_approve_because_its_agents_may_ask if {
	decision := poa.decision with input as asked with data.revision as "test"
		with data.agents as agents
		with data.directory.persons as persons
		with data.identity.trust_domains as trusting(true, false)
	not consultant in decision.eligible_approvers
	not directory.person(consultant) with data.directory.persons as persons with data.identity.trust_domains as trusting(true, false)
}

test_its_people_approve_where_policy_says_so if {
	decision := poa.decision with input as asked with data.revision as "test"
		with data.agents as agents
		with data.directory.persons as persons
		with data.identity.trust_domains as trusting(true, true)
	consultant in decision.eligible_approvers
}

test_a_trust_domain_that_only_begins_alike_is_another if {
	not directory.agent("spiffe://corp.example.evil/agent/finance-bot") with data.agents as {"spiffe://corp.example.evil/agent/finance-bot": {}}
}
