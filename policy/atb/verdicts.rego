# Which verified verdicts count, and why the others do not. Order of receipt matters.
package atb.verdicts

import data.atb.break_glass
import data.atb.directory
import data.atb.requirement
import data.atb.ticket

list := input.context.verdicts

now := input.context.now

# A verdict whose every field is of its type; anything else is malformed and never counts.
well_formed(verdict) if {
	is_string(verdict.jti)
	verdict.jti != ""
	is_string(verdict.by)
	verdict.verdict in {"approve", "reject", "release"}
	is_string(verdict.role)
	is_string(verdict.certificate)
	is_array(verdict.attests)
	is_boolean(verdict.reasoned)
	is_number(verdict.issued_at)
	is_number(verdict.received_at)
	is_number(now)
}

# What speaks against a verdict, whatever the others say.
faults[i] contains "verdict_malformed" if {
	some i, verdict in list
	not well_formed(verdict)
}

faults[i] contains "verdict_by_unknown_person" if {
	some i, verdict in list
	not directory.person(verdict.by)
}

# Taken back, by person or by certificate: as of now, whenever the verdict came.
faults[i] contains "verdict_revoked" if {
	some i, verdict in list
	not stands(verdict)
}

stands(verdict) if {
	every id in data.verdicts.revoked_persons { directory.principal_of(id) != directory.principal_of(verdict.by) }
	not verdict.certificate in data.verdicts.revoked_certificates
}

# Whoever approved a decoy of Security's: until that is lifted, as of now.
faults[i] contains "verdict_suspended" if {
	some i, verdict in list
	not free(verdict, object.get(input.context, "suspended", []))
}

free(verdict, suspended) if {
	every id in suspended { directory.principal_of(id) != directory.principal_of(verdict.by) }
}

faults[i] contains "verdict_role_not_held" if {
	some i, verdict in list
	directory.person(verdict.by)
	not verdict.role in directory.roles_on(verdict.by, received_on(verdict))
}

# A deputy's word is judged by the day on which it came: it outlives the absence, as it outlives a certificate.
received_on(verdict) := object.get(verdict, "received_on", null)

faults[i] contains "verdict_role_not_eligible" if {
	some i, verdict in list
	not role_eligible(verdict)
}

# Security may say no in any role that it holds: then the role is not asked about.
role_eligible(verdict) if {
	verdict.verdict == "approve"
	verdict.role in requirement.roles
}

role_eligible(verdict) if {
	break_glass.word(verdict)
	break_glass.open
}

role_eligible(verdict) if {
	verdict.verdict == "release"
	verdict.role in requirement.release_roles
}

role_eligible(verdict) if {
	verdict.verdict == "reject"
	verdict.role in (requirement.roles | requirement.release_roles)
}

role_eligible(verdict) if {
	verdict.verdict == "reject"
	directory.person(verdict.by).team in data.directory.teams_that_may_reject
}

faults[i] contains "verdict_not_independent" if {
	some i, verdict in list
	directory.on_requesters_side(verdict.by, input.subject.id)
}

faults[i] contains "verdict_not_nominated" if {
	some i, verdict in list
	verdict.verdict == "approve"
	not break_glass.word(verdict)
	count(requirement.nominated) > 0
	not verdict.by in requirement.nominated
	every principal in directory.stands_in_for(verdict.by, received_on(verdict)) {
		not principal in requirement.nominated
	}
}

# A no needs no reason to end a request: only a yes must be explained.
faults[i] contains "verdict_reason_missing" if {
	some i, verdict in list
	verdict.verdict in {"approve", "release"}
	not reason_suffices(verdict)
}

reason_suffices(verdict) if verdict.reasoned == true

reason_suffices(verdict) if {
	requirement.document.reason == false
	not break_glass.word(verdict)
}

faults[i] contains "verdict_stale" if {
	some i, verdict in list
	not fresh(verdict)
}

fresh(verdict) if verdict.received_at - verdict.issued_at <= data.verdicts.max_age_seconds

faults[i] contains "verdict_from_future" if {
	some i, verdict in list
	not of_the_past(verdict)
}

of_the_past(verdict) if {
	verdict.issued_at <= verdict.received_at + data.verdicts.clock_skew_seconds
	verdict.received_at <= now + data.verdicts.clock_skew_seconds
}

sound(i) if {
	list[i]
	count(object.get(faults, i, set())) == 0
}

# One jti is one verdict: the second under it is none.
faults[i] contains "verdict_already_used" if {
	some i, verdict in list
	repeated(i)
}

repeated(i) if {
	some j, earlier in list
	j < i
	earlier.jti == list[i].jti
}

# Approvals: the first sound one of each person.
approvals contains i if {
	some i, verdict in list
	verdict.verdict == "approve"
	sound(i)
	not earlier_approval(i)
}

earlier_approval(i) if {
	some j, earlier in list
	j < i
	earlier.verdict == "approve"
	sound(j)
	directory.same_person(earlier.by, list[i].by)
}

# Those that stand in for approvers who cannot be reached: by themselves enough, and never added to the others.
glass := {i | some i in approvals; break_glass.word(list[i])}

ordinary := approvals - glass

enough(words) if count(words - glass) >= requirement.approvals

enough(words) if broken(words)

broken(words) if {
	break_glass.open
	count(words & glass) >= break_glass.people
}

attested contains fact if {
	some i in approvals
	some fact in list[i].attests
}

attested_before(i) := {fact |
	some j in approvals
	j < i
	some fact in list[j].attests
}

approvals_before(i) := {j | some j in approvals; j < i}

complete_before(i) if {
	enough(approvals_before(i))
	count((requirement.attest - attested_before(i)) - ticket.attested) == 0
}

approver(id) if {
	some i in approvals
	directory.same_person(list[i].by, id)
}

# The release: after the approvals, by a third.
releases contains i if {
	some i, verdict in list
	verdict.verdict == "release"
	sound(i)
	count(requirement.release_roles) > 0
	complete_before(i)
	not approver(verdict.by)
}

rejections contains i if {
	some i, verdict in list
	verdict.verdict == "reject"
	sound(i)
}

counts(i) if i in approvals

counts(i) if i in releases

counts(i) if i in rejections

relations[i] contains "verdict_second_from_person" if {
	some i, verdict in list
	verdict.verdict == "approve"
	earlier_approval(i)
}

relations[i] contains "verdict_second_from_person" if {
	some i, verdict in list
	verdict.verdict == "release"
	approver(verdict.by)
}

relations[i] contains "release_not_due" if {
	some i, verdict in list
	verdict.verdict == "release"
	not release_due(i)
}

release_due(i) if {
	count(requirement.release_roles) > 0
	complete_before(i)
}

judgements[verdict.jti] := {"counts": true, "reasons": []} if {
	some i, verdict in list
	not repeated(i)
	counts(i)
}

judgements[verdict.jti] := {"counts": false, "reasons": sort(object.get(faults, i, set()) | object.get(relations, i, set()))} if {
	some i, verdict in list
	not repeated(i)
	not counts(i)
}
