package babel

import "re6st/protocols/limit"

// Limits are those of a router, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "neighbors", Value: MaxNeighbors, Unit: "neighbors", Per: "node", Beyond: "refused", Test: "TestLimits"},
		{Name: "routes", Value: MaxRoutes, Unit: "routes", Per: "node", Beyond: "refused", Test: "TestLimits"},
		{Name: "routes of one neighbor", Value: MaxRoutesPerNeighbor, Unit: "routes", Per: "neighbor", Beyond: "refused", Test: "TestLimits"},
		{Name: "sources of routes", Value: MaxSources, Unit: "sources", Per: "node", Beyond: "not announced", Test: "TestTablesThatAreFullSayNo"},
		{Name: "requests under way", Value: MaxRequests, Unit: "requests", Per: "node", Beyond: "not sent", Test: "TestTablesThatAreFullSayNo"},
		{Name: "changes of routes that are remembered", Value: MaxChanges, Unit: "changes", Per: "node", Beyond: "the oldest goes", Test: "TestTheLastChangesAreKept"},
		{Name: "updates to one neighbor", Value: UpdateRate, Unit: "updates/s", Per: "interface", Beyond: "later: those of whoever has the fewest come first", Test: "TestAFloodOfRoutesHoldsUpNoOther"},
	}
}
