# What opens an incident by itself, how grave it is, whom its ladder tells, and whose word on it counts (operating model §5). Data: incidents,
# escalation.
package atb.incident

import data.atb.word

kind := found if found := data.incidents.kinds[input.kind]

else := data.incidents.kinds.any_alert if input.source == "alert"

# Whoever opens it by hand may say how grave it is, and so may an alert's label; of an alert that has a kind of its own the data says it.
severity := input.severity if severity_is_said

else := kind.severity

severity_is_said if {
	input.severity != null
	not alert_of_own_kind
}

alert_of_own_kind if {
	input.source == "alert"
	input.kind != "any_alert"
	data.incidents.kinds[input.kind]
}

default decision := {
	"effect": "deny",
	"reasons": ["incident_kind_unknown"],
	"severity": "P4",
	"title": "",
	"escalation": [],
	"response_seconds": 0,
	"review_seconds": 0,
	"review_roles": [],
	"contain": [],
	"policy_revision": "",
}

decision := {
	"effect": effect,
	"reasons": sort(reasons),
	"severity": severity,
	"title": kind.title,
	"escalation": [{"after_seconds": ceil((response * i) / speed), "roles": roles} |
		some i, roles in data.escalation[severity].ladder
	],
	"response_seconds": response,
	"review_seconds": data.incidents.review_seconds,
	"review_roles": sort(data.incidents.steps.review),
	"contain": object.get(kind, "contain", []),
	"policy_revision": data.revision,
}

watch := data.incidents.watch

response := data.escalation[severity].response_seconds

# Only a drill that a person begins climbs faster; nothing that happened does.
default speed := 1

speed := kind.speed if {
	input.source == "hand"
	startswith(input.kind, "drill")
}

default effect := "deny"

effect := "allow" if count(reasons) == 0

# An alert is reported by whom policy knows, the audit log speaks for itself; all else is a person's signed word.
reasons contains "incident_reporter_unknown" if {
	not signed
	not reporter
}

reporter if {
	input.source == "alert"
	input.by in data.incidents.reporters
}

# Events of the audit log, which the worker has read itself.
reporter if input.source == "audit"

signed if {
	input.word != null
	input.word.by == input.by
}

reasons contains fault if {
	signed
	some fault in word.faults
}

reasons contains "verdict_role_not_eligible" if {
	signed
	not may_take_step
}

# By itself, so that a step that nobody named is one that nobody may take.
may_take_step if input.word.role in data.incidents.steps[input.word.step]
