# When approvers cannot be reached: some people of a role of its own approve in their place, and answer for it afterwards.
# Closed unless the data names the role and the tier, and until the request has waited so many rungs in vain.
package atb.break_glass

import data.atb.classification
import data.atb.requirement

settings := data.break_glass

people := max([2, settings.people])

default open := false

open if {
	is_string(settings.role)
	classification.tier_name in settings.tiers
	count(requirement.climbed) >= min([settings.after_rungs, count(requirement.severity.ladder)])
}

roles := {settings.role | open}

# An approval in that role is never counted as an ordinary one.
word(verdict) if {
	verdict.verdict == "approve"
	verdict.role == settings.role
}
