# The legal ground (operating model §3, §4). Data: legal_bases, templates, jurisdictions. Every fault is listed, each with
# its place.
package atb.leg

import data.atb.classification.action
import data.atb.classification.tier_name
import data.atb.directory

leg := input.context.leg

faults := ((missing | unknown) | (malformed | jurisdiction)) | (party | basis)

fault(claim, code, detail) := {"pointer": concat("", ["/leg", claim]), "code": code, "detail": detail}

default given := set()

given := object.keys(leg) if is_object(leg)

malformed contains fault("", "leg_malformed", "leg must be an object") if not is_leg

is_leg if is_object(leg)

# --- Which claims there must be, and which there may ---

missing contains fault(concat("", ["/", name]), "leg_incomplete", concat("", [name, " is missing"])) if {
	some name in data.legal_bases.required[tier_name]
	not name in given
}

missing contains fault(concat("", ["/", name]), "leg_incomplete", concat("", ["the ground ", leg.basis, " needs ", name])) if {
	some name in template.required
	not name in given
}

template := found if {
	some found in data.templates
	found.basis == leg.basis
}

unknown contains fault(concat("", ["/", name]), "leg_claim_unknown", concat("", [name, " is no claim of a legal ground"])) if {
	some name in given
	not data.legal_bases.claims[name]
	not data.legal_bases.claims_of_the_broker[name]
}

unknown contains fault(concat("", ["/", name]), "self_asserted_approval", concat("", [name, " is filled in by the broker, from signed verdicts only"])) if {
	some name in given
	data.legal_bases.claims_of_the_broker[name]
	not redeeming
}

# A mandate that is redeemed carries them rightly: its signature was verified.
redeeming if is_object(input.mandate)

malformed contains fault(concat("", ["/", name]), "leg_malformed", concat("", [name, " must be a string of 1 to ", json.marshal(most), " characters"])) if {
	some name in given
	most := data.legal_bases.claims[name].max_length
	not well_written(leg[name], most)
}

well_written(value, most) if {
	is_string(value)
	trim_space(value) != ""
	count(value) <= most
}

# --- Jurisdiction ---

jurisdiction contains fault("/jurisdiction", "jurisdiction_unknown", "jurisdiction must be an ISO 3166-1 alpha-2 code in capitals, or EU") if {
	"jurisdiction" in given
	not data.jurisdictions[leg.jurisdiction]
}

# --- Accountable party ---

party contains fault("/accountable_party", "accountable_party_malformed", "accountable_party must be {type, id}, both strings that are not blank") if {
	"accountable_party" in given
	not party_well_formed
}

party_well_formed if {
	object.keys(leg.accountable_party) == {"type", "id"}
	well_written(leg.accountable_party.type, 128)
	well_written(leg.accountable_party.id, 256)
}

party_kind := data.legal_bases.accountable_parties[leg.accountable_party.type]

party contains fault("/accountable_party/type", "accountable_party_malformed", detail) if {
	party_well_formed
	not party_kind
	detail := concat("", ["type must be one of ", concat(", ", sort(object.keys(data.legal_bases.accountable_parties)))])
}

party contains fault("/accountable_party/id", "accountable_party_is_agent", "an agent answers for nothing: name a person or an organisation") if {
	party_well_formed
	names_an_agent(leg.accountable_party.id)
}

# In every spelling by which a directory would find it.
names_an_agent(text) if directory.agent(lower(trim_space(text)))

names_an_agent(text) if endswith(concat("", ["/", input.subject.id]), concat("", ["/", lower(trim_space(text))]))

names_an_agent(text) if contains(concat("", ["/", lower(trim_space(text))]), "/agent/")

party contains fault("/accountable_party/id", "accountable_party_unknown", detail) if {
	party_well_formed
	not known_party(party_kind.known_in, leg.accountable_party.id)
	detail := concat("", ["there is no such ", leg.accountable_party.type, " in the directory"])
}

known_party("persons", id) if directory.person(id)

known_party("teams", id) if data.directory.teams[id]

# --- Basis ---

basis contains fault("/basis", "legal_basis_unknown", "basis must be one of the templates' (atb template ls)") if {
	"basis" in given
	not template
}

basis contains fault("/basis", "legal_basis_not_accepted", detail) if {
	template
	not leg.basis in object.get(action, "legal_bases", [])
	detail := concat("", [input.action.name, " accepts ", concat(", ", object.get(action, "legal_bases", []))])
}
