package atb.poa_test

import data.atb.poa

agent(name) := sprintf("spiffe://corp.example/agent/%s", [name])

person(name) := sprintf("spiffe://corp.example/person/%s", [name])

# A legal ground that is complete, and a Wednesday noon.
ground := {
	"jurisdiction": "EU",
	"accountable_party": {"type": "employee", "id": "emp-200"},
	"basis": "CONTRACT",
	"ref": "MSA-12345",
}

noon := {"date": "2026-03-04", "weekday": 3, "minute_of_day": 720}

request(agent_name, action) := {
	"subject": {"id": agent(agent_name)},
	"action": {"name": action},
	"context": {
		"params": {},
		"limits": {},
		"leg": ground,
		"ticket": null,
		"ticket_fact": null,
		"requires_dual_control": false,
		"approvers": [],
		"ttl_seconds": null,
		"verdicts": [],
		"now": 1000,
		"time": noon,
	},
}

# Replaces whole fields: object.union alone would merge into them.
with_context(base, more) := object.union(
	object.remove(base, ["context"]),
	{"context": object.union(object.remove(base.context, object.keys(more)), more)},
)

verdict(name, role, word) := {
	"jti": sprintf("%s-%s", [name, word]),
	"by": person(name),
	"certificate": sprintf("certificate of %s", [name]),
	"verdict": word,
	"role": role,
	"attests": [],
	"reasoned": true,
	"issued_at": 990,
	"received_at": 995,
}

decide(question) := decision if {
	decision := poa.decision with input as question with data.revision as "test"
}

payment := with_context(request("finance-bot", "sap.payment.execute"), {"params": {"amount": 1250}})

rotation := with_context(
	request("explorer", "security.master_key.rotate"),
	{"ticket": "CHG-1", "ticket_fact": {"id": "CHG-1", "state": "open"}},
)

denied(question, reason) if {
	decision := decide(question)
	decision.effect == "deny"
	reason in decision.reasons
}

# --- tiers ---

test_low_needs_nothing if decide(request("crm-assistant", "crm.contact.read")).effect == "issue"

test_medium_needs_one if {
	decision := decide(request("finance-bot", "erp.order.create"))
	decision.effect == "require"
	decision.outstanding.approvals == 1
}

test_high_needs_two if decide(payment).outstanding.approvals == 2

test_critical_needs_two_and_a_release if {
	decision := decide(rotation)
	decision.outstanding == {"approvals": 2, "attest": [], "release": true}
}

test_high_is_met_by_two if {
	decision := decide(with_context(payment, {"verdicts": [
		verdict("bob", "compliance", "approve"),
		verdict("carol", "security", "approve"),
	]}))
	decision.effect == "issue"
}

test_critical_is_met_by_two_and_a_third if {
	decision := decide(with_context(rotation, {"verdicts": [
		verdict("bob", "compliance", "approve"),
		verdict("dave", "security_lead", "approve"),
		verdict("erin", "ciso", "release"),
	]}))
	decision.effect == "issue"
}

test_release_by_an_approver_does_not_count if {
	decision := decide(with_context(rotation, {"verdicts": [
		verdict("bob", "compliance", "approve"),
		verdict("dave", "security_lead", "approve"),
		verdict("dave", "security_lead", "release"),
	]}))
	decision.effect == "require"
	decision.verdicts["dave-release"].reasons == ["verdict_second_from_person"]
}

test_release_before_the_approvals_is_not_due if {
	decision := decide(with_context(rotation, {"verdicts": [verdict("erin", "ciso", "release")]}))
	decision.verdicts["erin-release"].reasons == ["release_not_due"]
}

# --- who asks for what ---

test_unknown_action_denied if denied(request("explorer", "crm.contact.teleport"), "unknown_action")

test_unknown_agent_denied if denied(request("stranger", "crm.contact.read"), "agent_unknown")

test_agent_not_allowed_denied if denied(request("hr-helper", "sap.payment.execute"), "agent_not_allowed")

test_person_is_no_agent if {
	denied(object.union(payment, {"subject": {"id": person("bob")}}), "agent_unknown")
}

# --- limits, lifetime, ticket ---

test_narrower_limit_is_effective if {
	decide(with_context(payment, {"limits": {"payment_limit": 2000}})).limits == {"payment_limit": 2000}
}

test_wider_limit_denied if denied(with_context(payment, {"limits": {"payment_limit": 1e6}}), "limit_wider")

test_unknown_limit_denied if denied(with_context(payment, {"limits": {"x": 1}}), "limit_unknown")

test_limit_of_another_type_denied if {
	some value in ["none", [], null, true]
	denied(with_context(payment, {"limits": {"payment_limit": value}}), "limits_malformed")
}

test_limits_as_a_list_denied if denied(with_context(payment, {"limits": []}), "limits_malformed")

test_lower_bound_narrows_upwards if {
	setpoint := with_context(request("explorer", "scada.setpoint.change"), {"params": {"new_value": 50}})
	decide(with_context(setpoint, {"limits": {"setpoint_min": 10}})).limits.setpoint_min == 10
	denied(with_context(setpoint, {"limits": {"setpoint_min": -10}}), "limit_wider")
}

test_lifetime_above_the_tiers_denied if denied(with_context(payment, {"ttl_seconds": 121}), "ttl_above_cap")

test_lifetime_malformed_denied if {
	every ttl in [0, -1, 1.5, "60", [], true] {
		denied(with_context(payment, {"ttl_seconds": ttl}), "ttl_malformed")
	}
}

test_ticket_missing_denied if {
	every ticket in [null, "", " ", 7] {
		denied(with_context(rotation, {"ticket": ticket}), "ticket_missing")
	}
}

test_ticket_not_open_denied if {
	every fact in [null, {}, {"id": "CHG-2", "state": "open"}, {"id": "CHG-1", "state": "closed"}] {
		denied(with_context(rotation, {"ticket_fact": fact}), "ticket_not_open")
	}
}

# --- absent, null and mistyped fields never issue ---

test_absent_fields_never_issue if {
	low := request("crm-assistant", "crm.contact.read")
	every name in ["params", "limits", "leg", "requires_dual_control", "approvers", "verdicts", "now"] {
		not decide({
			"subject": low.subject,
			"action": low.action,
			"context": object.remove(low.context, [name]),
		}).effect == "issue"
		not decide(with_context(low, {name: null})).effect == "issue"
		not decide(with_context(low, {name: "x"})).effect == "issue"
	}
}

# --- nomination ---

test_nominated_approvers if {
	denied(with_context(payment, {"approvers": [person("bob")]}), "approvers_too_few")
	denied(with_context(payment, {"approvers": [person("bob"), person("bob")]}), "approvers_not_distinct")
	denied(with_context(payment, {"approvers": [person("frank"), person("heidi")]}), "approvers_not_distinct")
	denied(with_context(payment, {"approvers": [person("alice"), person("bob")]}), "approver_is_requester")
	denied(with_context(payment, {"approvers": [agent("finance-bot"), person("bob")]}), "approver_is_requester")
	denied(with_context(payment, {"approvers": [person("mallory"), person("bob")]}), "approver_unknown")
	decide(with_context(payment, {"approvers": [person("bob"), person("dave")]})).effect == "require"
}

# --- verdicts ---

judged(entry) := decision.verdicts[entry.jti].reasons if {
	decision := decide(with_context(payment, {"verdicts": [entry]}))
}

test_verdict_reasons if {
	bob := verdict("bob", "compliance", "approve")
	judged(bob) == []
	"verdict_by_unknown_person" in judged(object.union(bob, {"by": person("mallory")}))
	"verdict_by_unknown_person" in judged(object.union(bob, {"by": "spiffe://corp.example/person/Bob"}))
	"verdict_role_not_held" in judged(object.union(bob, {"role": "legal"}))
	judged(verdict("grace", "platform_ops", "approve")) == ["verdict_role_not_eligible"]
	judged(verdict("alice", "manager", "approve")) == ["verdict_not_independent"]
	judged(object.union(bob, {"issued_at": 0})) == ["verdict_stale"]
	judged(object.union(bob, {"issued_at": 2000, "received_at": 995})) == ["verdict_from_future"]
	"verdict_malformed" in judged(object.union(bob, {"issued_at": null}))
	"verdict_malformed" in judged(object.union(bob, {"attests": "identity_verified"}))
}

# A time that is absent, or of an unexpected type, never counts as fresh (attack 21).
test_no_time_is_no_fresh_time if {
	bob := verdict("bob", "compliance", "approve")
	every name in ["issued_at", "received_at"] {
		not counted(object.remove(bob, [name]))
		every value in [null, "", "990", "1970-01-01T00:16:30Z", [], {}, true] {
			not counted(object.union(bob, {name: value}))
		}
	}
	counted(bob)
}

counted(entry) if {
	decide(with_context(payment, {"verdicts": [entry]})).verdicts[entry.jti].counts == true
}

# High wants a reason of whoever says yes; absent, null and other types are none.
test_yes_without_reason if {
	bob := verdict("bob", "compliance", "approve")
	judged(object.union(bob, {"reasoned": false})) == ["verdict_reason_missing"]
	every value in [null, "", "why", 1] {
		{"verdict_malformed", "verdict_reason_missing"} & {reason | some reason in judged(object.union(bob, {"reasoned": value}))} == {"verdict_malformed", "verdict_reason_missing"}
	}
	"verdict_reason_missing" in judged(object.remove(bob, ["reasoned"]))
}

test_no_without_reason if {
	judged(object.union(verdict("carol", "security", "reject"), {"reasoned": false})) == []
}

test_medium_yes_without_reason if {
	order := with_context(request("finance-bot", "erp.order.create"), {"verdicts": [object.union(
		verdict("bob", "compliance", "approve"),
		{"reasoned": false},
	)]})
	decide(order).verdicts["bob-approve"].counts
	decide(order).requirement.reason == false
}

test_reject_denies if {
	denied(with_context(payment, {"verdicts": [verdict("carol", "security", "reject")]}), "rejected")
}

test_attested_facts_are_required if {
	question := with_context(
		request("explorer", "iam.mfa.disable"),
		{"params": {"incident_reference": "INC-1", "target_user_id": "u-1"}},
	)
	decide(question).requirement.attest == ["identity_verified"]
	bare := [verdict("bob", "compliance", "approve"), verdict("carol", "security", "approve")]
	decide(with_context(question, {"verdicts": bare})).outstanding.attest == ["identity_verified"]
	vouched := [object.union(bare[0], {"attests": ["identity_verified"]}), bare[1]]
	decide(with_context(question, {"verdicts": vouched})).effect == "issue"
}

# --- one person, many ids: every pair of the directory ---

known_as := object.union(data.directory, {
	"aliases": {person("robert"): person("bob")},
	"persons": object.union(data.directory.persons, {
		person("ivan"): {"roles": ["compliance"], "team": "Legal", "deputy_for": person("heidi")},
		person("judy"): {"roles": ["manager"], "team": "Finance", "deputy_for": person("alice")},
	}),
})

# Dave deployed the agent, and could approve otherwise.
deployed := object.union(data.agents, {agent("finance-bot"): {"deployed_by": person("dave")}})

outcome(approvals) := decision if {
	decision := poa.decision with data.directory as known_as
		with data.agents as deployed
		with data.revision as "test"
		with input as with_context(payment, {"verdicts": approvals})
}

# A deputy of a deputy, and an alias, are the same person; whoever owns or deployed the agent is the requester (attacks 4, 6).
test_every_pair_of_one_person_counts_once if {
	every a in ids {
		every b in ids {
			not wrongly_counted_twice(a, b)
		}
	}
}

# And others do count as two: the pairs above are not refused for whatever else.
test_pairs_of_two_people_count_twice if {
	some a in ids
	some b in ids
	counted_twice(a, b)
}

ids := object.keys(known_as.persons) | object.keys(known_as.aliases)

group(id) := "bob" if id in {person("bob"), person("robert")}

group(id) := "frank" if id in {person("frank"), person("heidi"), person("ivan")}

group(id) := "alice" if id in {person("alice"), person("judy")}

group(id) := id if not id in {person(name) | some name in {"bob", "robert", "frank", "heidi", "ivan", "alice", "judy"}}

roles_of(id) := known_as.persons[object.get(known_as.aliases, id, id)].roles

wrongly_counted_twice(a, b) if {
	same_or_requester(a, b)
	counted_twice(a, b)
}

counted_twice(a, b) if {
	some left in roles_of(a)
	some right in roles_of(b)
	decision := outcome([
		{"jti": "1", "by": a, "certificate": "1", "verdict": "approve", "role": left, "attests": [], "reasoned": true, "issued_at": 990, "received_at": 995},
		{"jti": "2", "by": b, "certificate": "2", "verdict": "approve", "role": right, "attests": [], "reasoned": true, "issued_at": 990, "received_at": 995},
	])
	decision.effect == "issue"
}

same_or_requester(a, b) if group(a) == group(b)

same_or_requester(a, _) if group(a) in {"alice", person("dave")}

same_or_requester(_, b) if group(b) in {"alice", person("dave")}

test_an_alias_and_another_are_two if {
	outcome([verdict("robert", "compliance", "approve"), verdict("carol", "security", "approve")]).effect == "issue"
	outcome([verdict("robert", "compliance", "approve"), verdict("bob", "compliance", "approve")]).outstanding.approvals == 1
}

# --- taken back ---

test_revoked_verdicts_do_not_count if {
	bob := verdict("bob", "compliance", "approve")
	every revoked in [
		{"revoked_persons": [person("bob")]},
		{"revoked_certificates": ["certificate of bob"]},
	] {
		decision := poa.decision with data.verdicts as object.union(data.verdicts, revoked)
			with input as with_context(payment, {"verdicts": [bob, verdict("carol", "security", "approve")]})
			with data.revision as "test"
		decision.verdicts["bob-approve"].reasons == ["verdict_revoked"]
		decision.outstanding.approvals == 1
	}
}

test_tells_which_parameters_are_not_personal if {
	decision := poa.decision with input as {"subject": {"id": "x"}, "action": {"name": "crm.contact.read"}, "context": {}}
	every name in decision.public_params {
		not data.catalogue.actions["crm.contact.read"].params[name].personal
	}
	every name, param in data.catalogue.actions["crm.contact.read"].params {
		{name in decision.public_params, object.get(param, "personal", false)} == {true, false}
	}
}

test_calls_nothing_of_an_unknown_action_public if {
	decision := poa.decision with input as {"subject": {"id": "x"}, "action": {"name": "no.such"}, "context": {}}
	decision.public_params == []
}

test_the_verdict_of_who_is_suspended_does_not_count_under_any_name if {
	question := with_context(payment, {"verdicts": [verdict("bob", "compliance", "approve")], "suspended": [person("bob")]})
	decide(question).verdicts["bob-approve"] == {"counts": false, "reasons": ["verdict_suspended"]}
	decide(with_context(question, {"suspended": [person("carol")]})).verdicts["bob-approve"].counts
	decision := poa.decision with input as with_context(question, {"suspended": [person("b.smith")]})
		with data.directory.aliases as {person("b.smith"): person("bob")}
		with data.revision as "test"
	decision.verdicts["bob-approve"].reasons == ["verdict_suspended"]
}
