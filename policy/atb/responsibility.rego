# Who must be told of a mandate, and whom to call: the RACI matrix (operating model §1) and the contacts (§8).
package atb.responsibility

import data.atb.classification.tier

letters[letter] contains team if {
	some activity in tier.activities
	some team, letter in data.raci[activity].teams
}

informed := sort(object.get(letters, "I", set()))

consulted := sort(object.get(letters, "C", set()))

# Who answers for mandates of a tier.
accountable_at(tier_name) := teams_at(tier_name, "A")

teams_at(tier_name, letter) := holders(activities("request", tier_name), letter)

# Whose activities something is that people work on: a request, by its tier; what people sign off, by its kind; an incident.
activities("request", kind) := {activity | some activity in data.tiers[kind].activities}

activities("proposal", kind) := {data.sign_offs[kind].activity} - {null}

activities("incident", _) := {data.incidents.activity}

holders(those, letter) := {team |
	some activity in those
	some team, held in data.raci[activity].teams
	held == letter
}

# Who hears from time to time of the mandates of each tier, and of the reviews that are open; of what people signed off,
# by its kind, and of incidents: told once a period, and never paged.
digest := {
	"period_seconds": data.digest.period_seconds,
	"most_listed": data.digest.most_listed,
	"tiers": {name: {"informed": sort(teams_at(name, "I")), "accountable": sort(accountable_at(name))} |
		some name, _ in data.tiers
	},
	"proposals": {kind: sort(holders(activities("proposal", kind), "I")) | some kind, _ in data.sign_offs},
	"incidents": sort(holders({data.incidents.activity}, "I")),
}

# How each team is reached (§8).
reached := {team: {"channel": contact.channel, "email": contact.email} | some team, contact in data.contacts}

# Whoever is responsible or accountable can be called.
contacts := {team: reached[team] |
	some letter in ["R", "A"]
	some team in letters[letter]
}
