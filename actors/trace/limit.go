package trace

import "re6st/protocols/limit"

// Limits are those of traces, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "traces at a time", Value: MaxRuns, Unit: "traces", Per: "node", Beyond: "refused", Test: "TestTracesAreBoundedAndCancelled"},
	}
}
