# The ticket (operating model §3, critical): whoever names one is held to it, whether the tier demands one or not, for
# approvers read it and the mandate may carry it. Asked at every look: a ticket that was closed meanwhile stops it.
package atb.ticket

import data.atb.requirement

context := input.context

fact := object.get(context, "ticket_fact", null)

named if {
	is_string(context.ticket)
	trim_space(context.ticket) != ""
}

asked_for if requirement.tier.ticket

asked_for if {
	requirement.action
	object.get(context, "ticket", null) != null
}

reasons contains "ticket_missing" if {
	asked_for
	not named
}

reasons contains "ticket_not_open" if {
	asked_for
	named
	not open
}

reasons contains "ticket_not_approved" if {
	asked_for
	named
	open
	not approved
}

reasons contains "ticket_outside_window" if {
	asked_for
	named
	open
	not within_window
}

open if {
	fact.id == context.ticket
	fact.state in data.tickets.open_states
}

approved if object.get(fact, "approved", null) == true

# A system without approvals of its own: enough, unless the data says that every ticket needs one.
approved if {
	object.get(fact, "approved", null) == null
	data.tickets.approval_required == false
}

within_window if {
	is_number(context.now)
	is_number(fact.window.start)
	is_number(fact.window.end)
	fact.window.start <= context.now
	context.now <= fact.window.end
}

within_window if {
	object.get(fact, "window", null) == null
	data.tickets.window_required == false
}

good if {
	named
	open
	approved
	within_window
}

# Facts that the ticket proves, so that nobody has to vouch for them.
default attested := set()

attested := {name |
	some name in object.get(fact, "attests", [])
	is_string(name)
} if {
	good
}
