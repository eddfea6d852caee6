package inbound

import "re6st/protocols/limit"

// Limits are those of the inbound policy, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "flows kept in mind", Value: MaxFlows, Unit: "flows", Per: "node", Beyond: "the oldest go", Test: "TestMoreFlowsThanPlaces"},
	}
}
