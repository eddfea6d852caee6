package nat

import "re6st/protocols/limit"

// Limits are those of what peers see, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "peers that have a say", Value: MaxSeen, Unit: "peers", Per: "node", Beyond: "not heeded", Test: "TestHowManyPeersCountIsBounded"},
	}
}
