package atb.directory_test

import data.atb.directory
import data.atb.poa_test.person

principal(id) := found if found := directory.principal with input as {"id": id}

test_people_with_their_roles if {
	principal(person("carol")) == {"known": true, "kind": "person", "roles": ["on_call", "security"], "team": "Security", "may_revoke_any": true, "may_erase": false}
	principal(person("alice")).may_revoke_any == false
}

test_agents_hold_no_roles if {
	principal("spiffe://corp.example/agent/explorer") == {"known": true, "kind": "agent", "roles": [], "team": null, "may_revoke_any": false, "may_erase": false}
}

test_nobody_else_is_known if {
	every id in [person("mallory"), person("Bob"), "", null, 7, "bob", "https://corp.example/person/bob"] {
		principal(id).known == false
	}
}

test_who_may_erase_personal_data_is_a_right_of_its_own if {
	principal(person("ivan")).may_erase
	every id in [person("carol"), person("bob"), person("mallory"), "spiffe://corp.example/agent/explorer"] {
		principal(id).may_erase == false
	}
	carol := directory.principal with input as {"id": person("carol")} with data.directory.roles_that_may_erase as ["security"]
	carol.may_erase
}

# Attack 4.
test_an_alias_is_the_same_person if {
	aliases := {person("robert"): person("bob")}
	directory.same_person(person("robert"), person("bob")) with data.directory.aliases as aliases
	found := directory.principal with input as {"id": person("robert")} with data.directory.aliases as aliases
	found.roles == ["compliance"]
	not directory.person(person("robert"))
}

# --- The operating model's own tables ---

test_who_holds_what_of_section_1 if {
	teams := ["Broker-Team", "AgentAuth-Team", "Security", "Legal", "Platform-Ops"]
	table := {
		"Define low-risk allowlist (low_risk_allowlist)": "CRAII",
		"Approve high-risk agent actions (dual control)": "IRACI",
		"Issue PoA mandates": "IRCAI",
		"Update OPA policy (poa.rego)": "RCAII",
		"Maintain connector registry": "RICIC",
		"Define legal basis templates (leg schema)": "ICCRI",
		"Review audit logs for compliance": "IIRCI",
		"Incident response (security events)": "CCRIA",
		"Platform upgrades / deployments": "CCIIR",
	}
	{activity.title | some activity in data.raci} == object.keys(table)
	every activity in data.raci {
		concat("", [activity.teams[team] | some team in teams]) == table[activity.title]
	}
}

test_tiers_of_section_3 if {
	{name: tier.definition | some name, tier in data.tiers} == {
		"low": "Read-only, non-PII, internal data",
		"medium": "Write operations, limited PII",
		"high": "Bulk operations, PII export, financial transactions",
		"critical": "Cross-tenant, privileged access, deletion",
	}
	{name: [tier.approvals, tier.ticket, count(tier.release_roles) > 0] | some name, tier in data.tiers} == {
		"low": [0, false, false],
		"medium": [1, false, false],
		"high": [2, false, false],
		"critical": [2, true, true],
	}
}

test_escalation_of_section_5 if {
	data.escalation.P1 == {"response_seconds": 900, "ladder": [["on_call"], ["security_lead"], ["ciso"]]}
	data.escalation.P2 == {"response_seconds": 3600, "ladder": [["on_call"], ["team_lead"]]}
	data.escalation.P3 == {"response_seconds": 14400, "ladder": [["ticket_queue"]]}
	data.escalation.P4.ladder == []
}

test_contacts_of_section_8 if {
	{team: contact.channel | some team, contact in data.contacts} == {
		"Broker-Team": "#atb-broker",
		"AgentAuth-Team": "#atb-agentauth",
		"Security": "#security-oncall",
		"Legal": "#legal-privacy",
		"Platform-Ops": "#platform-ops",
	}
	data.contacts["Broker-Team"].email == "broker@corp.com"
}

test_the_catalogue_keeps_the_operating_models_promise if {
	of("low") >= 45
	of("medium") >= 40
	of("high") >= 60
	of("critical") >= 1
}

of(tier) := count([name | some name, action in data.catalogue.actions; action.tier == tier])

# Attack 6.
test_the_requesters_side if {
	bot := "spiffe://corp.example/agent/finance-bot"
	directory.on_requesters_side(bot, bot)
	directory.on_requesters_side(person("alice"), bot)
	not directory.on_requesters_side(person("bob"), bot)
	deployed := {bot: {"owner": person("alice"), "deployed_by": person("bob")}}
	directory.on_requesters_side(person("bob"), bot) with data.agents as deployed
}

test_informed_and_accountable_of_section_1 if {
	digest := data.atb.responsibility.digest
	digest.tiers.high == {"informed": ["Broker-Team", "Platform-Ops"], "accountable": ["Legal", "Security"]}
	digest.tiers.medium == {"informed": ["Broker-Team", "Platform-Ops"], "accountable": ["Legal"]}
	digest.period_seconds == data.digest.period_seconds
	digest.most_listed == data.digest.most_listed
}
