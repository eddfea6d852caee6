package tunnel

import (
	kernel "re6st/hw/ktunnel"
	"re6st/protocols/limit"
)

// Caps are those of what peers say of this node and of tunnels, for `re6st limits`.
func Caps() []limit.Limit {
	return []limit.Limit{
		{Name: "UDP ports of tunnels from tunnel_port on", Value: kernel.MaxPorts, Unit: "ports", Per: "node", Beyond: "no fou and wireguard", Test: "TestPortsOfTunnelsAreBounded"},
		{Name: "addresses where others see this node", Value: maxObserved, Unit: "addresses", Per: "node", Beyond: "the oldest go", Test: "TestAddressesWhereOthersSeeThisNodeAreBoundedAndNotOfTheMesh"},
		{Name: "peers whose carriers are known", Value: MaxReaches, Unit: "peers", Per: "node", Beyond: "all forgotten", Test: "TestCarriersOfPeersKeptInMindAreBounded"},
	}
}
