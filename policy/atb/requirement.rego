# What has to be there before a mandate may be signed: the tier's, and what the agent asked beyond it.
package atb.requirement

import data.atb.classification
import data.atb.constraints

action := classification.action

tier := classification.tier

roles := {role | some role in tier.approver_roles} | widened

# Rungs that the audit log knows make those whom they told eligible, if the tier says so of their role (operating model
# §5). That enough time passed is looked at here: whoever moves a request's clock must not thereby move who may approve.
climbed contains entry.rung if {
	some entry in input.context.climbed
	severity.ladder[entry.rung - 1]
	entry.waited_seconds + data.verdicts.clock_skew_seconds >= severity.response_seconds * entry.rung
}

widened contains role if {
	some rung in climbed
	some role in severity.ladder[rung - 1]
	role in tier.escalated_roles
}

severity := data.escalation[tier.priority]

release_roles := {role | some role in tier.release_roles}

nominated := input.context.approvers

attest := constraints.attest

default dual_control := false

dual_control if tier.approvals >= 2

dual_control if input.context.requires_dual_control == true

dual_control if count(nominated) > 0

approvals := max([tier.approvals, 2]) if dual_control

approvals := max([tier.approvals, facts]) if {
	not dual_control

	# Somebody has to vouch where a fact is to be attested.
	facts := min([count(attest), 1])
}

# Where the agent must sign the request itself, so that nobody on the way can ask in its name.
signed_request := classification.tier_name in data.identity.signed_request_tiers

document := {
	"approvals": approvals,
	"roles": sort(roles),
	"dual_control": dual_control,
	"nominated": nominated,
	"ticket": tier.ticket,
	"release_roles": sort(release_roles),
	"attest": sort(attest),
	"signed_request": signed_request,
	"reason": tier.reason,
}
