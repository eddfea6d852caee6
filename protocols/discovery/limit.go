package discovery

import "re6st/protocols/limit"

// Limits are those of one interface, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "nodes kept in mind", Value: MaxKnown, Unit: "nodes", Per: "interface", Beyond: "heard, and answered as new ones each time", Test: "TestNewcomersBeyondTheLimitAreHeardButNotKept"},
		{Name: "packets opened", Value: PacketRate, Unit: "packets/s", Per: "interface", Beyond: "dropped", Test: "TestAFloodIsNotOpened"},
		{Name: "packets opened at once", Value: PacketBurst, Unit: "packets", Per: "interface", Beyond: "dropped", Test: "TestAFloodIsNotOpened"},
	}
}
