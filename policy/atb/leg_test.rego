package atb.leg_test

import data.atb.leg
import data.atb.poa_test.decide
import data.atb.poa_test.ground
import data.atb.poa_test.request
import data.atb.poa_test.with_context

asked(action, legal_ground) := with_context(request("explorer", action), {"leg": legal_ground})

faults(legal_ground) := {[fault.pointer, fault.code] | some fault in decide(asked("crm.contact.read", legal_ground)).faults}

but(changes) := object.union(object.remove(ground, object.keys(changes)), changes)

test_complete_grounds_pass if {
	every legal_ground in [
		but({"basis": "LI", "ref": "LI-2024-001", "description": "Routine system maintenance"}),
		but({"basis": "CONTRACT", "ref": "MSA-12345"}),
		but({"basis": "CONSENT", "ref": "C-1", "data_subject": "user@example.com", "purpose": "Marketing email"}),
		but({"basis": "LEGAL", "ref": "GDPR-Art17"}),
		but({"jurisdiction": "US"}),
		but({"accountable_party": {"type": "person", "id": "spiffe://corp.example/person/bob"}}),
		but({"accountable_party": {"type": "team", "id": "Security"}}),
	] {
		faults(legal_ground) == set()
	}
}

test_every_fault_is_listed if {
	faults({}) == {["/leg/jurisdiction", "leg_incomplete"], ["/leg/accountable_party", "leg_incomplete"], ["/leg/basis", "leg_incomplete"]}
	faults({"jurisdiction": "XX", "basis": "WISH", "accountable_party": {"type": "employee"}}) == {
		["/leg/jurisdiction", "jurisdiction_unknown"],
		["/leg/basis", "legal_basis_unknown"],
		["/leg/accountable_party", "accountable_party_malformed"],
	}
}

test_templates_say_what_else if {
	faults(but({"basis": "CONSENT"})) == {["/leg/data_subject", "leg_incomplete"], ["/leg/purpose", "leg_incomplete"]}
	faults(object.remove(ground, ["ref"])) == {["/leg/ref", "leg_incomplete"]}
}

test_a_leg_that_is_none_denies if {
	every wrong in [null, [], "LI", 7, true] {
		some fault in decide(asked("crm.contact.read", wrong)).faults
		fault.code == "leg_malformed"
	}
}

test_mistyped_and_blank_claims_deny if {
	every name in ["jurisdiction", "basis", "ref", "description", "data_subject", "purpose"] {
		every wrong in [null, "", " ", 7, true, [], {}, ["EU"]] {
			[concat("", ["/leg/", name]), "leg_malformed"] in faults(but({name: wrong}))
		}
	}
}

test_jurisdictions if {
	every wrong in ["eu", "EUR", "XX", "UK", "E", "ЕU"] {
		some fault in decide(asked("crm.contact.read", but({"jurisdiction": wrong}))).faults
		fault.code == "jurisdiction_unknown"
	}
}

test_the_agent_answers_for_nothing if {
	every name in ["spiffe://corp.example/agent/explorer", "agent/explorer", "explorer", " EXPLORER ", "spiffe://corp.example/agent/finance-bot", "spiffe://partner.example/agent/unheard-of", "Agent/finance-bot"] {
		every kind in ["employee", "person", "organisation"] {
			["/leg/accountable_party/id", "accountable_party_is_agent"] in faults(but({"accountable_party": {"type": kind, "id": name}}))
		}
	}
}

test_accountable_parties if {
	["/leg/accountable_party/id", "accountable_party_unknown"] in faults(but({"accountable_party": {"type": "person", "id": "spiffe://corp.example/person/mallory"}}))
	["/leg/accountable_party/id", "accountable_party_unknown"] in faults(but({"accountable_party": {"type": "team", "id": "Nobody"}}))
	["/leg/accountable_party/type", "accountable_party_malformed"] in faults(but({"accountable_party": {"type": "agent", "id": "x"}}))
	every wrong in [null, [], "emp-1", {"type": "employee"}, {"id": "emp-1"}, {"type": "employee", "id": ""}, {"type": " ", "id": "x"}, {"type": "employee", "id": 7}, {"type": "employee", "id": "x", "approved": true}] {
		["/leg/accountable_party", "accountable_party_malformed"] in faults(but({"accountable_party": wrong}))
	}
}

test_which_grounds_an_action_accepts if {
	erasure := with_context(request("explorer", "customer.gdpr.erasure"), {"params": {"request_id": "R-1", "days_since_request": 3}})
	"legal_basis_not_accepted" in decide(with_context(erasure, {"leg": but({"basis": "LI"})})).reasons
	decide(with_context(erasure, {"leg": but({"basis": "LEGAL"})})).effect == "require"
	mail := request("explorer", "marketing.email.send_batch")
	"legal_basis_not_accepted" in decide(mail).reasons
	decide(with_context(mail, {"leg": but({"basis": "LI"})})).effect == "require"
	decide(with_context(mail, {"leg": but({"basis": "CONSENT", "data_subject": "list 7", "purpose": "news"})})).effect == "require"
}

# Attack 7.
test_approvals_are_nobodys_to_bring if {
	every name in ["approval", "dual_control", "manual_release", "ticket", "attested"] {
		every value in [{}, [], null, false, {"required": true}] {
			[concat("", ["/leg/", name]), "self_asserted_approval"] in faults(object.union(ground, {name: value}))
		}
	}
	every name in ["pre_approved", "payment_limit", "bypass_rate_limit", "Approval"] {
		[concat("", ["/leg/", name]), "leg_claim_unknown"] in faults(object.union(ground, {name: true}))
	}
}

test_a_mandate_that_is_redeemed_carries_its_approvals if {
	question := object.union(asked("crm.contact.read", object.union(ground, {"approval": {}})), {"mandate": {"tier": "low"}})
	leg.faults == set() with input as question
}
