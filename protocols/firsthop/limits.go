package firsthop

import "re6st/protocols/limit"

// Bounds of a Plan.
const (
	// MaxGateways is how many routers there may be.
	MaxGateways = 16
	// MaxAddresses is how many addresses of one link's peer get routes; the others go as the
	// kernel knows.
	MaxAddresses = 16
	// MaxPast is how many peers that failed are kept in mind; beyond, all are forgotten.
	MaxPast = 1024
)

// Limits are those of a Plan, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "remote_gateways", Value: MaxGateways, Unit: "routers", Per: "node", Beyond: "the configuration is refused", Test: "TestGatewaysAreBounded"},
		{Name: "addresses routed through a gateway", Value: MaxAddresses, Unit: "addresses", Per: "link", Beyond: "reached by the machine's own routes", Test: "TestAddressesOfALinkAreBounded"},
		{Name: "peers that did not answer through a gateway", Value: MaxPast, Unit: "peers", Per: "node", Beyond: "all forgotten", Test: "TestPeersThatFailedAreBounded"},
	}
}
