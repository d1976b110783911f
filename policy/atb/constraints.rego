# What con.params may say: each parameter that the catalogue declares, of its type and within its bounds, and nothing
# else. A fault names its parameter. Everything is phrased as "not proven good": absent, null, blank and mistyped values
# are faults like any other.
package atb.constraints

import data.atb.classification.action
import data.atb.limits

params := input.context.params

default given := set()

given := object.keys(params) if is_object(params)

declared := object.union(data.params.common, object.get(action, "params", {}))

faults := (missing | unknown) | ((mistyped | out_of_range) | not_allowed)

fault(name, code, detail) := {
	"pointer": concat("", ["/con/params/", replace(replace(name, "~", "~0"), "/", "~1")]),
	"code": code,
	"detail": detail,
}

# --- Which there must be, and which there may ---

missing contains fault(name, "param_missing", concat("", [name, " is missing"])) if {
	some name, rule in action.params
	not may_lack(rule)
	not name in given
}

may_lack(rule) if rule.optional == true

# What only an approver or a ticket can say needs no claim of the agent's; one that is made is checked.
may_lack(rule) if {
	rule.attested == true
	rule.equals == true
}

unknown contains fault(name, "param_unknown", concat("", [input.action.name, " takes no parameter ", name])) if {
	some name in given
	not declared[name]
	not tolerated(name)
}

# A read names what it reads in many ways. Whatever it names is bound into the mandate, and can widen nothing.
tolerated(name) if {
	action.other_params == true
	plain(name)
	not reserved(name)
}

# Without a regular expression, which the wasm build compiles anew at each look.
plain(name) if {
	count(name) >= 1
	count(name) <= data.params.other.max_name_length
	trim(name, data.params.other.name_characters) == ""
}

reserved(name) if data.params.other.reserved[name]

reserved(name) if {
	some prefix in data.params.other.reserved_prefixes
	startswith(name, prefix)
}

reserved(name) if {
	some suffix in data.params.other.reserved_suffixes
	endswith(name, suffix)
}

# --- Of their types ---

mistyped contains fault(name, "param_mistyped", concat("", [name, " must be a ", declared[name].type])) if {
	some name in given
	declared[name]
	not of_type(declared[name].type, params[name])
}

mistyped contains fault(name, "param_mistyped", concat("", [name, " must be a string, a number or a boolean"])) if {
	some name in given
	not declared[name]
	not is_scalar(params[name])
}

of_type("string", value) if is_string(value)

of_type("number", value) if is_number(value)

of_type("integer", value) if {
	is_number(value)
	value == floor(value)
}

of_type("boolean", value) if is_boolean(value)

is_scalar(value) if is_string(value)

is_scalar(value) if is_number(value)

is_scalar(value) if is_boolean(value)

# Those whose bounds can be asked about.
typed contains name if {
	some name in given
	of_type(declared[name].type, params[name])
}

# --- Within their bounds ---

out_of_range contains fault(name, "param_out_of_range", concat("", [name, " must not be blank"])) if {
	some name in given
	is_string(params[name])
	trim_space(params[name]) == ""
}

out_of_range contains fault(name, "param_out_of_range", concat("", [name, " has more than ", json.marshal(most), " characters"])) if {
	some name in given
	is_string(params[name])
	most := object.get(declared, [name, "max_length"], data.params.max_length)
	count(params[name]) > most
}

out_of_range contains fault(name, "param_out_of_range", concat("", [name, " needs at least ", json.marshal(declared[name].min_length), " characters"])) if {
	some name in typed
	least := declared[name].min_length
	count(trim_space(params[name])) < least
}

out_of_range contains fault(name, "param_out_of_range", concat("", [name, " must be at least ", json.marshal(told(rule.min))])) if {
	some name in typed
	rule := declared[name]
	not at_least(params[name], rule.min)
}

out_of_range contains fault(name, "param_out_of_range", concat("", [name, " must be at most ", json.marshal(told(rule.max))])) if {
	some name in typed
	rule := declared[name]
	not at_most(params[name], rule.max)
}

out_of_range contains fault(name, "param_out_of_range", concat("", [name, " must be above ", json.marshal(rule.exclusive_min)])) if {
	some name in typed
	rule := declared[name]
	is_number(rule.exclusive_min)
	not params[name] > rule.exclusive_min
}

# By its text: binary fractions make 0.07 * 100 more than 7.
out_of_range contains fault(name, "param_out_of_range", concat("", [name, " has more than ", json.marshal(rule.decimals), " decimals"])) if {
	some name in typed
	rule := declared[name]
	is_number(rule.decimals)
	not rounded(json.marshal(params[name]), rule.decimals)
}

# As functions of their own: in `not value <= bound(x)` an undefined bound would make the whole rule undefined.
at_least(value, limit) if value >= bound(limit)

at_most(value, limit) if value <= bound(limit)

# A number, or the effective ceiling of that name. Undefined where that is no number: then nothing is within it.
bound(limit) := limit if is_number(limit)

rounded(text, _) if {
	not contains(text, ".")
	not contains(lower(text), "e")
}

rounded(text, decimals) if {
	[_, fraction] := split(text, ".")
	count(fraction) <= decimals
	not contains(lower(text), "e")
}

# For people: also where there is no such ceiling.
told(limit) := object.get(limits.effective, limit, limit)

bound(limit) := limits.effective[limit] if {
	is_string(limit)
	is_number(limits.effective[limit])
}

# --- Among the values that are allowed ---

not_allowed contains fault(name, "param_not_allowed", concat("", [name, " must be one of ", concat(", ", choices(rule["in"]))])) if {
	some name in typed
	rule := declared[name]
	rule["in"]
	not params[name] in choices(rule["in"])
}

choices(list) := list if is_array(list)

choices(list) := object.get(limits.effective, list, []) if is_string(list)

not_allowed contains fault(name, "param_not_allowed", concat("", [name, " must match ", declared[name].pattern])) if {
	some name in typed
	pattern := declared[name].pattern
	not regex.match(pattern, params[name])
}

not_allowed contains fault(name, "param_not_allowed", concat("", [name, " must be a date, YYYY-MM-DD"])) if {
	some name in typed
	declared[name].format == "date"
	not is_date(params[name])
}

# The wasm build has no time functions.
is_date(text) if {
	regex.match(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$`, text)
	day := to_number(trim_left(substring(text, 8, 2), "0"))
	day <= days_in_month(to_number(trim_left(substring(text, 5, 2), "0")), to_number(trim_left(concat("", ["1", substring(text, 0, 4)]), "0")) - 10000)
}

days_in_month(2, year) := 29 if leap(year)

days_in_month(2, year) := 28 if not leap(year)

days_in_month(month, _) := 30 if month in {4, 6, 9, 11}

days_in_month(month, _) := 31 if month in {1, 3, 5, 7, 8, 10, 12}

leap(year) if {
	year % 4 == 0
	year % 100 != 0
}

leap(year) if year % 400 == 0

not_allowed contains fault(name, "param_not_allowed", concat("", [name, " must be ", json.marshal(rule.equals)])) if {
	some name in typed
	rule := declared[name]
	some key, wanted in rule
	key == "equals"
	params[name] != wanted
}

not_allowed contains fault(name, "param_not_allowed", concat("", [name, " must not be ", json.marshal(rule.not_equal)])) if {
	some name in typed
	rule := declared[name]
	params[name] == rule.not_equal
}

not_allowed contains fault(name, "param_not_allowed", concat("", [name, " must not be the agent that asks"])) if {
	some name in typed
	declared[name].not_equal == "subject"
	is_subject(params[name])
}

# In every spelling by which a directory would find it.
is_subject(text) if {
	asked := lower(trim_space(text))
	some name in {input.subject.id, trim_prefix(input.subject.id, "spiffe://"), split(input.subject.id, "/")[count(split(input.subject.id, "/")) - 1]}
	asked == name
}

is_subject(text) if endswith(concat("", ["/", input.subject.id]), concat("", ["/", lower(trim_space(text))]))

# --- Rules over several parameters ---

not_allowed contains fault(refusal.when[0].param, "param_not_allowed", refusal.says) if {
	some refusal in action.refuse
	every condition in refusal.when { holds(condition) }
	not permitted(refusal)
}

permitted(refusal) if limits.effective[refusal.unless] == true

text_of(name) := lower(trim_space(params[name]))

holds(condition) if startswith(text_of(condition.param), lower(condition.starts_with))

holds(condition) if text_of(condition.param) == lower(condition.equals)

holds(condition) if not contains(text_of(condition.param), lower(condition.lacks))

holds(condition) if {
	some item in limits.effective[condition["in"]]
	text_of(condition.param) == lower(item)
}

not_allowed contains fault(name, "param_not_allowed", action.one_of.says) if {
	action.one_of
	count(ways) == 0
	some name, _ in action.one_of.ways[0]
}

# The ways that the request satisfies, each with the facts that somebody must attest for it.
ways contains {name | some name, _ in way; declared[name].attested == true} if {
	some way in action.one_of.ways
	every name, check in way { meets(check, params[name]) }
}

meets(check, value) if check.equals == value

meets(check, value) if {
	is_string(value)
	count(trim_space(value)) >= check.min_length
}

# --- What the agent may claim, and not prove ---

alternatives := {name | some way in action.one_of.ways; some name, _ in way}

attest := {name |
	some name, rule in action.params
	rule.attested == true
	not name in alternatives
} | attest_of_ways

# The way that needs nobody's word, where there is one.
default attest_of_ways := set()

attest_of_ways := {name | some way in ways; some name in way} if {
	count(ways) > 0
	not set() in ways
}
