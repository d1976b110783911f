# Ceilings: the action's, or the agent's own where policy data gives it some. con.limits may narrow them, never widen
# them, and never name others. A wider value is refused, not clipped.
package atb.limits

import data.atb.classification.action
import data.atb.classification.agent

ceilings := object.union(
	object.get(action, "ceilings", {}),
	object.get(agent, ["ceilings", input.action.name], {}),
)

asked := input.context.limits

default asked_well := false

asked_well if is_object(asked)

default effective := {}

effective := object.union(ceilings, asked) if asked_well

# The ceilings that bound a parameter from below: narrower is higher.
lower_bounds contains param.min if some param in action.params

# The ceilings that list what is refused: narrower is longer.
refusing_lists contains condition["in"] if {
	some refusal in action.refuse
	some condition in refusal.when
}

faults contains {"pointer": "/con/limits", "code": "limits_malformed", "detail": "con.limits must be an object"} if not asked_well

faults contains {"pointer": pointer, "code": "limit_unknown", "detail": detail} if {
	asked_well
	some name, _ in asked
	not known(name)
	pointer := concat("", ["/con/limits/", name])
	detail := concat("", [name, " is no ceiling of ", input.action.name])
}

faults contains {"pointer": pointer, "code": "limits_malformed", "detail": detail} if {
	asked_well
	some name, value in asked
	known(name)
	type_name(value) != type_name(ceilings[name])
	pointer := concat("", ["/con/limits/", name])
	detail := concat("", [name, " must be of type ", type_name(ceilings[name])])
}

faults contains {"pointer": pointer, "code": "limit_wider", "detail": detail} if {
	asked_well
	some name, value in asked
	known(name)
	type_name(value) == type_name(ceilings[name])
	not within(name, value)
	pointer := concat("", ["/con/limits/", name])
	detail := concat("", [name, " may narrow ", json.marshal(ceilings[name]), ", not widen it"])
}

known(name) if {
	some ceiling, _ in ceilings
	ceiling == name
}

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
	not name in refusing_lists
	every item in value { item in ceilings[name] }
}

within(name, value) if {
	is_array(value)
	name in refusing_lists
	every item in ceilings[name] { item in value }
}
