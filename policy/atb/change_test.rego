package atb.change_test

import data.atb.change
import data.atb.sign_off

test_plan if {
	change.plan.cab == {"weekday": "wednesday", "hour": 10, "minute": 0, "time_zone": "Europe/Berlin"}
	change.plan.teams == ["AgentAuth-Team", "Broker-Team", "Platform-Ops"] with data.raci.platform_upgrades.teams as {
		"Legal": "I",
		"Broker-Team": "C",
		"AgentAuth-Team": "C",
		"Security": "I",
		"Platform-Ops": "R",
	}
	change.plan.review_roles == ["ciso", "platform_ops", "security_lead"]
}

grace := "spiffe://corp.example/person/grace"

dave := "spiffe://corp.example/person/dave"

word(by, role, step) := {
	"jti": step,
	"by": by,
	"certificate": "x",
	"step": step,
	"verdict": "approve",
	"role": role,
	"reasoned": true,
	"issued_at": 1000,
	"received_at": 1000,
}

counts(by, role, step) if {
	decision := sign_off.decision with input as {
		"kind": "change_word",
		"proposing": word(dave, "security_lead", "propose"),
		"words": [word(by, role, step)],
		"suspended": [],
		"schedule": null,
		"now": 1000,
	}
		with data.revision as "test"
	decision.words[step].counts
}

test_platform_ops_runs_a_change if counts(grace, "platform_ops", "run")

test_others_run_no_change if not counts(dave, "security_lead", "run")

test_the_author_reviews_no_emergency if not counts(dave, "security_lead", "review")

test_another_reviews_it if counts(grace, "platform_ops", "review")
