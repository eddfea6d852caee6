package openvpn

import (
	"time"

	"re6st/protocols/limit"
)

const (
	// maxPending is how many connections that have not proved yet to be the peer's the
	// waiting end has at a time.
	maxPending = 16
	// maxLine bounds one line of what the child says, in bytes.
	maxLine = 16 << 10
	// maxVariables bounds what it says of one client, in lines.
	maxVariables = 512
	// lastWords is how many lines of its log are kept for the error that it ends with.
	lastWords = 8

	// HandshakeTime is what TLS may take; whoever has not finished by then is dropped.
	HandshakeTime = 10 * time.Second
	// PingTime is how often an end that has nothing to send shows that it lives, and IdleTime
	// after how much silence a connection is given up.
	PingTime = 3 * time.Second
	IdleTime = 9 * time.Second
	// stopTime is what the child may take to end when it is asked to.
	stopTime = time.Second
)

// Limits are those of what strangers may cost, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "connections of OpenVPN not proved yet", Value: maxPending, Unit: "connections", Per: "link", Beyond: "not answered", Test: "TestASilentStrangerKeepsNobodyOut"},
		{Name: "what the child says of one client", Value: maxVariables, Unit: "lines", Per: "client", Beyond: "the child is ended", Test: "TestWhatTheChildSaysIsBounded"},
		{Name: "a line of what the child says", Value: maxLine, Unit: "bytes", Per: "child", Beyond: "the child is ended", Test: "TestALineOfTheChildIsBounded"},
	}
}
