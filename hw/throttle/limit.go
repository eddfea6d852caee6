package throttle

import "re6st/protocols/limit"

// Limits are those of log lines, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "log lines of one text", Value: LogRate, Unit: "lines/s", Per: "actor and text", Beyond: "counted", Test: "TestLogLinesOfOneTextAreBoundedAndTheOthersCounted"},
		{Name: "sources with an allowance of their own", Value: MaxSources, Unit: "sources", Per: "process", Beyond: "they share one", Test: "TestSourcesOfLinesAreBounded"},
	}
}
