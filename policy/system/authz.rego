# Who may do what at a policy sidecar (OPA docs, "Security: Authentication and Authorization"): whoever has the token
# may ask our questions, and anybody may see whether it is up. Nobody may change policy or data through its API: both
# come from the signed bundle, which brings this rule along. Start with --authentication=token --authorization=basic.
package system.authz

default allow := false

allow if {
	input.method == "POST"
	is_question(input.path)
	is_string(token)
	count(token) >= 32
	input.identity == token
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}

is_question(["v1", "data", "revision"])

# Which clock policy's business hours go by.
is_question(["v1", "data", "calendar", "time_zone"])

is_question(["v1", "data", "atb", _, answer]) if {
	answer in {"decision", "principal", "deputies", "digest", "watch", "answer", "plan"}
}

token := opa.runtime().env.ATB_OPA_TOKEN
