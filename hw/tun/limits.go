package tun

import "re6st/protocols/limit"

// MaxQueues is how many queues a device has at most: each has a reader, and memory for it.
const MaxQueues = 16

// Limits are those of the TUN, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "packets that the kernel is given by one write", Value: MaxJoined, Unit: "packets", Per: "write", Beyond: "by the next write", Test: "TestWhatIsJoinedIsCutAgainTheSame"},
		{Name: "queues of the TUN", Value: MaxQueues, Unit: "queues", Per: "node", Beyond: "refused", Test: "TestBadConfigurationsAreNamed"},
	}
}
