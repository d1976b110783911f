package atb.sign_off_test

import data.atb.sign_off

person(name) := sprintf("spiffe://corp.example/person/%s", [name])

word(by, step, role) := {
	"jti": sprintf("%s-%s", [by, step]),
	"by": person(by),
	"certificate": "c",
	"step": step,
	"verdict": "approve",
	"role": role,
	"reasoned": true,
	"issued_at": 1000,
	"received_at": 1000,
}

roles := {"grace": "platform_ops", "dave": "security_lead", "heidi": "team_lead", "alice": "manager", "carol": "security", "erin": "ciso"}

proposing(author) := word(author, "propose", object.get(roles, author, "manager"))

ask(kind, author, words) := ask_after(kind, proposing(author), words)

ask_after(kind, first, words) := decision if {
	decision := sign_off.decision with input as {
		"kind": kind,
		"proposing": first,
		"words": words,
		"suspended": [],
		"now": 1000,
	}
		with data.revision as "test"
}

why(decision, jti) := decision.words[jti].reasons

security := word("dave", "egress_allowlist", "security_lead")

legal := word("frank", "data_classification", "legal")

activation := word("grace", "activation", "platform_ops")

test_a_connector_waits_for_security_and_legal if {
	decision := ask("connector", "grace", [])
	decision.effect == "wait"
	decision.waiting_on == ["compliance", "legal", "security", "security_lead"]
	[s.name | some s in decision.outstanding] == ["egress_allowlist", "data_classification", "activation"]
}

test_a_connector_is_activated_when_both_reviewed if {
	ask("connector", "grace", [security, legal]).effect == "wait"
	ask("connector", "grace", [security, legal]).waiting_on == ["platform_ops"]
	ask("connector", "grace", [security, legal, activation]).effect == "approved"
}

test_activation_comes_last if {
	decision := ask("connector", "grace", [security, activation, legal])
	why(decision, "grace-activation") == ["sign_off_not_due"]
	decision.effect == "wait"
}

test_who_proposes_does_not_review if {
	decision := ask("connector", "dave", [security])
	why(decision, "dave-egress_allowlist") == ["verdict_not_independent"]
	decision.effect == "wait"
}

test_a_deputy_of_who_proposes_does_not_review if {
	decision := ask("connector", "heidi", [legal])
	why(decision, "frank-data_classification") == ["verdict_not_independent"]
}

test_a_role_must_be_held_and_be_the_steps if {
	decision := ask("connector", "grace", [word("alice", "egress_allowlist", "security"), word("bob", "egress_allowlist", "compliance")])
	why(decision, "alice-egress_allowlist") == ["verdict_role_not_held"]
	why(decision, "bob-egress_allowlist") == ["verdict_role_not_eligible"]
}

test_one_rejection_ends_it if {
	rejecting := object.union(legal, {"verdict": "reject"})
	ask("connector", "grace", [security, rejecting]).effect == "rejected"
}

test_a_step_is_signed_once if {
	decision := ask("connector", "grace", [security, word("carol", "egress_allowlist", "security")])
	why(decision, "carol-egress_allowlist") == ["sign_off_step_signed"]
}

test_one_person_signs_one_independent_step if {
	both := {"spiffe://corp.example/person/dave": {"roles": ["security", "platform_ops"], "team": "Security", "absent": []}}
	persons := object.union(data.directory.persons, both)
	first := word("dave", "security", "security")
	second := word("dave", "platform_ops", "platform_ops")
	decision := ask("change", "alice", [first, second]) with data.directory.persons as persons
	why(decision, "dave-platform_ops") == ["verdict_second_from_person"]
}

test_a_change_needs_security_and_platform_ops if {
	signed := [word("carol", "security", "security"), word("grace", "platform_ops", "platform_ops")]
	ask("change", "alice", signed).effect == "approved"
	ask("change", "grace", signed).effect == "wait"
	ask("change", "carol", signed).effect == "wait"
}

test_a_policy_bundle_needs_security if {
	ask("policy_bundle", "grace", [word("erin", "security_review", "ciso")]).effect == "approved"
	ask("policy_bundle", "erin", [word("erin", "security_review", "ciso")]).effect == "wait"
}

test_a_retirement_needs_one_person if {
	ask("connector_retirement", "grace", [word("grace", "retirement", "platform_ops")]).effect == "approved"
}

test_who_is_not_in_the_directory_signs_nothing if {
	decision := ask("connector", "grace", [word("mallory", "egress_allowlist", "security")])
	"verdict_by_unknown_person" in why(decision, "mallory-egress_allowlist")
}

test_who_is_not_in_the_directory_proposes_nothing if {
	decision := ask("connector", "mallory", [])
	decision.effect == "deny"
	decision.reasons == ["proposal_by_unknown_person", "verdict_role_not_held"]
}

test_who_was_revoked_neither_proposes_nor_signs if {
	decision := ask("connector", "grace", [security]) with data.verdicts.revoked_persons as [person("dave")]
	why(decision, "dave-egress_allowlist") == ["verdict_revoked"]
	proposed := ask("connector", "grace", []) with data.verdicts.revoked_persons as [person("grace")]
	proposed.reasons == ["verdict_revoked"]
}

test_what_is_proposed_is_fresh_reasoned_and_in_a_role_that_is_held if {
	stale := object.union(proposing("grace"), {"issued_at": 0})
	ask_after("connector", stale, []).reasons == ["verdict_stale"]
	future := object.union(proposing("grace"), {"issued_at": 2000})
	ask_after("connector", future, []).reasons == ["verdict_from_future"]
	silent := object.union(proposing("grace"), {"reasoned": false})
	ask_after("connector", silent, []).reasons == ["verdict_reason_missing"]
	other := object.union(proposing("grace"), {"role": "ciso"})
	ask_after("connector", other, []).reasons == ["verdict_role_not_held"]
}

test_a_step_that_is_not_there_is_not_signed if {
	decision := ask("connector", "grace", [word("dave", "propose", "security_lead")])
	"sign_off_step_unknown" in why(decision, "dave-propose")
}

test_a_reason_is_needed if {
	silent := object.union(security, {"reasoned": false})
	why(ask("connector", "grace", [silent]), "dave-egress_allowlist") == ["verdict_reason_missing"]
}

test_a_word_is_fresh_and_of_the_past if {
	stale := object.union(security, {"issued_at": 0})
	why(ask("connector", "grace", [stale]), "dave-egress_allowlist") == ["verdict_stale"]
	future := object.union(security, {"issued_at": 2000})
	why(ask("connector", "grace", [future]), "dave-egress_allowlist") == ["verdict_from_future"]
}

test_a_word_counts_once if {
	again := object.union(legal, {"jti": "dave-egress_allowlist"})
	decision := ask("connector", "grace", [security, again])
	decision.words["dave-egress_allowlist"].counts
	[s.name | some s in decision.outstanding] == ["data_classification", "activation"]
}

test_an_unknown_kind_is_denied if {
	ask("anything", "grace", []).reasons == ["proposal_kind_unknown"]
}

test_the_ladder_is_that_of_its_priority if {
	ask("connector", "grace", []).escalation == [{"after_seconds": 14400, "roles": ["ticket_queue"]}]
	ask("connector", "grace", []).valid_seconds == 31536000
}

test_the_word_of_who_is_suspended_does_not_lift_it if {
	lift := word("dave", "lift", "security_lead")
	lifted_by(lift, []).effect == "approved"
	refused := lifted_by(lift, [person("dave")])
	refused.effect == "wait"
	why(refused, "dave-lift") == ["verdict_suspended"]
}

lifted_by(lift, suspended) := decision if {
	decision := sign_off.decision with input as {
		"kind": "suspension_lift",
		"proposing": proposing("dave"),
		"words": [lift],
		"suspended": suspended,
		"now": 1000,
	}
		with data.revision as "test"
}

one_probe := {"probes": 1, "after_seconds": 0, "every_seconds": null}

probes_on := {
	"enabled": true,
	"roles": ["security", "security_lead"],
	"most_at_once": 3,
	"longest_delay_seconds": 100,
	"shortest_period_seconds": 60,
}

probes_ordered(by, schedule, settings) := decision if {
	decision := sign_off.decision with input as {
		"kind": "probe",
		"proposing": proposing(by),
		"words": [],
		"suspended": [],
		"schedule": schedule,
		"now": 1000,
	}
		with data.revision as "test"
		with data.probes as settings
}

test_probes_are_off_by_default if {
	data.probes.enabled == false
	probes_ordered("carol", one_probe, data.probes).reasons == ["probes_disabled"]
	every off in [null, "true", 1, {}] {
		probes_ordered("carol", one_probe, object.union(probes_on, {"enabled": off})).reasons == ["probes_disabled"]
	}
}

test_probes_are_ordered_by_security_and_wait_for_its_lead if {
	decision := probes_ordered("carol", one_probe, probes_on)
	decision.effect == "wait"
	decision.waiting_on == ["security_lead"]
	probes_ordered("alice", one_probe, probes_on).reasons == ["verdict_role_not_eligible"]
}

test_how_many_probes_how_often_is_policys if {
	series := {"probes": 3, "after_seconds": 100, "every_seconds": 60}
	probes_ordered("carol", series, probes_on).effect == "wait"
	every wrong in [
		{"probes": 4},
		{"after_seconds": 101},
		{"every_seconds": 59},
		{"every_seconds": null},
		{"probes": "1"},
	] {
		probes_ordered("carol", object.union(series, wrong), probes_on).reasons == ["probe_schedule_not_allowed"]
	}
	probes_ordered("carol", null, probes_on).reasons == ["probe_schedule_not_allowed"]
}
