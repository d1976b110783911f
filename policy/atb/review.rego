# Who may close the review of a broken glass: somebody Accountable for such a mandate (RACI, operating model §1) who had no
# part in it.
package atb.review

import data.atb.directory
import data.atb.responsibility

decision := {"effect": "allow", "reasons": [], "visible": true} if count(reasons) == 0

decision := {"effect": "deny", "reasons": sort(reasons), "visible": visible} if count(reasons) > 0

default visible := false

visible if directory.person(input.id).team in responsibility.accountable_at(input.tier)

reasons contains "review_by_other_team" if not visible

reasons contains "review_people_unknown" if not people_known

people_known if {
	count(input.people) > 0
	every id in input.people { accounted_for(id) }
}

accounted_for(id) if is_string(id)

# Somebody who was erased: nobody can tell who it was, but they held the role then. Whoever holds it now might be them.
accounted_for(id) if {
	id == null
	is_string(input.role)
	not input.role in directory.roles(input.id)
}

reasons contains "review_by_involved" if {
	some id in input.people
	directory.same_person(id, input.id)
}

reasons contains "review_by_involved" if input.id in input.people

reasons contains "review_by_requesters_side" if directory.on_requesters_side(input.id, input.agent)
