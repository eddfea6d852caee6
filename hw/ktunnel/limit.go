package ktunnel

import "re6st/protocols/limit"

// Limits are those of tunnels, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "UDP ports from tunnel_port on", Value: MaxPorts, Unit: "ports", Per: "node", Beyond: "no tunnel but by gre", Test: "TestPortsOfTunnelsAreBounded"},
	}
}
