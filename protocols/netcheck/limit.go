package netcheck

import "re6st/protocols/limit"

// Limits are those of one examination, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "addresses asked", Value: MaxTargets, Unit: "addresses", Per: "examination", Beyond: "not asked", Test: "TestHowManyAreAskedIsBounded"},
	}
}
