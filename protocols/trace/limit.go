package trace

import "re6st/protocols/limit"

// Limits are those of answers to probes, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "other ways told", Value: MaxAlternatives, Unit: "ways", Per: "answer", Beyond: "counted", Test: "TestTooManyAlternativesAreCounted"},
		{Name: "extensions", Value: MaxExtensions, Unit: "bytes", Per: "answer", Beyond: "the answer is refused", Test: "TestExtensionsBeyondTheirBoundAreRefused"},
	}
}
