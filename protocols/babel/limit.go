package babel

import "re6st/protocols/limit"

// Limits are those of a router, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "neighbors", Value: MaxNeighbors, Unit: "neighbors", Per: "node", Beyond: "refused", Test: "TestLimits"},
		{Name: "routes", Value: MaxRoutes, Unit: "routes", Per: "node", Beyond: "refused", Test: "TestLimits"},
		{Name: "routes of one neighbor", Value: MaxRoutesPerNeighbor, Unit: "routes", Per: "neighbor", Beyond: "refused", Test: "TestLimits"},
		{Name: "sources of one prefix", Value: MaxSourcesOfPrefix, Unit: "sources", Per: "prefix", Beyond: "not announced", Test: "TestTablesThatAreFullSayNo"},
		{Name: "sources of routes", Value: MaxSources, Unit: "sources", Per: "node", Beyond: "not announced", Test: "TestTablesThatAreFullSayNo"},
		{Name: "requests under way", Value: MaxRequests, Unit: "requests", Per: "node", Beyond: "not sent", Test: "TestTablesThatAreFullSayNo"},
		{Name: "changes of routes that are remembered", Value: MaxChanges, Unit: "changes", Per: "node", Beyond: "the oldest goes", Test: "TestTheLastChangesAreKept"},
		{Name: "updates on their way to one neighbor", Value: MaxUnacknowledged, Unit: "updates", Per: "interface", Beyond: "later: as others are acknowledged", Test: "TestALargeTableGoesAtThePaceOfAcknowledgments"},
		{Name: "updates to one neighbor at once", Value: UpdateBurst, Unit: "updates", Per: "interface", Beyond: "later: at the rate of updates", Test: "TestAFloodOfRoutesHoldsUpNoOther"},
		{Name: "updates to one neighbor", Value: UpdateRate, Unit: "updates/s", Per: "interface", Beyond: "later: those of whoever has the fewest come first", Test: "TestAFloodOfRoutesHoldsUpNoOther"},
		{Name: "MAC keys", Value: MaxMACKeys, Unit: "keys", Per: "interface of the kernel", Beyond: "an error", Test: "Test8967_3_1_KeysThatCannotBe"},
		{Name: "neighbors with a MAC", Value: MaxMACPeers, Unit: "neighbors", Per: "interface of the kernel", Beyond: "refused", Test: "Test8967_4_3_TheNumberOfNeighborsIsBounded"},
		{Name: "index of packet counters", Value: MaxMACIndex, Unit: "bytes", Per: "packet", Beyond: "refused", Test: "Test8967_6_2_OnlyTheFirstCounterCounts"},
		{Name: "nonce of a challenge", Value: MaxNonce, Unit: "bytes", Per: "challenge", Beyond: "not answered", Test: "Test8967_6_3_ANonceThatIsTooLongIsNotAnswered"},
		{Name: "time between challenges, and between replies", Value: ChallengeInterval.Seconds(), Unit: "s", Per: "neighbor", Beyond: "not sent", Test: "Test8967_4_3_1_ChallengesAndRepliesAreRare"},
		{Name: "packets that came late", Value: PCWindow, Unit: "packets", Per: "neighbor", Beyond: "refused", Test: "Test9467_3_2_TheWindow"},
	}
}
