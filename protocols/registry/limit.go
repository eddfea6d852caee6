package registry

import "re6st/protocols/limit"

// Caps are those of messages, for `re6st limits`.
func Caps() []limit.Limit {
	return []limit.Limit{
		{Name: "parameters", Value: MaxParams, Unit: "bytes", Per: "version", Beyond: "refused", Test: "TestForgedParametersAreRefused"},
		{Name: "endpoints of a node", Value: MaxEndpoints, Unit: "addresses", Per: "call", Beyond: "refused", Test: "TestBadBootstrapsAreRefused"},
		{Name: "nodes with rights", Value: MaxRights, Unit: "nodes", Per: "network", Beyond: "refused", Test: "TestBadRightsAreRefused"},
		{Name: "prefixes to import", Value: MaxImports, Unit: "prefixes", Per: "node", Beyond: "refused", Test: "TestBadRightsAreRefused"},
		{Name: "peers told", Value: MaxPeers, Unit: "peers", Per: "answer", Beyond: "refused", Test: "TestBadBootstrapsAreRefused"},
	}
}
