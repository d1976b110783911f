package atb.ticket_test

import data.atb.poa
import data.atb.poa_test

fact := {
	"id": "CHG-1",
	"state": "open",
	"approved": true,
	"window": {"start": 900, "end": 1100},
	"attests": [],
}

question(action, ticket, ticket_fact) := {
	"subject": {"id": "spiffe://corp.example/agent/explorer"},
	"action": {"name": action},
	"context": {
		"params": params_of(action),
		"limits": {},
		"leg": poa_test.ground,
		"ticket": ticket,
		"ticket_fact": ticket_fact,
		"requires_dual_control": false,
		"approvers": [],
		"ttl_seconds": null,
		"verdicts": [],
		"now": 1000,
	},
}

critical(ticket_fact) := question("security.master_key.rotate", "CHG-1", ticket_fact)

read(ticket, ticket_fact) := question("crm.contact.read", ticket, ticket_fact)

decide(asked) := decision if {
	decision := poa.decision with input as asked with data.revision as "test"
}

ticket_reasons(asked) := {reason | some reason in object.get(decide(asked), "reasons", []); startswith(reason, "ticket_")}

changed(more) := object.union(object.remove(fact, object.keys(more)), more)

test_good_ticket_passes if count(ticket_reasons(critical(fact))) == 0

test_window_includes_both_ends if {
	every window in [{"start": 1000, "end": 1100}, {"start": 900, "end": 1000}] {
		ticket_reasons(critical(changed({"window": window}))) == set()
	}
}

test_not_open if {
	every wrong in [null, {}, changed({"state": "closed"}), changed({"state": "cancelled"}), changed({"state": null}), changed({"id": "CHG-2"})] {
		ticket_reasons(critical(wrong)) == {"ticket_not_open"}
	}
}

test_not_approved if {
	every approved in [false, "true", 1] {
		ticket_reasons(critical(changed({"approved": approved}))) == {"ticket_not_approved"}
	}
}

test_outside_window if {
	every window in [{"start": 1001, "end": 1100}, {"start": 900, "end": 999}, {}, {"start": 900}, {"end": 1100}, {"start": "900", "end": 1100}, "always"] {
		ticket_reasons(critical(changed({"window": window}))) == {"ticket_outside_window"}
	}
}

test_window_needs_the_time if {
	asked := critical(fact)
	every now in [null, "1000"] {
		timeless := object.union(asked, {"context": {"now": now}})
		"ticket_outside_window" in ticket_reasons(timeless)
	}
}

# A system that knows no approvals or windows is enough, unless data wants them.
test_unknown_approval_and_window if {
	bare := critical({"id": "CHG-1", "state": "open", "approved": null, "window": null, "attests": []})
	ticket_reasons(bare) == set()
	strict := {"open_states": ["open"], "approval_required": true, "window_required": true}
	demanded := ticket_reasons(bare) with data.tickets as strict
	demanded == {"ticket_not_approved", "ticket_outside_window"}
}

test_named_ticket_is_checked_in_every_tier if {
	decide(read("CHG-1", fact)).effect == "issue"
	ticket_reasons(read("CHG-1", null)) == {"ticket_not_open"}
	every ticket in ["", " ", 7] {
		ticket_reasons(read(ticket, null)) == {"ticket_missing"}
	}
}

test_ticket_proves_facts if {
	asked := question("iam.mfa.disable", "CHG-1", changed({"attests": ["identity_verified"]}))
	decide(asked).outstanding.attest == []
	decide(asked).attested_by_ticket == ["identity_verified"]
	closed := question("iam.mfa.disable", "CHG-1", changed({"attests": ["identity_verified"], "approved": false}))
	decide(closed).effect == "deny"
	other := question("iam.mfa.disable", "CHG-1", changed({"attests": ["something_else"]}))
	decide(other).outstanding.attest == ["identity_verified"]
	decide(other).attested_by_ticket == []
}

params_of("iam.mfa.disable") := {"incident_reference": "INC-1", "target_user_id": "u-1"}

params_of(action) := {} if action != "iam.mfa.disable"
