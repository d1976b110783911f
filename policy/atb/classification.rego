# What is asked for, and the tier that it falls in: the catalogue's, which context can only raise. Data: context,
# calendar (operating model §3).
package atb.classification

import data.atb.directory

action := data.catalogue.actions[input.action.name]

names := ["low", "medium", "high", "critical"]

ranks := {"low": 0, "medium": 1, "high": 2, "critical": 3}

default tier_name := null

# The highest of all that speaks for one: a raise to less than the catalogue's tier raises nothing.
tier_name := names[max({ranks[action.tier]} | {ranks[raise.to] | some raise in grounds})]

tier := data.tiers[tier_name]

# Why the tier is higher than the catalogue's.
raises contains raise if {
	some raise in grounds
	ranks[raise.to] > ranks[action.tier]
}

agent := directory.agent(input.subject.id)

params := input.context.params

# --- Another tenant's data ---

grounds contains {"to": data.context.other_tenant.to, "reason": "other_tenant", "detail": detail} if {
	some name in data.context.other_tenant.params
	some key, tenant in params
	key == name
	not own_tenant(tenant)
	detail := concat("", [name, " is not the agent's own tenant"])
}

own_tenant(tenant) if tenant == agent.tenant

# --- How much, how many ---

grounds contains {"to": threshold.to, "reason": reason, "detail": detail} if {
	some name, param in action.params
	some threshold in data.context.thresholds[param.measures]
	value := params[name]
	is_number(value)
	abs(value) > threshold.above
	reason := concat("", [param.measures, "_above_threshold"])
	detail := concat("", [name, " is above ", json.marshal(threshold.above)])
}

# --- Personal data for something that the agent is not for ---

stated_purposes contains input.context.leg.purpose

stated_purposes contains params.purpose

grounds contains {"to": data.context.other_purpose.to, "reason": "other_purpose", "detail": detail} if {
	action.classification in data.context.personal_classifications
	some purpose in stated_purposes
	not own_purpose(purpose)
	detail := "personal data is asked for with a purpose that the agent was not declared for"
}

own_purpose(purpose) if lower(trim_space(purpose)) in agent.purposes

own_purpose(_) if "*" in agent.purposes

# --- With its reversal: whoever approves the one approves the other ---

grounds contains {"to": reversing.tier, "reason": "reversal", "detail": detail} if {
	input.context.reversal == true
	reversing := data.catalogue.actions[action.reversed_by]
	detail := concat("", [action.reversed_by, ", which would reverse it, is of this tier"])
}

# --- Outside business hours, where the action says that it matters ---

grounds contains {"to": data.context.outside_business_hours[action.tier], "reason": "outside_business_hours", "detail": detail} if {
	action.business_hours == true
	not within_business_hours
	detail := concat("", ["it is outside business hours in ", data.calendar.time_zone])
}

# ISO 8601: Monday is 1.
weekdays := ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

# The clock's facts of this moment come with the input: there is no clock here.
within_business_hours if {
	moment := input.context.time
	hours := data.calendar.business_hours[weekdays[moment.weekday - 1]]
	hours.from_minute <= moment.minute_of_day
	moment.minute_of_day < hours.until_minute
	not data.calendar.holidays[moment.date]
}
