package monitor

import "re6st/protocols/limit"

// Limits are those of those who look at a node, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "readers of /events", Value: MaxSubscribers, Unit: "readers", Per: "node", Beyond: "503", Test: "TestReadersOfEventsAreBounded"},
	}
}
