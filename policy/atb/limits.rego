# Ceilings: con.limits may narrow an action's ceilings, never widen them, and never name others.
package atb.limits

import data.atb.classification.action

ceilings := object.get(action, "ceilings", {})

# The ceilings that bound a parameter from below: narrower is higher.
lower_bounds contains param.min if some param in object.get(action, "params", {})

asked := input.context.limits

asked_well if is_object(asked)

default effective := {}

effective := object.union(ceilings, asked) if asked_well

reasons contains "limits_malformed" if not asked_well

reasons contains "limit_unknown" if {
	asked_well
	some name, _ in asked
	not known(name)
}

reasons contains "limits_malformed" if {
	asked_well
	some name, value in asked
	known(name)
	type_name(value) != type_name(ceilings[name])
}

reasons contains "limit_wider" if {
	asked_well
	some name, value in asked
	known(name)
	type_name(value) == type_name(ceilings[name])
	not within(name, value)
}

known(name) if name in object.keys(ceilings)

within(name, value) if {
	is_number(value)
	not name in lower_bounds
	value <= ceilings[name]
}

within(name, value) if {
	is_number(value)
	name in lower_bounds
	value >= ceilings[name]
}

# A permission may be given up, not taken.
within(_, value) if value == false

within(name, value) if value == ceilings[name]

within(name, value) if {
	is_array(value)
	every item in value { item in ceilings[name] }
}
