package atb.revocation_test

import data.atb.revocation

person(name) := sprintf("spiffe://corp.example/person/%s", [name])

agent(name) := sprintf("spiffe://corp.example/agent/%s", [name])

ask(caller, operation, scope, value, lifts) := decision if {
	decision := revocation.decision with input as {
		"id": caller,
		"operation": operation,
		"scope": scope,
		"value": value,
		"lifts": lifts,
		"now": 1000,
	}
}

test_security_stops_everything if ask(person("carol"), "stop", "everything", "*", []).effect == "allow"

test_others_do_not_stop_everything if ask(person("alice"), "stop", "everything", "*", []).effect == "deny"

test_an_owner_stops_the_own_agent if ask(person("alice"), "stop", "agent", agent("finance-bot"), []).effect == "allow"

test_an_owner_does_not_stop_another_agent if {
	ask(person("alice"), "stop", "agent", agent("hr-helper"), []).effect == "deny"
}

test_an_owner_does_not_lift if ask(person("alice"), "lift", "agent", agent("finance-bot"), []).effect == "deny"

test_an_agent_stops_nothing if ask(agent("explorer"), "stop", "agent", agent("explorer"), []).effect == "deny"

test_one_person_lifts_an_agent if ask(person("carol"), "lift", "agent", agent("finance-bot"), []).effect == "allow"

test_one_person_does_not_lift_everything if ask(person("carol"), "lift", "everything", "*", []).effect == "wait"

test_two_people_lift_everything if {
	ask(person("carol"), "lift", "everything", "*", [{"by": person("dave"), "at": 900}]).effect == "allow"
}

test_the_same_person_twice_is_one if {
	ask(person("carol"), "lift", "everything", "*", [{"by": person("carol"), "at": 900}]).effect == "wait"
}

test_an_old_proposal_does_not_count if {
	ask(person("carol"), "lift", "everything", "*", [{"by": person("dave"), "at": 1}]).effect == "wait"
}

test_a_proposal_from_the_future_does_not_count if {
	ask(person("carol"), "lift", "everything", "*", [{"by": person("dave"), "at": 1001}]).effect == "wait"
}

test_who_may_not_lift_does_not_count if {
	ask(person("carol"), "lift", "everything", "*", [{"by": person("alice"), "at": 900}]).effect == "wait"
}

test_a_request_is_not_revived if ask(person("carol"), "lift", "request", "r-1", []).reasons == ["stop_is_final"]

test_security_stops_a_tier if ask(person("carol"), "stop", "tier", "high", []).effect == "allow"

test_platform_ops_stops_a_connector_and_no_tier if {
	ask(person("grace"), "stop", "connector", "erp", []).effect == "allow"
	ask(person("grace"), "stop", "tier", "high", []).effect == "deny"
}

test_one_person_lifts_a_tier if ask(person("dave"), "lift", "tier", "high", []).effect == "allow"

test_an_unknown_scope_is_refused if ask(person("carol"), "stop", "world", "*", []).effect == "deny"
