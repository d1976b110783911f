package atb.incident_test

import data.atb.incident

person(name) := sprintf("spiffe://corp.example/person/%s", [name])

word(name, step, role) := {
	"jti": "j",
	"by": person(name),
	"certificate": "c",
	"step": step,
	"verdict": "approve",
	"role": role,
	"reasoned": true,
	"issued_at": 1000,
	"received_at": 1000,
}

said(name, step, role) := {
	"kind": "manual",
	"source": "hand",
	"by": person(name),
	"severity": null,
	"word": word(name, step, role),
	"now": 1000,
}

alert(by, kind) := {"kind": kind, "source": "alert", "by": by, "severity": null, "word": null, "now": 1000}

alertmanager := "spiffe://corp.example/alertmanager"

decide(question) := answer if {
	answer := incident.decision with input as question with data.revision as "test"
}

test_a_denial_spike_climbs_to_the_ciso if {
	decision := decide(alert(alertmanager, "ATBSecurityPolicyDenialSpike"))
	decision.effect == "allow"
	decision.severity == "P1"
	decision.escalation == [
		{"after_seconds": 0, "roles": ["on_call"]},
		{"after_seconds": 900, "roles": ["security_lead"]},
		{"after_seconds": 1800, "roles": ["ciso"]},
	]
}

test_an_alert_without_a_kind_is_one_all_the_same if decide(alert(alertmanager, "DiskFull")).severity == "P3"

test_an_alert_without_a_kind_is_as_grave_as_its_label_says if {
	every kind in {"ATBAuditEventsUnrecorded", "any_alert"} {
		decision := decide(object.union(alert(alertmanager, kind), {"severity": "P1"}))
		decision.severity == "P1"
		decision.response_seconds == 900
		[rung.roles | some rung in decision.escalation] == [["on_call"], ["security_lead"], ["ciso"]]
	}
}

test_an_alert_with_a_kind_is_as_grave_as_policy_says if {
	decide(object.union(alert(alertmanager, "ATBSecurityPolicyDenialSpike"), {"severity": "P4"})).severity == "P1"
}

test_nobody_else_reports_alerts if {
	decide(alert("spiffe://corp.example/agent/finance-bot", "DiskFull")).reasons == ["incident_reporter_unknown"]
	decide(object.union(alert(alertmanager, "DiskFull"), {"source": "hand"})).effect == "deny"
}

test_the_audit_log_speaks_for_itself if {
	decide(object.union(alert("spiffe://corp.example/worker", "mandate_replayed"), {"source": "audit"})).effect == "allow"
}

test_what_to_watch_for_is_the_data if incident.watch == data.incidents.watch

test_a_person_says_how_grave_it_is if {
	decide(object.union(said("carol", "open", "on_call"), {"severity": "P1"})).severity == "P1"
	decide(said("carol", "open", "on_call")).severity == "P3"
}

test_a_kind_that_policy_does_not_know_is_refused if {
	decide(object.union(said("carol", "open", "on_call"), {"kind": "nonsense"})).reasons == ["incident_kind_unknown"]
}

test_whoever_is_on_call_acknowledges if decide(said("carol", "acknowledge", "on_call")).effect == "allow"

test_a_role_that_is_not_held_counts_for_nothing if {
	decide(said("alice", "acknowledge", "on_call")).reasons == ["verdict_role_not_held"]
}

test_a_role_that_may_not_is_refused if {
	decide(said("alice", "resolve", "manager")).reasons == ["verdict_role_not_eligible"]
	decide(said("carol", "review", "security")).reasons == ["verdict_role_not_eligible"]
	decide(said("dave", "nonsense", "security_lead")).reasons == ["verdict_role_not_eligible"]
}

test_the_word_of_a_stranger_counts_for_nothing if {
	"verdict_by_unknown_person" in decide(said("mallory", "acknowledge", "on_call")).reasons
}

test_another_persons_word_counts_for_nothing if {
	decide(object.union(said("carol", "acknowledge", "on_call"), {"by": person("dave")})).effect == "deny"
}

test_a_word_from_the_future_is_refused if {
	"verdict_from_future" in decide(object.union(said("carol", "open", "on_call"), {"now": 1})).reasons
}

test_the_word_of_who_was_revoked_counts_for_nothing if {
	decision := incident.decision with input as said("carol", "acknowledge", "on_call")
		with data.revision as "test"
		with data.verdicts.revoked_persons as [person("carol")]
	decision.reasons == ["verdict_revoked"]
}

test_a_word_that_was_signed_long_ago_is_refused if {
	old := object.union(word("carol", "acknowledge", "on_call"), {"issued_at": 0})
	decide(object.union(said("carol", "acknowledge", "on_call"), {"word": old})).reasons == ["verdict_stale"]
}

begun(kind) := {
	"kind": kind,
	"source": "hand",
	"by": person("grace"),
	"severity": null,
	"word": word("grace", "open", "platform_ops"),
	"now": 1000,
}

times(decision) := [rung.after_seconds | some rung in decision.escalation]

test_a_drill_climbs_by_the_clock_of_its_severity if times(decide(begun("drill"))) == [0, 900, 1800]

test_a_fast_drill_climbs_faster_and_tells_the_last_rung_again_as_late if {
	decision := decide(begun("drill_fast"))
	times(decision) == [0, 15, 30]
	decision.response_seconds == 900
}

test_nothing_that_happened_climbs_faster if {
	fast := object.union(data.incidents.kinds, {
		"manual": {"title": "Reported", "severity": "P1", "speed": 60},
		"ATBSecurityPolicyDenialSpike": {"title": "Spike", "severity": "P1", "speed": 60},
	})
	every question in [
		begun("manual"),
		alert(alertmanager, "ATBSecurityPolicyDenialSpike"),
		alert(alertmanager, "drill_fast"),
		object.union(begun("drill_fast"), {"source": "audit", "word": null}),
	] {
		times(decide(question)) == [0, 900, 1800] with data.incidents.kinds as fast
	}
}
