# What is asked for, and the tier that it falls in: the catalogue's, which context can only raise.
package atb.classification

action := data.catalogue.actions[input.action.name]

default tier_name := null

tier_name := action.tier

tier := data.tiers[tier_name]
