package rib

import "re6st/protocols/limit"

// Limits are those of the table, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "keys in the table", Value: MaxRoutes, Unit: "routes", Per: "node", Beyond: "refused", Test: "TestFullTableTakesNoNewKey"},
	}
}
