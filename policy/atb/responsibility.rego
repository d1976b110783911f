# Who must be told of a mandate, and whom to call: the RACI matrix (operating model §1) and the contacts (§8).
package atb.responsibility

import data.atb.classification.tier

letters[letter] contains team if {
	some activity in tier.activities
	some team, letter in data.raci[activity].teams
}

informed := sort(object.get(letters, "I", set()))

consulted := sort(object.get(letters, "C", set()))

# Whoever is responsible or accountable can be called.
contacts := {team: {"channel": contact.channel, "email": contact.email} |
	some letter in ["R", "A"]
	some team in letters[letter]
	contact := data.contacts[team]
}
