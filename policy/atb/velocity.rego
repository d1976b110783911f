# How many mandates may be issued in a minute, an hour and a day. Data: velocity. Policy says which limits a mandate
# falls under; the database counts, in the transaction that records the mandate.
package atb.velocity

import data.atb.classification.tier_name

# What is counted together: all mandates whose values here are the same.
values := {
	"agent": input.subject.id,
	"action": input.action.name,
	"tier": tier_name,
}

seconds := {"minute": 60, "hour": 3600, "day": 86400}

limits := [limit |
	some rule in data.velocity
	applies(rule)
	some window, most in rule.per
	limit := {
		"rule": rule.id,
		"key": concat("|", array.concat([rule.id], [values[name] | some name in rule.counted_by])),
		"most": most,
		# A window that nobody knows is the longest one: the build refuses it, and here it must not open anything.
		"window_seconds": object.get(seconds, window, 86400),
	}
]

applies(rule) if not rule.for

applies(rule) if tier_name in rule.for.tiers

applies(rule) if input.action.name in rule.for.actions

reasons contains "velocity_undefined" if not is_array(data.velocity)
