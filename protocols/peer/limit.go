package peer

import "re6st/protocols/limit"

// Limits are those of what peers tell each other, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "message", Value: MaxMessage, Unit: "bytes", Per: "message", Beyond: "refused", Test: "TestMalformedMessagesAreRefused"},
		{Name: "peers told", Value: MaxTold, Unit: "peers", Per: "neighbor", Beyond: "not told", Test: "TestNeitherEndNorUselessPeersAreTold"},
		{Name: "peers heard at once", Value: MaxBurst, Unit: "peers", Per: "neighbor", Beyond: "refused, at a rate", Test: "TestFloodOfPeersIsHeldBack"},
		{Name: "peers heard", Value: HeardRate, Unit: "peers/s", Per: "neighbor", Beyond: "refused", Test: "TestPeersAreHeardAtTheirRate"},
		{Name: "peers that a neighbor knows", Value: MaxNoted, Unit: "peers", Per: "neighbor", Beyond: "all forgotten, and perhaps told once more", Test: "TestPeersThatANeighborKnowsAreKeptInMindUpToALimit"},
		{Name: "parameters passed on", Value: float64(Params.MaxDocument()), Unit: "bytes", Per: "version", Beyond: "refused", Test: "TestADocumentThatIsTooLargeIsRefused"},
		{Name: "revocation list passed on", Value: float64(Revocations.MaxDocument()), Unit: "bytes", Per: "version", Beyond: "refused", Test: "TestADocumentThatIsTooLargeIsRefused"},
		{Name: "times that a message is sent", Value: MaxTries, Unit: "times", Per: "message", Beyond: "given up", Test: "TestUnansweredMessageIsRepeatedAFewTimes"},
		{Name: "messages about claims under way", Value: MaxUnderWay, Unit: "messages", Per: "link", Beyond: "wait", Test: "TestSomeMessagesAboutClaimsAreUnderWayAtATime"},
		{Name: "addresses in a rendezvous", Value: MaxRendezvous, Unit: "addresses", Per: "message", Beyond: "the last go", Test: "TestARendezvousHasFewEndpointsThatCanBeDialled"},
	}
}
