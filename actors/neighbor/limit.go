package neighbor

import "re6st/protocols/limit"

// Limits are those of what neighbors send, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "Babel packets in the queue", Value: inboxSize, Unit: "packets", Per: "neighbor", Beyond: "dropped", Test: "TestTheQueueOfALinkIsBounded"},
		{Name: "Babel packets", Value: NeighborRate, Unit: "bytes/s", Per: "neighbor", Beyond: "dropped", Test: "TestANeighborThatFloodsStarvesNoOther"},
		{Name: "Babel packets at once", Value: NeighborBurst, Unit: "bytes", Per: "neighbor", Beyond: "dropped", Test: "TestANeighborThatFloodsStarvesNoOther"},
		{Name: "packets that the router owes an answer", Value: maxUnderWay, Unit: "packets", Per: "neighbor", Beyond: "they wait in the queue", Test: "TestARouterThatIsBehindLeavesPacketsInTheirQueue"},
		{Name: "origins named in events", Value: maxNamed, Unit: "prefixes", Per: "node, in ten minutes", Beyond: "not named", Test: "TestOfAFloodOfForbiddenPrefixesAFewAreNamed"},
		{Name: "links of which only Babel speaks yet", Value: maxEarly, Unit: "links", Per: "node", Beyond: "the oldest goes", Test: "TestLinksThatAreNeverSetMakeRoomForOthers"},
	}
}
