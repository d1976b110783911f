# Who the holder of another issuer's token is: an agent's platform (identity.platforms), the company's identity
# provider for people (identity.people). Input: use, issuer, and the verified claims, or null to ask for the issuer.
package atb.identity

configured := data.identity[input.use][input.issuer] if input.use in {"platforms", "people"}

default answer := {"issuer": null, "spiffe_ids": []}

answer := {
	"issuer": {
		"jwks_uri": configured.jwks_uri,
		"audience": configured.audience,
		"algorithms": configured.algorithms,
		"max_age_seconds": configured.max_age_seconds,
		"ttl_seconds": configured.ttl_seconds,
	},
	"spiffe_ids": sort(spiffe_ids),
}

# A rule that asks for nothing would be everybody's.
spiffe_ids contains rule.spiffe_id if {
	some rule in configured.subjects
	count(rule.claims) > 0
	every name, value in rule.claims {
		input.claims[name] == value
	}
}
