# The one decision, asked at admission, at each verdict and at signing. A pure function of input and data.
# Everything starts denied; a reason is phrased as "not proven good", so that a missing field denies.
package atb.poa

import data.atb.break_glass
import data.atb.classification
import data.atb.classification.action
import data.atb.classification.tier
import data.atb.constraints
import data.atb.directory
import data.atb.leg
import data.atb.limits
import data.atb.requirement
import data.atb.responsibility
import data.atb.reversal
import data.atb.ticket
import data.atb.velocity
import data.atb.verdicts

default decision := {
	"effect": "deny",
	"tier": null,
	"reasons": ["policy_denied"],
	"policy_revision": "",
	"verdicts": {},
	"rejected": false,
	"faults": [],
	"raises": [],
	"rules": [],
	"public_params": [],
}

context := input.context

# What the catalogue does not know may be personal too.
public_params contains name if {
	some name, param in action.params
	not param.personal
}

decision := object.union(common, {"effect": "deny", "reasons": sort(reasons)}) if count(reasons) > 0

decision := object.union_n([common, allowing, {"effect": "issue"}]) if {
	count(reasons) == 0
	nothing_outstanding
}

decision := object.union_n([common, allowing, {"effect": "require"}]) if {
	count(reasons) == 0
	not nothing_outstanding
}

common := {
	"tier": classification.tier_name,
	"policy_revision": data.revision,
	"verdicts": verdicts.judgements,
	"rejected": rejected,
	"faults": sort([fault | some fault in faults]),
	"raises": sort([raise | some raise in classification.raises]),
	"rules": sort(rules),
	"public_params": sort(public_params),
}

allowing := {
	"limits": limits.effective,
	"ttl_seconds": ttl_seconds,
	"requirement": requirement.document,
	"outstanding": outstanding,
	"waiting_on": sort(waiting_on),
	"eligible_approvers": sort(eligible_approvers),
	"priority": tier.priority,
	"escalation": rungs,
	"reminders": reminders,
	"expires_after_seconds": severity.response_seconds * (count(severity.ladder) + 1),
	"collect_within_seconds": data.requests.collect_within_seconds,
	"poll": data.requests.poll,
	"velocity": velocity.limits,
	"attested_by_ticket": sort(requirement.attest & ticket.attested),
	"reversal": reversal_terms,
	"informed": responsibility.informed,
	"consulted": responsibility.consulted,
	"contacts": responsibility.contacts,
	"break_glass": {
		"broken": glass_broken,
		"role": break_glass.settings.role,
		"accountable": sort(responsibility.accountable_at(classification.tier_name)),
		"review_within_seconds": break_glass.settings.review_within_seconds,
	},
}

default reversal_terms := null

reversal_terms := reversal.document

# What is wrong with the request itself, each with its place.
default faults := set()

faults := (limits.faults | constraints.faults) | (leg.faults | reversal.faults) if action

reasons contains fault.code if some fault in faults

# --- Which rules and which data decided: paths below policy/ ---

rules contains concat("", ["data/catalogue ", input.action.name]) if action

rules contains concat("", ["data/tiers ", classification.tier_name]) if tier

rules contains concat("", ["data/context ", raise.reason]) if some raise in classification.raises

rules contains concat("", ["data/legal-bases ", leg.template.basis]) if leg.template

rules contains concat("", ["data/agents ", input.subject.id, " ceilings"]) if classification.agent.ceilings[input.action.name]

rules contains concat("", ["data/velocity ", limit.rule]) if some limit in velocity.limits

rules contains concat("", ["data/catalogue ", reversal.name, " reverses"]) if reversal.wanted

rules contains concat("", ["atb/constraints ", name]) if some name in constraints.typed

rules contains concat("", ["atb/requirement attest ", name]) if some name in requirement.attest

rules contains concat("", ["deny ", reason]) if some reason in reasons

# --- Who asks for what ---

reasons contains "unknown_action" if not action

reasons contains "agent_unknown" if not agent_known

# A rule of its own: `not f(input.subject.id)` would be undefined, and no reason, where there is no id.
agent_known if directory.agent(input.subject.id)

reasons contains "agent_not_allowed" if {
	action
	directory.agent(input.subject.id)
	not agent_allowed
}

agent_allowed if {
	some pattern in directory.agent(input.subject.id).actions
	covers(pattern, input.action.name)
}

agent_allowed if tier.every_agent

covers("*", _)

covers(pattern, name) if pattern == name

covers(pattern, name) if {
	endswith(pattern, ".*")
	startswith(name, trim_suffix(pattern, "*"))
}

reasons contains "agent_suspended" if {
	directory.agent(input.subject.id)
	not directory.agent(input.subject.id).state == "active"
}

reasons contains reason if some reason in velocity.reasons

# --- Lifetime ---

longest_ttl := tier.ttl_seconds if not reversal.wanted

longest_ttl := min([tier.ttl_seconds, reversal.longest_ttl]) if reversal.wanted

ttl_seconds := longest_ttl if context.ttl_seconds == null

ttl_seconds := context.ttl_seconds if {
	ttl_well_formed
	context.ttl_seconds <= longest_ttl
}

ttl_well_formed if {
	is_number(context.ttl_seconds)
	context.ttl_seconds >= 1
	context.ttl_seconds == floor(context.ttl_seconds)
}

reasons contains "ttl_malformed" if {
	object.get(context, "ttl_seconds", "absent") != null
	not ttl_well_formed
}

reasons contains "ttl_above_cap" if {
	ttl_well_formed
	context.ttl_seconds > longest_ttl
}

# --- Ticket ---

reasons contains reason if some reason in ticket.reasons

# --- Approvers that the agent nominates ---

nominated := context.approvers

reasons contains "approvers_too_few" if {
	count(nominated) == 1
}

reasons contains "approver_unknown" if {
	some id in nominated
	not directory.person(id)
	not id == input.subject.id
}

reasons contains "approver_is_requester" if {
	some id in nominated
	directory.on_requesters_side(id, input.subject.id)
}

reasons contains "approvers_not_distinct" if {
	some i, j
	i < j
	same_principal(nominated[i], nominated[j])
}

same_principal(a, b) if a == b

same_principal(a, b) if directory.same_person(a, b)

reasons contains "invalid_request" if not well_formed

well_formed if {
	is_array(context.approvers)
	is_boolean(context.requires_dual_control)
	is_object(context.params)
	is_object(context.leg)
	is_array(context.verdicts)
	is_number(context.now)
}

# --- Verdicts ---

default rejected := false

rejected if count(verdicts.rejections) > 0

reasons contains "rejected" if rejected

missing_ordinary := max([0, requirement.approvals - count(verdicts.ordinary)])

missing_approvals := missing_ordinary if count(verdicts.glass) == 0

missing_approvals := min([missing_ordinary, max([0, break_glass.people - count(verdicts.glass)])]) if {
	count(verdicts.glass) > 0
}

default glass_broken := false

glass_broken if {
	missing_ordinary > 0
	verdicts.broken(verdicts.approvals)
}

missing_facts := (requirement.attest - verdicts.attested) - ticket.attested

default approvals_complete := false

approvals_complete if {
	missing_approvals == 0
	count(missing_facts) == 0
}

default release_missing := false

release_missing if {
	count(requirement.release_roles) > 0
	count(verdicts.releases) == 0
}

outstanding := {
	"approvals": missing_approvals,
	"attest": sort(missing_facts),
	"release": release_missing,
}

nothing_outstanding if {
	approvals_complete
	not release_missing
}

waiting_on := requirement.roles | break_glass.roles if not approvals_complete

waiting_on := requirement.release_roles if {
	approvals_complete
	release_missing
}

waiting_on := set() if nothing_outstanding

eligible_approvers contains id if {
	not nothing_outstanding
	some id, _ in data.directory.persons
	count(directory.roles_on(id, directory.today) & waiting_on) > 0
	directory.person(id)
	not directory.on_requesters_side(id, input.subject.id)
	not verdicts.approver(id)
	not directory.away(id)
	nominated_for_now(id)
}

nominated_for_now(_) if count(nominated) == 0

nominated_for_now(id) if id in nominated

nominated_for_now(id) if {
	some principal in directory.stands_in_for(id, directory.today)
	principal in nominated
}

nominated_for_now(_) if approvals_complete

# Those who were nominated cannot be reached.
nominated_for_now(id) if count(directory.roles_on(id, directory.today) & break_glass.roles) > 0

# --- Escalation (operating model §5) ---

severity := requirement.severity

rungs := [{"after_seconds": severity.response_seconds * (i + 1), "roles": roles} | some i, roles in severity.ladder]

# Whoever is awaited is reminded within each response time.
reminders := [floor(severity.response_seconds * (i + data.requests.remind_at_share)) |
	some i in numbers.range(0, count(severity.ladder))
]
