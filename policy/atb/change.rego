# When changes are looked at and who hears of them (operating model §7, §1). Whose words count is sign_off's.
package atb.change

plan := {
	"cab": object.union(data.changes.cab, {"time_zone": data.calendar.time_zone}),
	"cab_required": data.changes.cab_required,
	"same_target": data.changes.same_target,
	"review_seconds": data.changes.review_seconds,
	"teams": sort(teams),
	"paged_roles": sort(data.changes.paged_roles),
	"review_roles": sort(review_roles),
}

# Whoever is Informed hears of it by the digest.
teams contains team if {
	some team, letter in data.raci[data.changes.activity].teams
	letter != "I"
}

review_roles contains role if {
	some step in data.sign_offs.change_word.steps
	step.name == "review"
	some role in step.roles
}
