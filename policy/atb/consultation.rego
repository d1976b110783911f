# Who works on something, who is asked about it and until when, and whose answer counts (RACI, operating model §1). Whatever
# is answered decides nothing. Data: raci, directory.
package atb.consultation

import data.atb.directory
import data.atb.responsibility
import data.atb.word

activities := responsibility.activities(input.flow, input.kind)

consulted := responsibility.holders(activities, "C")

default decision := {
	"effect": "deny",
	"reasons": ["consultation_unknown"],
	"activities": [],
	"responsible": [],
	"accountable": [],
	"consulted": [],
	"answer_seconds": 0,
	"team": null,
	"policy_revision": "",
}

decision := {
	"effect": effect,
	"reasons": sort(reasons),
	"activities": sort(activities),
	"responsible": sort(responsibility.holders(activities, "R")),
	"accountable": sort(responsibility.holders(activities, "A")),
	"consulted": sort(consulted),
	"answer_seconds": answer_seconds,
	"team": team,
	"policy_revision": data.revision,
}

# Of several activities the shortest.
default answer_seconds := 0

answer_seconds := min({data.raci[activity].answer_seconds | some activity in activities}) if count(activities) > 0

default effect := "deny"

effect := "allow" if count(reasons) == 0

# For which team somebody answers; null before anybody does.
default team := null

team := directory.person(input.word.by).team if input.word != null

reasons contains fault if {
	input.word != null
	some fault in word.faults
}

reasons contains "consultation_of_another_team" if {
	input.word != null
	not team in consulted
}
