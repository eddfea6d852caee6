package node

import (
	"re6st/actors/discovery"
	"re6st/actors/subnet"
	"re6st/protocols/inbound"
	"re6st/protocols/limit"
)

// Limits are those of a node and its configuration, for `re6st limits`.
func Limits() []limit.Limit {
	const test = "TestNumbersOfTheConfigurationAreBounded"
	return []limit.Limit{
		{Name: "endpoints", Value: MaxEndpoints, Unit: "addresses", Per: "node", Beyond: "the configuration is refused; of what is found, the last go", Test: test},
		{Name: "peers with kinds of tunnels of their own", Value: MaxTunnelPeers, Unit: "peers", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "networks of the underlay that are trusted", Value: MaxUnderlays, Unit: "prefixes", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "interfaces that speak Babel", Value: MaxTrusted, Unit: "interfaces", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "file with a key", Value: maxKeyFile, Unit: "bytes", Per: "key", Beyond: "the configuration is refused", Test: "TestBadKeyFilesAreSaidWithTheirName"},
		{Name: "client_count, max_clients", Value: MaxClientCount, Unit: "links", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "neighbours", Value: MaxNeighbours, Unit: "prefixes, ids or names", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "queues of the TUN, and sockets of the port", Value: MaxQueues, Unit: "queues", Per: "node", Beyond: "the configuration is refused", Test: "TestQueuesAreBounded"},
		{Name: "subnets", Value: subnet.MaxSubnets, Unit: "interfaces", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "interfaces of LANs", Value: discovery.MaxInterfaces, Unit: "interfaces", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "sources of a gateway", Value: MaxSources, Unit: "prefixes", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "rules of inbound_list", Value: inbound.MaxRules, Unit: "rules", Per: "node", Beyond: "the configuration is refused", Test: test},
		{Name: "peers remembered that refuse this node", Value: maxRefusals, Unit: "peers", Per: "node", Beyond: "not told", Test: "TestPeersThatRefuseAreRememberedUpToALimit"},
	}
}
