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
accountable_at(tier_name) := {team |
	some activity in data.tiers[tier_name].activities
	some team, letter in data.raci[activity].teams
	letter == "A"
}

# Whoever is responsible or accountable can be called.
contacts := {team: {"channel": contact.channel, "email": contact.email} |
	some letter in ["R", "A"]
	some team in letters[letter]
	contact := data.contacts[team]
}
