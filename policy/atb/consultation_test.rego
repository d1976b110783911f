package atb.consultation_test

import data.atb.consultation
import data.atb.responsibility

person(name) := sprintf("spiffe://corp.example/person/%s", [name])

asked(flow, kind) := answer if {
	answer := consultation.decision with input as {"flow": flow, "kind": kind, "word": null, "now": 1000} with data.revision as "test"
}

answered(name, role, changes) := answer if {
	word := object.union(
		{
			"jti": "j",
			"by": person(name),
			"certificate": "c",
			"step": "answer",
			"verdict": "approve",
			"role": role,
			"reasoned": true,
			"issued_at": 1000,
			"received_at": 1000,
		},
		changes,
	)
	answer := consultation.decision with input as {"flow": "incident", "kind": "manual", "word": word, "now": 1000}
		with data.revision as "test"
}

test_an_incident_is_securitys_and_asks_the_two_teams_of_section_1 if {
	every kind in ["manual", "ATBSomethingNew"] {
		decision := asked("incident", kind)
		decision.effect == "allow"
		decision.responsible == ["Security"]
		decision.accountable == ["Platform-Ops"]
		decision.consulted == ["AgentAuth-Team", "Broker-Team"]
		decision.answer_seconds == data.raci.incident_response.answer_seconds
	}
}

test_requests_by_their_tier if {
	asked("request", "medium").consulted == ["Security"]
	asked("request", "medium").responsible == ["AgentAuth-Team"]
	high := asked("request", "high")
	high.consulted == ["Legal", "Security"]
	high.accountable == ["Legal", "Security"]
	high.answer_seconds == 1800
}

test_what_is_signed_off_by_its_kind if {
	asked("proposal", "policy_bundle").consulted == ["AgentAuth-Team"]
	asked("proposal", "connector").consulted == ["Platform-Ops", "Security"]
	asked("proposal", "change").consulted == ["AgentAuth-Team", "Broker-Team"]
	asked("proposal", "change").responsible == ["Platform-Ops"]
}

# A decoy that teams are asked about is none.
test_nobody_is_asked_about_probes if {
	every kind in ["probe", "suspension_lift"] {
		decision := asked("proposal", kind)
		decision.effect == "allow"
		(count(decision.consulted) + count(decision.responsible)) + count(decision.accountable) == 0
	}
}

test_what_there_is_not_is_asked_of_nobody if {
	asked("proposal", "wish").reasons == ["consultation_unknown"]
	asked("request", "enormous").consulted == []
	asked("wish", "manual").reasons == ["consultation_unknown"]
}

test_the_matrix_decides if {
	decision := consultation.decision with input as {"flow": "incident", "kind": "manual", "word": null, "now": 1000}
		with data.revision as "test"
		with data.raci.incident_response as {"title": "t", "answer_seconds": 7, "teams": {"Legal": "C", "Security": "R"}}
	decision.consulted == ["Legal"]
	decision.answer_seconds == 7
}

test_a_member_of_a_team_that_was_asked_answers_for_it if {
	decision := answered("kim", "engineer", {})
	decision.effect == "allow"
	decision.team == "Broker-Team"
	answered("leo", "engineer", {}).team == "AgentAuth-Team"
}

test_nobody_answers_for_another_team if {
	answered("carol", "security", {}).reasons == ["consultation_of_another_team"]
	"verdict_by_unknown_person" in answered("mallory", "engineer", {}).reasons
	answered("mallory", "engineer", {}).effect == "deny"
}

test_an_answer_is_a_word_like_others if {
	answered("kim", "ciso", {}).reasons == ["verdict_role_not_held"]
	answered("kim", "engineer", {"issued_at": 0}).reasons == ["verdict_stale"]
	answered("kim", "engineer", {"issued_at": 99999999}).reasons == ["verdict_from_future"]
}

test_each_team_is_reached_by_the_contact_of_section_8 if {
	responsibility.reached["Broker-Team"] == {"channel": "#atb-broker", "email": "broker@corp.com"}
	every activity in data.raci {
		every team, _ in activity.teams { responsibility.reached[team].email != "" }
	}
}

test_informed_of_incidents_and_of_what_is_signed_off if {
	responsibility.digest.incidents == ["Legal"]
	responsibility.digest.proposals.change == ["Legal", "Security"]
	responsibility.digest.proposals.policy_bundle == ["Legal", "Platform-Ops"]
	responsibility.digest.proposals.probe == []
}
