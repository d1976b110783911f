# Who signs off a connector, its retirement, a policy bundle and a change (operating model §2.4, §2.3, §7). Order of
# receipt matters. Data: sign_offs.
package atb.sign_off

import data.atb.directory
import data.atb.verdicts

rule := data.sign_offs[input.kind]

words := input.words

now := input.now

author := input.proposing.by

step(name) := found if {
	some found in rule.steps
	found.name == name
}

default decision := {
	"effect": "deny",
	"reasons": ["proposal_kind_unknown"],
	"words": {},
	"outstanding": [],
	"waiting_on": [],
	"escalation": [],
	"expires_after_seconds": 0,
	"valid_seconds": null,
	"notice_seconds": 0,
	"policy_revision": "",
}

decision := {
	"effect": effect,
	"reasons": sort(reasons),
	"words": judgements,
	"outstanding": [{"name": s.name, "title": s.title, "roles": sort(s.roles)} | some s in rule.steps; not signed(s.name)],
	"waiting_on": sort(waiting_on),
	"escalation": rungs,
	"expires_after_seconds": rule.expires_after_seconds,
	"valid_seconds": rule.valid_seconds,
	"notice_seconds": rule.notice_seconds,
	"policy_revision": data.revision,
} if {
	rule
}

default effect := "deny"

effect := "rejected" if {
	count(reasons) == 0
	count(rejections) > 0
}

effect := "approved" if {
	count(reasons) == 0
	count(rejections) == 0
	every s in rule.steps { signed(s.name) }
}

effect := "wait" if {
	count(reasons) == 0
	count(rejections) == 0
	some s in rule.steps
	not signed(s.name)
}

reasons contains "proposal_by_unknown_person" if not directory.person(author)

reasons contains "verdict_role_not_held" if not input.proposing.role in directory.roles(author)

reasons contains "verdict_revoked" if not verdicts.stands(input.proposing)

reasons contains "verdict_reason_missing" if input.proposing.reasoned != true

reasons contains "verdict_stale" if not verdicts.fresh(input.proposing)

reasons contains "verdict_from_future" if not of_the_past(input.proposing)

reasons contains "verdict_role_not_eligible" if {
	input.kind == "probe"
	not input.proposing.role in data.probes.roles
}

reasons contains "probes_disabled" if {
	input.kind == "probe"
	not data.probes.enabled == true
}

reasons contains "probe_schedule_not_allowed" if {
	input.kind == "probe"
	not schedule_allowed
}

schedule_allowed if {
	input.schedule.probes <= data.probes.most_at_once
	input.schedule.after_seconds <= data.probes.longest_delay_seconds
	apart
}

apart if input.schedule.probes == 1

apart if input.schedule.every_seconds >= data.probes.shortest_period_seconds

judgements[jti] := {"counts": counts(i), "reasons": sort(all_faults(i))} if {
	some i, word in words
	jti := word.jti
	not repeated(i)
}

default counts(_) := false

counts(i) if i in approvals

counts(i) if i in rejections

all_faults(i) := object.get(faults, i, set()) | object.get(relations, i, set())

# What speaks against a word, whatever the others say.
faults[i] contains "verdict_by_unknown_person" if {
	some i, word in words
	not directory.person(word.by)
}

faults[i] contains "verdict_revoked" if {
	some i, word in words
	not verdicts.stands(word)
}

faults[i] contains "verdict_suspended" if {
	some i, word in words
	not verdicts.free(word, input.suspended)
}

faults[i] contains "verdict_role_not_held" if {
	some i, word in words
	not word.role in directory.roles(word.by)
}

faults[i] contains "sign_off_step_unknown" if {
	some i, word in words
	not step(word.step)
}

faults[i] contains "verdict_role_not_eligible" if {
	some i, word in words
	not word.role in step(word.step).roles
}

faults[i] contains "verdict_not_independent" if {
	some i, word in words
	not may_judge(word)
}

may_judge(word) if step(word.step).independent == false

may_judge(word) if not directory.same_person(word.by, author)

faults[i] contains "verdict_reason_missing" if {
	some i, word in words
	word.reasoned != true
}

faults[i] contains "verdict_stale" if {
	some i, word in words
	not verdicts.fresh(word)
}

faults[i] contains "verdict_from_future" if {
	some i, word in words
	not of_the_past(word)
}

of_the_past(word) if {
	word.issued_at <= word.received_at + data.verdicts.clock_skew_seconds
	word.received_at <= now + data.verdicts.clock_skew_seconds
}

faults[i] contains "verdict_already_used" if {
	some i, _ in words
	repeated(i)
}

repeated(i) if {
	some j, earlier in words
	j < i
	earlier.jti == words[i].jti
}

sound(i) if {
	words[i]
	count(object.get(faults, i, set())) == 0
}

# And what the words before it say.
relations[i] contains "sign_off_not_due" if {
	some i, word in words
	word.verdict == "approve"
	some name in step(word.step).after
	not approved_before(name, i)
}

relations[i] contains "verdict_second_from_person" if {
	some i, word in words
	word.verdict == "approve"
	step(word.step).independent == true
	some j, earlier in words
	j < i
	sound(j)
	earlier.verdict == "approve"
	step(earlier.step).independent == true
	directory.same_person(earlier.by, word.by)
}

relations[i] contains "sign_off_step_signed" if {
	some i, word in words
	word.verdict == "approve"
	approved_before(word.step, i)
}

approved_before(name, i) if {
	some j, earlier in words
	j < i
	sound(j)
	earlier.step == name
	earlier.verdict == "approve"
}

approvals contains i if {
	some i, word in words
	word.verdict == "approve"
	sound(i)
	count(object.get(relations, i, set())) == 0
}

rejections contains i if {
	some i, word in words
	word.verdict == "reject"
	sound(i)
}

signed(name) if {
	some i in approvals
	words[i].step == name
}

waiting_on contains role if {
	some s in rule.steps
	not signed(s.name)
	every name in s.after { signed(name) }
	some role in s.roles
}

severity := data.escalation[rule.priority]

rungs := [{"after_seconds": severity.response_seconds * (i + 1), "roles": roles} | some i, roles in severity.ladder]
