package registry

import (
	"re6st/protocols/limit"
	"re6st/protocols/registry"
)

// Bounds are what callers can cost a registry with DefaultLimits, for `re6st limits`.
func Bounds() []limit.Limit {
	l := DefaultLimits
	return []limit.Limit{
		{Name: "calls of strangers, of one source", Value: l.Source.PerSecond, Unit: "calls/s", Per: "IPv4 address or IPv6 /64", Beyond: "429 with Retry-After", Test: "TestFloodOfOneSourceIsTurnedAway"},
		{Name: "calls of strangers", Value: l.All.PerSecond, Unit: "calls/s", Per: "registry", Beyond: "429 with Retry-After", Test: "TestRetryAfterComesWithTheRefusal"},
		{Name: "calls of a member", Value: l.Member.PerSecond, Unit: "calls/s", Per: "node", Beyond: "429 with Retry-After", Test: "TestLimiterGivesBurstThenRate"},
		{Name: "connections", Value: float64(l.Connections), Unit: "connections", Per: "registry", Beyond: "closed at once", Test: "TestListenerClosesWhatIsTooMany"},
		{Name: "connections of one source", Value: float64(l.PerSource), Unit: "connections", Per: "IPv4 address or IPv6 /64", Beyond: "closed at once", Test: "TestListenerClosesWhatIsTooMany"},
		{Name: "calls that wait for updates", Value: float64(l.Polls), Unit: "calls", Per: "registry", Beyond: "429 with Retry-After", Test: "TestPollsAreBounded"},
		{Name: "calls that wait for updates, of one source", Value: float64(l.PollsPerSource), Unit: "calls", Per: "IPv4 address or IPv6 /64", Beyond: "429 with Retry-After", Test: "TestPollsAreBounded"},
		{Name: "certificates that have not ended", Value: maxFormer, Unit: "certificates", Per: "node, beside the newest", Beyond: "429", Test: "TestRenewalsInARowAreBounded"},
		{Name: "sources and nodes remembered", Value: maxLimited, Unit: "callers", Per: "rate", Beyond: "the one not seen for longest goes", Test: "TestLimiterForgetsTheLeastRecent"},
		{Name: "request", Value: registry.MaxRequest, Unit: "bytes", Per: "call", Beyond: "413", Test: "TestBodiesAreBounded"},
		{Name: "tokens made at once", Value: maxTokens, Unit: "tokens", Per: "command", Beyond: "refused", Test: "TestBoundsOfTokens"},
	}
}
