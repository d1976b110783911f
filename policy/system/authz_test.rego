package system.authz_test

import data.system.authz

secret := "0123456789abcdef0123456789abcdef"

allowed(request) if {
	authz.allow with input as request with opa.runtime as {"env": {"ATB_OPA_TOKEN": secret}}
}

question := {"method": "POST", "path": ["v1", "data", "atb", "poa", "decision"], "identity": secret}

test_the_worker_may_ask if allowed(question)

test_the_worker_may_ask_for_the_revision_and_the_clock if {
	every path in [["revision"], ["calendar", "time_zone"]] {
		allowed(object.union(question, {"path": array.concat(["v1", "data"], path)}))
	}
	not allowed(object.union(question, {"path": ["v1", "data", "calendar", "holidays"]}))
}

test_anybody_may_see_whether_it_is_up if allowed({"method": "GET", "path": ["health"]})

test_nobody_may_ask_without_the_token if {
	every identity in ["", null, "x", concat("", [secret, " "])] {
		not allowed(object.union(question, {"identity": identity}))
	}
	not allowed(object.remove(question, ["identity"]))
}

test_nobody_may_do_anything_else if {
	every method in ["GET", "PUT", "PATCH", "DELETE"] {
		not allowed(object.union(question, {"method": method}))
	}
	every path in [
		[],
		["v1", "policies", "x"],
		["v1", "data"],
		["v1", "data", "atb"],
		["v1", "data", "atb", "directory", "persons"],
		["v1", "data", "other", "poa", "decision"],
		["v1", "data", "directory"],
		["v1", "query"],
		["v1", "config"],
	] {
		not allowed(object.union(question, {"path": path}))
	}
}

test_a_short_or_missing_token_opens_nothing if {
	every token in ["", "short"] {
		not authz.allow with input as object.union(question, {"identity": token})
			with opa.runtime as {"env": {"ATB_OPA_TOKEN": token}}
	}
	not authz.allow with input as question with opa.runtime as {"env": {}}
}
