# Who may do what at the policy sidecar: ask for a decision or a principal, and see whether it is up. Nobody may
# change policy or data through its API; both come from the bundle that it was started with.
package system.authz

default allow := false

allow if {
	input.method == "POST"
	input.path in [
		["v1", "data", "atb", "poa", "decision"],
		["v1", "data", "atb", "directory", "principal"],
		["v1", "data", "revision"],
	]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
