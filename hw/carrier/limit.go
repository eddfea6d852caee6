package carrier

import (
	"time"

	"re6st/protocols/limit"
)

// The limits of connections.
const (
	// MaxConnections is how many there are at a time, by QUIC and TLS together, MaxAccepted
	// how many of them others have begun, handshakes under way among them, and
	// MaxSourceConnections how many one source has.
	MaxConnections       = 256
	MaxAccepted          = 192
	MaxSourceConnections = 16
	// MaxMemberConnections is how many of those that others have begun one node has proven
	// itself by: two uplinks of two families each, by both carriers.
	MaxMemberConnections = 8
	// SourceRate and SourceBurst are how often a source may begin one: an IPv4 address
	// or an IPv6 /64.
	SourceRate  = 5
	SourceBurst = 20
	maxSources  = 1024
	// maxGone is of how many paths it is kept in mind that who dialled by them is gone.
	maxGone = 2048
	// MaxQueued is how many datagrams wait to be sent by a connection, and MaxDialling how
	// many while it is dialled.
	MaxQueued   = 256
	MaxDialling = 16
	// MaxArrived is how many batches of datagrams wait for the reader, of 16 KiB at most where
	// no datagram is longer.
	MaxArrived = 256

	// DialTimeout is for a connection to come up, FirstWithin for its first datagram that this
	// node answers where the peer began it. IdleAfter is for any, after which it is closed: probes of an idle link
	// are closer. Where it was of use for less than half of that, twice that time will do, but
	// IdleFirst at least: a lost race, or a path that a link has left.
	DialTimeout = 2500 * time.Millisecond
	FirstWithin = 5 * time.Second
	// ProvenWithin is for a peer that began one to prove itself by it.
	ProvenWithin = IdleFirst
	IdleFirst    = 15 * time.Second
	IdleAfter    = 150 * time.Second
	// StallAfter is how long nothing comes by a connection, after something was sent, until
	// the next datagram has it dialled anew.
	StallAfter = 1500 * time.Millisecond
	// RedialAfter is how long after a dial that came to nothing there is no other by that path.
	RedialAfter = 200 * time.Millisecond
)

// Limits are those of connections, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "connections by quic and tls", Value: MaxConnections, Unit: "connections", Per: "node", Beyond: "refused", Test: "TestConnectionsAreBounded"},
		{Name: "connections by quic and tls that others began", Value: MaxAccepted, Unit: "connections", Per: "node", Beyond: "refused", Test: "TestConnectionsThatOthersBeginLeaveRoomToDial"},
		{Name: "connections by quic and tls, of one source", Value: MaxSourceConnections, Unit: "connections", Per: "IPv4 address or IPv6 /64", Beyond: "refused", Test: "TestConnectionsOfASourceAreBounded"},
		{Name: "connections by quic and tls that others began, of one node", Value: MaxMemberConnections, Unit: "connections", Per: "node that has proven itself", Beyond: "the one of use the longest ago is closed", Test: "TestConnectionsOfAMemberAreBounded"},
		{Name: "connection by which nobody proves itself", Value: ProvenWithin.Seconds(), Unit: "s", Per: "connection that others began", Beyond: "closed", Test: "TestAConnectionByWhichNobodyProvesItselfIsClosed"},
		{Name: "connections begun by one source", Value: SourceRate, Unit: "connections/s", Per: "IPv4 address or IPv6 /64", Beyond: "refused", Test: "TestConnectionsOfASourceAreBounded"},
		{Name: "sources of connections told apart", Value: maxSources, Unit: "sources", Per: "node", Beyond: "all are forgotten but those with connections", Test: "TestSourcesAreBounded"},
		{Name: "paths by which nobody is dialled, as who dialled is gone", Value: maxGone, Unit: "paths", Per: "node", Beyond: "all are forgotten", Test: "TestPathsOfThoseWhoAreGoneAreBounded"},
		{Name: "datagrams that wait for a connection", Value: MaxQueued, Unit: "datagrams", Per: "connection", Beyond: "dropped", Test: "TestAStreamThatDoesNotMoveBlocksNobody"},
		{Name: "datagrams that wait for a connection to come up", Value: MaxDialling, Unit: "datagrams", Per: "connection", Beyond: "dropped", Test: "TestAFewDatagramsWaitForAConnection"},
		{Name: "batches of datagrams by quic and tls that wait for the reader", Value: MaxArrived, Unit: "batches", Per: "node", Beyond: "tls waits, quic drops", Test: "TestAReaderThatIsBusyIsNotDrowned"},
		{Name: "packets that wait for QUIC", Value: quicQueue, Unit: "packets", Per: "node", Beyond: "dropped", Test: "TestPacketsThatWaitForQUICAreBounded"},
		{Name: "connection of which nothing is answered", Value: FirstWithin.Seconds(), Unit: "s", Per: "connection of a stranger", Beyond: "closed", Test: "TestAConnectionOfWhichNothingIsAnsweredIsClosed"},
		{Name: "paths of QUIC kept in mind", Value: maxEndpoints, Unit: "paths", Per: "node", Beyond: "all made anew", Test: "TestPathsOfQUICKeptInMindAreBounded"},
		{Name: "packets of QUIC that wait for the kernel", Value: quicUnsent, Unit: "packets", Per: "node", Beyond: "QUIC waits", Test: "TestQUICWaitsWhereTooManyOfItsPacketsWait"},
		{Name: "idle connection that was of use for less than half as long", Value: IdleFirst.Seconds(), Unit: "s", Per: "connection", Beyond: "closed", Test: "TestAConnectionOfLittleUseIsClosedSoon"},
		{Name: "idle connection", Value: IdleAfter.Seconds(), Unit: "s", Per: "connection", Beyond: "closed", Test: "TestAnIdleConnectionIsClosed"},
	}
}
