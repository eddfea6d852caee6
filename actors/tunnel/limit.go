package tunnel

import "re6st/protocols/limit"

// Caps are those of what peers say of this node, for `re6st limits`.
func Caps() []limit.Limit {
	return []limit.Limit{
		{Name: "addresses where others see this node", Value: maxObserved, Unit: "addresses", Per: "node", Beyond: "the oldest go", Test: "TestAddressesWhereOthersSeeThisNodeAreBoundedAndNotOfTheMesh"},
		{Name: "offers of a tunnel that are heeded", Value: 1 / heedEvery.Seconds(), Unit: "offers/s", Per: "peer", Beyond: "the newest waits", Test: "TestOfAPeersOffersOneASecondIsHeeded"},
		{Name: "peers whose carriers are known", Value: MaxReaches, Unit: "peers", Per: "node", Beyond: "all forgotten", Test: "TestCarriersOfPeersKeptInMindAreBounded"},
		{Name: "carriers that worked, other than udp", Value: MaxWorked, Unit: "peers and networks", Per: "node", Beyond: "the oldest go", Test: "TestCarriersOfPeersKeptInMindAreBounded"},
	}
}
