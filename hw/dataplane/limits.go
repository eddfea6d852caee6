package dataplane

import (
	"re6st/hw/sock"
	"re6st/protocols/limit"
)

// Limits are those of the packet path, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "bytes that wait for a session", Value: maxWaitingBytes, Unit: "bytes", Per: "destination", Beyond: "the oldest go", Test: "TestPacketsWaitForASession"},
		{Name: "destinations that are waited for", Value: maxWaiting, Unit: "destinations", Per: "node", Beyond: "dropped", Test: "TestWaitingIsBoundedInAll"},
		{Name: "bytes that wait in all", Value: maxAllWaiting, Unit: "bytes", Per: "node", Beyond: "dropped", Test: "TestWaitingIsBoundedInAll"},
		{Name: "handshake datagrams in the queue", Value: handshakeQueue, Unit: "datagrams", Per: "node", Beyond: "dropped", Test: "TestControlAndHandshakesFromANewAddressGoUpAndMoveNothing"},
		{Name: "handshakes begun", Value: callRate, Unit: "datagrams/s", Per: "node", Beyond: "dropped", Test: "TestHandshakesOfStrangersAreBoundedBeforeTheyCostAnything"},
		{Name: "other datagrams of handshakes", Value: answerRate, Unit: "datagrams/s", Per: "node", Beyond: "dropped", Test: "TestHandshakesOfStrangersAreBoundedBeforeTheyCostAnything"},
		{Name: "messages in transit", Value: transitRate, Unit: "messages/s", Per: "ingress", Beyond: "dropped", Test: "TestTransitMessagesAreForwardedAndLimited"},
		{Name: "messages in transit in the queue", Value: transitQueue, Unit: "messages", Per: "node", Beyond: "dropped", Test: "TestQueuesToTheActorsAreBounded"},
		{Name: "rendezvous in the queue", Value: meetingQueue, Unit: "messages", Per: "node", Beyond: "dropped", Test: "TestQueuesToTheActorsAreBounded"},
		{Name: "sessions wanted, in the queue", Value: wantedQueue, Unit: "nodes", Per: "node", Beyond: "asked for again by the next packet", Test: "TestQueuesToTheActorsAreBounded"},
		{Name: "sessions not known elsewhere, in the queue", Value: unknownQueue, Unit: "hints", Per: "node", Beyond: "dropped", Test: "TestQueuesToTheActorsAreBounded"},
		{Name: "hints of sessions not known elsewhere", Value: unknownRate, Unit: "hints/s", Per: "egress", Beyond: "dropped", Test: "TestHintsOfUnknownSessionsAreBoundedByEgress"},
		{Name: "relay errors", Value: relayErrorRate, Unit: "errors/s", Per: "ingress", Beyond: "not sent", Test: "TestRelayErrorsAreBoundedByIngress"},
		{Name: "relay errors at once", Value: relayErrorBurst, Unit: "errors", Per: "ingress", Beyond: "not sent", Test: "TestRelayErrorsAreBoundedByIngress"},
		{Name: "ICMPv6 errors", Value: icmpRate, Unit: "errors/s", Per: "source", Beyond: "not sent", Test: "TestErrorsAreNotAnsweredAndAnswersAreLimited"},
		{Name: "probes of traces", Value: traceRate, Unit: "probes/s", Per: "ingress", Beyond: "dropped", Test: "TestProbesAreAnsweredAtABoundedRate"},
		{Name: "probes of traces of one link", Value: traceLinkRate, Unit: "probes/s", Per: "link", Beyond: "dropped", Test: "TestProbesThatComeByOneLinkAreBounded"},
		{Name: "probes of traces of one link, at once", Value: traceLinkBurst, Unit: "probes", Per: "link", Beyond: "dropped", Test: "TestProbesThatComeByOneLinkAreBounded"},
		{Name: "probes and answers in their queues", Value: traceQueue, Unit: "messages", Per: "node", Beyond: "dropped", Test: "TestQueuesToTheActorsAreBounded"},
		{Name: "indices on their way into use", Value: maxReserved, Unit: "indices", Per: "node", Beyond: "the oldest go", Test: "TestIndicesAreUnique"},
		{Name: "frames that leave by one call", Value: sock.MaxSegments, Unit: "frames", Per: "call", Beyond: "by the next call", Test: "TestFramesOfOneLengthLeaveTogether"},
		{Name: "bytes of frames that leave by one call", Value: sock.MaxBatch, Unit: "bytes", Per: "call", Beyond: "by the next call", Test: "TestFramesOfOneLengthLeaveTogether"},
		{Name: "path probes", Value: pathRate, Unit: "probes/s", Per: "peer", Beyond: "not answered", Test: "TestPathProbesAreAnsweredAtABoundedRate"},
		{Name: "paths narrower than their first link", Value: maxNarrow, Unit: "paths", Per: "node", Beyond: "hints are not looked into", Test: "TestNarrowPathsAreBounded"},
		{Name: "long frames kept in mind", Value: maxRecent, Unit: "frames", Per: "node", Beyond: "the oldest of a flow's place goes", Test: "TestLongFramesAreNotedNowAndThen"},
		{Name: "keys of a rate", Value: maxBuckets, Unit: "keys", Per: "rate", Beyond: "refused", Test: "TestLimiterForgetsWhoRestsAndRefusesTooMany"},
	}
}
