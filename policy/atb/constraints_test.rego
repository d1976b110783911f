package atb.constraints_test

import data.atb.constraints
import data.atb.poa_test.decide
import data.atb.poa_test.request
import data.atb.poa_test.with_context

asked(action, params) := with_context(request("explorer", action), {"params": params})

# The faults of exactly this parameter.
codes(action, params, name) := {fault.code |
	some fault in decide(asked(action, params)).faults
	fault.pointer == concat("", ["/con/params/", name])
}

fine(action, params) if {
	decision := decide(asked(action, params))
	decision.faults == []
	decision.effect in {"issue", "require"}
}

# --- attacks 20 and 22 ---

test_missing_names_itself if codes("sap.payment.execute", {}, "amount") == {"param_missing"}

test_unknown_names_itself_attack_20 if {
	every name in ["bypass_rate_limit", "allow_outside_business_hours", "allow_admin_policy", "payment_limit", "Amount", "amount ", "a/b"] {
		faults := decide(asked("sap.payment.execute", {"amount": 5, name: true})).faults
		{fault.code | some fault in faults} == {"param_unknown"}
	}
}

test_mistyped_names_itself_attack_22 if {
	every value in ["1250", "1,000,000", "", " ", "NaN", "Infinity", true, false, null, [], [1250], {}, {"value": 1250}] {
		"param_mistyped" in codes("sap.payment.execute", {"amount": value}, "amount")
	}
}

test_out_of_range_names_itself if {
	every value in [0, -0, -1, 100000.01, 1e12, 1e300, 0.001, 12.345, 1.00000000000000000001] {
		codes("sap.payment.execute", {"amount": value}, "amount") == {"param_out_of_range"}
	}
}

test_bounds_are_themselves_allowed if {
	every value in [0.01, 0.07, 1, 1250.5, 99999.99, 100000] { fine("sap.payment.execute", {"amount": value}) }
}

test_narrowed_limit_binds_the_parameter if {
	narrow := with_context(asked("sap.payment.execute", {"amount": 11}), {"limits": {"payment_limit": 10}})
	{fault.code | some fault in decide(narrow).faults} == {"param_out_of_range"}
}

test_params_that_are_no_object_deny if {
	every params in [[], null, "x", 7, true] {
		decide(asked("sap.payment.execute", params)).effect == "deny"
		decide(asked("crm.contact.read", params)).effect == "deny"
	}
}

# --- every value that a rule names passes, and its neighbours do not ---

test_listed_values_pass if {
	some_params := {"customer.pii.access": {"reference_id": "CASE-1"}, "hr.employee.export_pii": {"record_count": 1}, "customer.ccpa.export": {"request_id": "R-1"}}
	every action, params in some_params {
		every name, rule in data.catalogue.actions[action].params {
			every value in object.get(rule, "in", []) {
				codes(action, object.union(params, {name: value}), name) == set()
			}
		}
	}
	codes("hr.employee.export_pii", {"record_count": 1, "purpose": "AUDIT"}, "purpose") == {"param_not_allowed"}
	codes("hr.employee.export_pii", {"record_count": 1, "purpose": "audit "}, "purpose") == {"param_not_allowed"}
}

test_named_allowlists if {
	fine("iam.role.assign", {"role_name": "viewer", "target_user_id": "u-1"})
	codes("iam.role.assign", {"role_name": "owner", "target_user_id": "u-1"}, "role_name") == {"param_not_allowed"}
	narrow := with_context(asked("iam.role.assign", {"role_name": "editor", "target_user_id": "u-1"}), {"limits": {"assignable_roles": ["viewer"]}})
	decide(narrow).effect == "deny"
}

test_not_the_agent_itself_in_any_spelling if {
	every name in ["spiffe://corp.example/agent/explorer", "corp.example/agent/explorer", "agent/explorer", "explorer", " Explorer ", "EXPLORER"] {
		codes("iam.role.assign", {"role_name": "viewer", "target_user_id": name}, "target_user_id") == {"param_not_allowed"}
	}
}

test_integers if {
	fine("salesforce.bulk.delete", {"object_type": "Lead", "record_count": 1000})
	every value in [0, -1, 1.5, 1001] {
		count(codes("salesforce.bulk.delete", {"object_type": "Lead", "record_count": value}, "record_count")) > 0
	}
}

test_whole_number_written_as_a_fraction_is_whole if fine("salesforce.bulk.delete", {"object_type": "Task", "record_count": 10.0})

test_text_lengths_are_of_what_is_written if {
	fine("hr.compensation.change", {"percentage_change": 25, "justification": "123456789012345678901"})
	codes("hr.compensation.change", {"percentage_change": -50, "justification": "12345678901234567890"}, "justification") == {"param_out_of_range"}
	codes("hr.compensation.change", {"percentage_change": -50, "justification": "x                        "}, "justification") == {"param_out_of_range"}
	codes("hr.compensation.change", {"percentage_change": 25.5, "justification": "123456789012345678901"}, "percentage_change") == {"param_out_of_range"}
	codes("hr.compensation.change", {"percentage_change": -51, "justification": "123456789012345678901"}, "percentage_change") == {"param_out_of_range"}
}

test_blank_and_endless_strings if {
	every value in ["", " ", "\t\n"] { "param_out_of_range" in codes("crm.contact.read", {"contact_id": value}, "contact_id") }
	long := concat("", [x | some _ in numbers.range(1, 1001); x := "x"])
	codes("crm.contact.read", {"contact_id": long}, "contact_id") == {"param_out_of_range"}
}

test_lower_and_upper_ceilings if {
	every value in [0, 50, 100] { fine("scada.setpoint.change", {"new_value": value}) }
	every value in [-1, 101] { codes("scada.setpoint.change", {"new_value": value}, "new_value") == {"param_out_of_range"} }
	fine("hr.payroll.run", {"payroll_period": "2026-03", "employee_count": 10000})
	fine("sap.vendor.change", {"amount": 0})
	codes("sap.vendor.change", {"amount": 5001}, "amount") == {"param_out_of_range"}
	fine("ot.system.manual_override", {"override_window_seconds": 900})
	codes("ot.system.manual_override", {"override_window_seconds": 901}, "override_window_seconds") == {"param_out_of_range"}
	fine("sap.payment.batch_release", {"batch_count": 100, "total_amount": 1000000})
}

test_not_zero if {
	ledger := {"gl_account": "1000", "cost_center": "CC-1"}
	every amount in [1, -1, 0.01] { fine("sap.journal_entry.post", object.union(ledger, {"amount": amount})) }
	codes("sap.journal_entry.post", object.union(ledger, {"amount": 0}), "amount") == {"param_not_allowed"}
}

test_dates if {
	every date in ["2026-02-28", "2024-02-29", "2000-02-29", "2026-12-31", "0001-04-30"] { fine("workday.compensation.change", effective(date)) }
	every date in ["2026-02-29", "1900-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-1-1", "01.02.2026", "2026-01-01T00:00:00Z"] {
		codes("workday.compensation.change", effective(date), "effective_date") == {"param_not_allowed"}
	}
}

# --- rules over several parameters ---

test_administrator_policies_are_refused if {
	fine("aws.iam.policy_attach", {"policy_arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"})
	every arn in ["arn:aws:iam::aws:policy/Administrator", "arn:aws:iam::aws:policy/AdministratorAccess", "arn:aws:iam::aws:policy/administratoraccess"] {
		codes("aws.iam.policy_attach", {"policy_arn": arn}, "policy_arn") == {"param_not_allowed"}
	}
	every arn in ["arn:aws:s3:::bucket", " arn:aws:iam::aws:policy/ReadOnlyAccess"] {
		codes("aws.iam.policy_attach", {"policy_arn": arn}, "policy_arn") == {"param_not_allowed"}
	}
}

test_policy_data_may_permit_what_the_requester_may_not if {
	question := asked("aws.iam.policy_attach", {"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"})
	entry := data.catalogue.actions["aws.iam.policy_attach"]
	decision := decide(question) with data.catalogue.actions as {"aws.iam.policy_attach": object.union(entry, {"ceilings": {"allow_admin_policy": true}})}
	decision.effect == "require"
	wide := decide(with_context(question, {"limits": {"allow_admin_policy": true}}))
	"limit_wider" in wide.reasons
}

test_protected_vaults if {
	fine("azure.keyvault.secret_set", secret("test-kv"))
	every vault in ["prod-kv", "PROD-KV", " prod-kv "] {
		codes("azure.keyvault.secret_set", secret(vault), "vault_name") == {"param_not_allowed"}
	}
	unprotected := with_context(asked("azure.keyvault.secret_set", secret("prod-kv")), {"limits": {"protected_vaults": []}})
	"limit_wider" in decide(unprotected).reasons
	more := with_context(asked("azure.keyvault.secret_set", secret("test-kv")), {"limits": {"protected_vaults": ["prod-kv", "test-kv"]}})
	decide(more).effect == "deny"
	not "limit_wider" in decide(more).reasons
}

test_owner_of_a_subscription if {
	fine("azure.rbac.assign", owner("/subscriptions/s/resourceGroups/g"))
	codes("azure.rbac.assign", owner("/subscriptions/s"), "role_name") == {"param_not_allowed"}
	codes("azure.rbac.assign", object.union(owner("/subscriptions/s"), {"role_name": " owner"}), "role_name") == {"param_not_allowed"}
	fine("azure.rbac.assign", object.union(owner("/subscriptions/s"), {"role_name": "Reader"}))
}

change(more) := object.union({"change_number": "CHG-1"}, more)

test_emergency_changes if {
	approved := decide(asked("servicenow.change.emergency_approve", change({"cab_approved": true})))
	approved.effect == "require"
	approved.requirement.attest == ["cab_approved"]
	emergency := decide(asked("servicenow.change.emergency_approve", change({"emergency_flag": true, "emergency_justification": "the whole site is down"})))
	emergency.effect == "require"
	emergency.requirement.attest == []
	both := decide(asked("servicenow.change.emergency_approve", change({"cab_approved": true, "emergency_flag": true, "emergency_justification": "short"})))
	both.requirement.attest == ["cab_approved"]
	every more in [
		{},
		{"cab_approved": false},
		{"cab_approved": "true"},
		{"emergency_flag": true},
		{"emergency_flag": true, "emergency_justification": "12345678901234567890"},
		{"emergency_flag": "yes", "emergency_justification": "the whole site is down"},
		{"emergency_flag": false, "emergency_justification": "the whole site is down"},
	] {
		decide(asked("servicenow.change.emergency_approve", change(more))).effect == "deny"
	}
}

# --- what the agent may claim, and not prove (attack 19) ---

test_a_claim_proves_nothing if {
	bank := {"vendor_id": "V-1", "change_reason": "the supplier moved banks"}
	every params in [bank, object.union(bank, {"second_channel_verified": true})] {
		decision := decide(asked("sap.vendor.bank_change", params))
		decision.requirement.attest == ["second_channel_verified"]
		decision.outstanding.attest == ["second_channel_verified"]
	}
	every claim in [false, "true", 1, null] {
		decide(asked("sap.vendor.bank_change", object.union(bank, {"second_channel_verified": claim}))).effect == "deny"
	}
}

test_days_are_somebody_elses_to_say if {
	fine("customer.gdpr.erasure", {"request_id": "R-1", "days_since_request": 30}) with data.catalogue.actions["customer.gdpr.erasure"].legal_bases as ["CONTRACT"]
	codes("customer.gdpr.erasure", {"request_id": "R-1"}, "days_since_request") == {"param_missing"}
	codes("customer.gdpr.erasure", {"request_id": "R-1", "days_since_request": 31}, "days_since_request") == {"param_out_of_range"}
}

# --- reads ---

test_reads_take_what_names_something if {
	fine("crm.contact.read", {"contact_id": "C-42", "page": 2, "archived": false})
	every value in [[], {}, null] { "param_mistyped" in codes("crm.contact.read", {"contact_id": value}, "contact_id") }
}

test_reads_take_no_ceilings_and_no_proofs if {
	every name in ["bypass_rate_limit", "allow_outside_business_hours", "payment_limit", "liability_cap", "dual_control", "second_channel_verified", "safety_officer_approved", "max_rows", "approval", "Contact_Id", "contact-id", ""] {
		faults := decide(asked("crm.contact.read", {name: true})).faults
		"param_unknown" in {fault.code | some fault in faults}
	}
}

# --- an agent's own ceilings ---

test_an_agents_ceiling_replaces_the_actions if {
	narrow := with_context(request("finance-bot", "erp.refund.process"), {"params": {"amount": 5001}})
	decide(narrow).effect == "deny"
	fine("erp.refund.process", {"amount": 5001})
	decide(with_context(request("finance-bot", "erp.refund.process"), {})).limits == {"refund_limit": 5000}
}

test_a_bound_that_is_no_number_bounds_everything if {
	entry := object.union(object.remove(data.catalogue.actions["sap.payment.execute"], ["ceilings"]), {"ceilings": {}})
	decision := decide(asked("sap.payment.execute", {"amount": 1})) with data.catalogue.actions as {"sap.payment.execute": entry}
	decision.reasons == ["param_out_of_range"]
}

effective(date) := {"percentage_change": 1, "effective_date": date}

secret(vault) := {"vault_name": vault, "secret_name": "db"}

owner(scope) := {"role_name": "Owner", "principal_id": "p-1", "scope": scope}
