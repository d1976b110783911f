# The mandate that is paired with an action's, where it is asked for: what the broker alone may do when the system
# reports a failure after it has committed. Its action is the one that the catalogue names, its values are the action's
# own. Data: catalogue (reversed_by), reversal.
package atb.reversal

import data.atb.classification.action
import data.atb.constraints
import data.atb.leg
import data.atb.limits

default wanted := false

wanted if input.context.reversal == true

name := action.reversed_by

reversing := data.catalogue.actions[name]

# Those values of the action that the reversing action knows.
params := {param: value |
	some param, value in input.context.params
	reversing.params[param]
}

document := {
	"act": name,
	"params": sort(object.keys(params)),
	"limits": ceilings,
	"ttl_seconds": data.reversal.ttl_seconds,
} if {
	wanted
	reversing
}

ceilings := found if found := limits.ceilings with input.action.name as name

# The action is over while its reversal still can be had.
longest_ttl := data.reversal.ttl_seconds - data.reversal.reserve_seconds

fault(detail) := {"pointer": "/reversal", "code": "reversal_not_possible", "detail": detail}

faults contains fault("reversal must be true or false") if {
	asked := object.get(input.context, "reversal", false)
	not is_boolean(asked)
}

faults contains fault(concat("", ["no action of the catalogue reverses ", input.action.name])) if {
	wanted
	action
	not reversing
}

faults contains fault(concat("", ["no value says what ", name, " is to reverse"])) if {
	wanted
	reversing
	count(params) == 0
}

# What would be refused when it is needed is refused now.
faults contains fault(concat("", [name, ": ", reason.detail])) if {
	wanted
	reversing
	some reason in (constraint_faults | leg_faults)
}

constraint_faults := found if {
	found := constraints.faults with input.action.name as name
		with input.context.params as params
		with input.context.limits as {}
}

leg_faults := found if found := leg.faults with input.action.name as name
