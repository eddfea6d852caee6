package tun

import "re6st/protocols/limit"

// Limits are those of the TUN, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "packets that the kernel is given by one write", Value: MaxJoined, Unit: "packets", Per: "write", Beyond: "by the next write", Test: "TestWhatIsJoinedIsCutAgainTheSame"},
	}
}
