package dataplane

import "re6st/protocols/limit"

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
		{Name: "ICMPv6 errors", Value: icmpRate, Unit: "errors/s", Per: "source", Beyond: "not sent", Test: "TestErrorsAreNotAnsweredAndAnswersAreLimited"},
		{Name: "probes of traces", Value: traceRate, Unit: "probes/s", Per: "ingress", Beyond: "dropped", Test: "TestProbesAreAnsweredAtABoundedRate"},
		{Name: "keys of a rate", Value: maxBuckets, Unit: "keys", Per: "rate", Beyond: "refused", Test: "TestLimiterForgetsWhoRestsAndRefusesTooMany"},
	}
}
