package atb.identity_test

import data.atb.identity

platforms := {"https://ci.example": {
	"jwks_uri": "https://ci.example/jwks",
	"audience": "atb",
	"algorithms": ["RS256"],
	"max_age_seconds": 600,
	"ttl_seconds": 300,
	"subjects": [
		{"claims": {"sub": "repo:corp/finance", "ref": "main"}, "spiffe_id": "spiffe://corp.example/agent/finance-bot"},
		{"claims": {}, "spiffe_id": "spiffe://corp.example/agent/explorer"},
	],
}}

answer(claims) := said if {
	said := identity.answer with input as {"use": "platforms", "issuer": "https://ci.example", "claims": claims}
		with data.identity.platforms as platforms
}

test_a_subject_is_found_by_all_its_claims if {
	answer({"sub": "repo:corp/finance", "ref": "main", "more": 1}).spiffe_ids == ["spiffe://corp.example/agent/finance-bot"]
}

test_one_claim_of_two_is_nobody if answer({"sub": "repo:corp/finance"}).spiffe_ids == []

test_another_value_is_nobody if answer({"sub": "repo:corp/finance", "ref": "dev"}).spiffe_ids == []

test_a_list_that_holds_the_value_is_not_the_value if {
	answer({"sub": ["repo:corp/finance"], "ref": "main"}).spiffe_ids == []
}

test_the_issuer_alone_can_be_asked_for if {
	asked := answer(null)
	asked.issuer.jwks_uri == "https://ci.example/jwks"
	asked.spiffe_ids == []
}

test_an_unknown_issuer_is_none if {
	identity.answer == {"issuer": null, "spiffe_ids": []} with input as {"use": "platforms", "issuer": "https://evil.example", "claims": {}}
		with data.identity.platforms as platforms
}

test_nothing_else_of_the_data_can_be_asked_for if {
	identity.answer == {"issuer": null, "spiffe_ids": []} with input as {"use": "signed_request_tiers", "issuer": 0, "claims": {}}
}

test_an_issuer_without_an_audience_is_none if {
	broken := {"https://ci.example": object.remove(platforms["https://ci.example"], ["audience"])}
	identity.answer.issuer == null with input as {"use": "platforms", "issuer": "https://ci.example", "claims": null}
		with data.identity.platforms as broken
}
