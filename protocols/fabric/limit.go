package fabric

import "re6st/protocols/limit"

// Limits are those of links and sessions, for `re6st limits`. The constants stand with
// what they bound.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "sessions end to end", Value: MaxSessions, Unit: "sessions", Per: "node", Beyond: "the least recent ends", Test: "TestLeastRecentSessionMakesRoom"},
		{Name: "idle session", Value: SessionIdle.Seconds(), Unit: "s", Per: "session", Beyond: "it ends", Test: "TestSessionIdleForTwoMinutesEnds"},
		{Name: "sessions being made", Value: MaxSessionDials, Unit: "handshakes", Per: "node", Beyond: "refused, tried again later", Test: "TestSessionsBeingMadeAreBounded"},
		{Name: "handshakes computed", Value: HandshakeRate, Unit: "handshakes/s", Per: "node", Beyond: "dropped", Test: "TestHandshakesAreComputedAtTheirRate"},
		{Name: "handshakes computed, of one source", Value: SourceHandshakeRate, Unit: "handshakes/s", Per: "IPv4 address, IPv6 /64 or node", Beyond: "dropped", Test: "TestHandshakesAreComputedAtTheirRate"},
		{Name: "sources told apart", Value: maxLimitedSources, Unit: "sources", Per: "node", Beyond: "they share the node's rate", Test: "TestLimiterIsBounded"},
		{Name: "half-open handshakes", Value: MaxHalfOpen, Unit: "handshakes", Per: "node", Beyond: "dropped", Test: "TestHalfOpenHandshakesAreBounded"},
		{Name: "half-open handshakes of one source", Value: maxSourceHalfOpen, Unit: "handshakes", Per: "IPv4 address, IPv6 /64 or node", Beyond: "dropped", Test: "TestHalfOpenHandshakesOfOneSourceAreBounded"},
		{Name: "half-open handshake", Value: HalfOpenTimeout.Seconds(), Unit: "s", Per: "handshake", Beyond: "forgotten", Test: "TestHalfOpenHandshakesAreBounded"},
		{Name: "initiations remembered", Value: MaxSeenInitiations, Unit: "initiations", Per: "epoch of cookies", Beyond: "a new epoch begins", Test: "TestFullMemoryOfInitiationsBeginsANewEpoch"},
		{Name: "secret of cookies", Value: CookieEpoch.Seconds(), Unit: "s", Per: "epoch", Beyond: "a new one; the last is good for as long again", Test: "TestCookieIsGoodForItsAddressAndTime"},
		{Name: "unfinished messages of handshakes", Value: MaxHandshakeReassemblies, Unit: "messages", Per: "node", Beyond: "dropped", Test: "TestUnfinishedMessagesAreBoundedBySourceAndInAll"},
		{Name: "unfinished messages of handshakes, of one source", Value: maxSourceReassemblies, Unit: "messages", Per: "IPv4 address, IPv6 /64 or node", Beyond: "dropped", Test: "TestUnfinishedMessagesAreBoundedBySourceAndInAll"},
		{Name: "fragments of a handshake message", Value: maxHandshakeFragments, Unit: "fragments", Per: "message", Beyond: "dropped", Test: "TestBadHandshakeHeadersAreNamed"},
		{Name: "suites in a handshake", Value: maxSuites, Unit: "suites", Per: "message", Beyond: "dropped", Test: "TestAHelloNamesFewSuites"},
		{Name: "cookies taken", Value: maxRetries, Unit: "cookies", Per: "path that is dialled", Beyond: "dropped", Test: "TestCookiesTakenInOneDialAreFew"},
		{Name: "keys that the peer has not confirmed", Value: maxUnconfirmed, Unit: "keys", Per: "peer", Beyond: "the oldest go", Test: "TestKeysThatNobodyConfirmsAreBounded"},
		{Name: "handshake message", Value: MaxHandshake, Unit: "bytes", Per: "message", Beyond: "dropped", Test: "TestBadHandshakeHeadersAreNamed"},
		{Name: "fragments of a frame", Value: MaxFragments, Unit: "fragments", Per: "frame", Beyond: "the frame is dropped", Test: "TestTooManyFragmentsDropTheFrame"},
		{Name: "frames being put together", Value: MaxReassemblies, Unit: "frames", Per: "node", Beyond: "the oldest goes", Test: "TestReassemblyIsBoundedPerIngressAndInAll"},
		{Name: "bytes being put together", Value: MaxReassemblyBytes, Unit: "bytes", Per: "node", Beyond: "the oldest go", Test: "TestBytesBeingPutTogetherAreBoundedInAll"},
		{Name: "frames being put together, of one ingress", Value: MaxIngressReassemblies, Unit: "frames", Per: "ingress", Beyond: "its oldest goes", Test: "TestReassemblyIsBoundedPerIngressAndInAll"},
		{Name: "bytes being put together, of one ingress", Value: MaxIngressReassemblyBytes, Unit: "bytes", Per: "ingress", Beyond: "its oldest go", Test: "TestReassemblyIsBoundedPerIngressAndInAll"},
		{Name: "frame being put together", Value: ReassemblyTimeout.Seconds(), Unit: "s", Per: "frame", Beyond: "dropped", Test: "TestReassemblyEndsAfterASecond"},
		{Name: "addresses dialled at once", Value: MaxEndpoints, Unit: "addresses", Per: "peer", Beyond: "not dialled", Test: "TestOneOfSeveralEndpointsAnswers"},
		{Name: "paths dialled at once", Value: maxLanes, Unit: "paths", Per: "peer", Beyond: "not dialled", Test: "TestPathsThatAreDialledAreBounded"},
		{Name: "paths to a peer", Value: MaxPaths, Unit: "paths", Per: "link", Beyond: "not taken", Test: "TestPathsToAPeerAreBounded"},
		{Name: "tunnels below a link", Value: MaxTunnels, Unit: "paths", Per: "link", Beyond: "not taken", Test: "TestTunnelsOfALinkAreBounded"},
		{Name: "paths by quic, and by tls", Value: MaxCarrierPaths, Unit: "paths", Per: "link", Beyond: "not taken", Test: "TestPathsByAConnectionAreBounded"},
		{Name: "challenges of paths under way", Value: maxChallenges, Unit: "challenges", Per: "link", Beyond: "the oldest goes", Test: "TestChallengesUnderWayAreBounded"},
		{Name: "keys of which the newest frame is known", Value: maxNewestCounters, Unit: "keys", Per: "link", Beyond: "all forgotten", Test: "TestKeysOfWhichTheNewestFrameIsKnownAreBounded"},
		{Name: "probes that wait for their answers", Value: maxOutstanding, Unit: "probes", Per: "link", Beyond: "the oldest goes", Test: "TestProbesAndRoundTripsKeptInMindAreBounded"},
		{Name: "round trips kept in mind", Value: maxRTTSamples, Unit: "samples", Per: "link", Beyond: "the oldest goes", Test: "TestProbesAndRoundTripsKeptInMindAreBounded"},
		{Name: "paths of which it is remembered what they carry", Value: MaxMTUPaths, Unit: "paths", Per: "link", Beyond: "the oldest is forgotten", Test: "TestSection3_AnotherPathIsSearchedAnewAndRemembered"},
		{Name: "searches of a size that nothing answers", Value: MTUSilentRounds, Unit: "rounds", Per: "link", Beyond: "tried again later", Test: "TestSection5_2_APeerThatKnowsNoProbesLeavesItUnknown"},
		{Name: "datagram of a link", Value: MaxPLPMTU, Unit: "bytes", Per: "path", Beyond: "not tried", Test: "TestSection5_3_TheSearchFindsWhatAPathCarries"},
		{Name: "probes of a size lost", Value: MaxMTUProbes, Unit: "probes", Per: "size, where little else is lost", Beyond: "the size is too long", Test: "TestSection4_3_ABlackHoleIsFoundUnderTraffic"},
		{Name: "late timers forgiven", Value: MaxReprieves, Unit: "probes", Per: "silence of a peer", Beyond: "the link ends", Test: "TestANodeThatIsAlwaysLateNoticesADeadPeer"},
	}
}
