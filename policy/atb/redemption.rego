# Policy once more, when a mandate is redeemed: on the request as it really is, with what is true now. The input is the
# one of atb.poa, with the mandate, the connector and the method beside it.
package atb.redemption

import data.atb.classification
import data.atb.directory
import data.atb.leg
import data.atb.limits
import data.atb.poa
import data.atb.ticket

default decision := {"effect": "deny", "tier": null, "reasons": ["policy_denied"], "policy_revision": ""}

decision := {
	"effect": "allow",
	"tier": tier,
	"reasons": [],
	"policy_revision": data.revision,
} if {
	count(reasons) == 0
	limits.effective
}

decision := {
	"effect": "deny",
	"tier": tier,
	"reasons": sort(reasons),
	"policy_revision": data.revision,
} if {
	count(reasons) > 0
}

# Decided as at issuance: action, agent, limits, constraints and context, with today's policy. Not the whole decision:
# who could approve is nobody's question any more.
tier := classification.tier_name

reasons contains reason if {
	some reason in poa.reasons
	not reason in excused
}

# Whoever reads without a mandate states no legal ground: the allowlist is the ground (operating model §3).
excused contains fault.code if {
	not mandated
	low_risk_read
	input.context.leg == {}
	some fault in leg.faults
}

# The broker reverses for the people who approved it: what the agent may do today is no reason to leave it undone.
excused contains reason if {
	reverses
	some reason in {"agent_not_allowed", "agent_suspended", "agent_unknown"}
}

reverses if is_string(input.mandate.reverses)

reasons contains "reversal_not_possible" if {
	reverses
	not still_reverses
}

still_reverses if data.catalogue.actions[input.mandate.reverses].reversed_by == input.action.name

ranks := {"low": 1, "medium": 2, "high": 3, "critical": 4}

# What was approved at a lower tier was approved by too few.
reasons contains "tier_raised" if {
	mandated
	not tier_holds
}

tier_holds if ranks[tier] <= ranks[input.mandate.tier]

reasons contains "agent_suspended" if not agent_active

agent_active if object.get(directory.agent(input.subject.id), "state", "active") == "active"

agent_active if reverses

# An agent that is not known is told so, not that it is suspended.
agent_active if not directory.agent(input.subject.id)

reasons contains "connector_closed" if not connector_open

connector_open if input.connector.state == "active"

# A ticket that a mandate stands on stays good until the mandate is used.
reasons contains reason if {
	is_string(input.context.ticket)
	some reason in ticket.reasons
}

mandated if is_object(input.mandate)

reasons contains "mandate_missing" if {
	not mandated
	not low_risk_read
}

# Operating model §3: low risk needs a mandate, or the allowlist where that is switched on.
low_risk_read if {
	input.allow_unmandated_low_risk == true
	tier == "low"
	poa.nothing_outstanding
	input.method in {"GET", "HEAD"}
	input.method in object.get(data.catalogue.actions[input.action.name], "methods", [])
}
