package tunnelplan

import "re6st/protocols/limit"

// Caps are the limits of a planner that no parameter changes, for `re6st limits`.
func Caps() []limit.Limit {
	return []limit.Limit{
		{Name: "peers known", Value: MaxPeers, Unit: "peers", Per: "node", Beyond: "the least worth goes; hearsay goes first", Test: "TestHearsayNeverDisplacesBetterKnowledge"},
		{Name: "peers remembered", Value: MaxRemembered, Unit: "peers", Per: "node", Beyond: "the best are kept", Test: "TestRememberedListIsBounded"},
		{Name: "addresses of a peer", Value: MaxEndpoints, Unit: "addresses", Per: "peer", Beyond: "the last go", Test: "TestALANsAddressIsDialledFirst"},
		{Name: "links to the LAN", Value: MaxLANLinks, Unit: "links", Per: "node", Beyond: "not dialled", Test: "TestZeroLimitsLeaveOnlyTheLAN"},
		{Name: "links", Value: MaxLinks, Unit: "links", Per: "node", Beyond: "refused", Test: "TestLinksOfAnyKindAreBounded"},
		{Name: "dials in flight", Value: MaxDials, Unit: "dials", Per: "node", Beyond: "later", Test: "TestSilentDialDoesNotHoldUpOthers"},
		{Name: "dials that peers ask for, at once", Value: MeetBurst, Unit: "dials", Per: "node", Beyond: "not heeded", Test: "TestDialsThatPeersAskForAreFew"},
		{Name: "dials that peers ask for", Value: MeetRate, Unit: "dials/s", Per: "node", Beyond: "not heeded", Test: "TestDialsThatPeersAskForAreFew"},
		{Name: "links for traffic", Value: MaxShortcuts, Unit: "links", Per: "node", Beyond: "not dialled, nor accepted", Test: "TestShortcutsAreBounded"},
		{Name: "links beyond the limits, where no route is", Value: RepairSlots, Unit: "links", Per: "limit", Beyond: "refused", Test: "TestLateLinkToAPeerThatNoRouteReachesTakesARepairSlot"},
	}
}
