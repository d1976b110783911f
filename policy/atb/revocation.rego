# Who may stop an agent, a connector, a request, a tier or everything, and who may lift that again. Stopping is one
# person's decision and quick (data: revocation.stop_roles); lifting the stop of everything takes two (lift_approvals).
package atb.revocation

import data.atb.directory

default decision := {"effect": "deny", "reasons": ["not_allowed_to_stop"]}

decision := {"effect": "allow", "reasons": []} if {
	input.operation == "stop"
	may_stop
}

decision := {"effect": "allow", "reasons": []} if {
	input.operation == "lift"
	directory.may_revoke_any
	count(lifting) >= needed
}

decision := {"effect": "wait", "reasons": []} if {
	input.operation == "lift"
	directory.may_revoke_any
	count(lifting) < needed
}

decision := {"effect": "deny", "reasons": ["stop_is_final"]} if {
	input.operation == "lift"
	directory.may_revoke_any
	not needed
}

may_stop if {
	some role in data.revocation.stop_roles[input.scope]
	role in directory.roles(input.id)
}

# Whoever owns an agent answers for it, and may stop it at once.
may_stop if {
	input.scope == "agent"
	directory.agent(input.value).owner == input.id
	directory.person(input.id)
}

needed := data.revocation.lift_approvals[input.scope]

# One person under two names counts once, and only those who may lift.
lifting contains directory.canonical(input.id)

lifting contains directory.canonical(earlier.by) if {
	some earlier in input.lifts
	input.now - earlier.at >= 0
	input.now - earlier.at <= data.revocation.lift_within_seconds
	directory.person(earlier.by).team in data.directory.teams_that_may_revoke
}
