package babel

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Port is the UDP port of Babel (RFC 8966 section 4), and Group its multicast
// group, which is only sent to with hop limit 1 and a link-local source.
const Port = 6696

// Group is ff02::1:6.
var Group = netip.MustParseAddr("ff02::1:6")

// The packet header (section 4.2).
const (
	magic     = 42
	version   = 2
	headerLen = 4
)

// Infinity is the metric, and the cost, of what cannot be reached.
const Infinity = 65535

// RouterID names a router; neither all zero nor all one.
type RouterID [8]byte

// IsValid tells whether id may name a router (section 4.1.3).
func (id RouterID) IsValid() bool {
	v := binary.BigEndian.Uint64(id[:])
	return v != 0 && v != ^uint64(0)
}

// String is 16 hexadecimal digits.
func (id RouterID) String() string { return hex.EncodeToString(id[:]) }

// TLV types (section 4.6).
const (
	typePad1         = 0
	typePadN         = 1
	typeAckRequest   = 2
	typeAck          = 3
	typeHello        = 4
	typeIHU          = 5
	typeRouterID     = 6
	typeNextHop      = 7
	typeUpdate       = 8
	typeRouteRequest = 9
	typeSeqnoRequest = 10
)

// Sub-TLV types (section 4.7; RFC 9079 section 7; RFC 9616 section 6). A receiver that does not
// know one with the mandatory bit ignores the whole TLV.
const (
	subPad1         = 0
	subPadN         = 1
	subTimestamp    = 3
	mandatory       = 0x80
	subSourcePrefix = 128
	// subFabric is ours, of the range for experiments. It carries the topology
	// (1 byte) and, in Updates, the egress node id (8 bytes). Only fabric links
	// know it: anywhere else it is an unknown mandatory one.
	subFabric = 240
)

// Address encodings (section 4.1.4; RFC 9229 section 4.1).
const (
	aeWildcard  = 0
	aeIPv4      = 1
	aeIPv6      = 2
	aeLinkLocal = 3
	aeIPv4Via6  = 4 // an IPv4 prefix with an IPv6 next hop; of prefixes only
)

// Flags of Hello (section 4.6.5) and Update (section 4.6.9).
const (
	flagUnicast  = 0x8000
	flagPrefix   = 0x80
	flagRouterID = 0x40
)

// TLV is one of AckRequest, Ack, Hello, IHU, Update, RouteRequest and
// SeqnoRequest. The Router-Id and Next Hop TLVs are folded into the Updates
// behind them. Intervals have a resolution of 10 ms and end at 655.35 s.
type TLV interface{ isTLV() }

// AckRequest asks for an Ack with the same Opaque within Interval.
type AckRequest struct {
	Opaque   uint16
	Interval time.Duration
}

// Ack answers an AckRequest.
type Ack struct{ Opaque uint16 }

// Hello says that its sender is alive. Interval 0 is an unscheduled one.
type Hello struct {
	Unicast  bool // counted per neighbor and not per interface
	Seqno    uint16
	Interval time.Duration
	Sent     Timestamp // of its packet, by the sender's clock
}

// IHU ("I heard you") tells the neighbor at Address, or whoever reads it where
// that is the zero Addr, what receiving from it costs.
type IHU struct {
	Address  netip.Addr
	Rxcost   uint16
	Interval time.Duration
	// Origin is what Sent of the neighbor's last Hello was, and Received when that came,
	// by the sender's clock; both or neither are there.
	Origin, Received Timestamp
}

// Update announces, or with Metric Infinity retracts, one route. The zero
// Prefix retracts all that the sender announced.
type Update struct {
	Topology rib.Topology
	Prefix   netip.Prefix
	Source   netip.Prefix // the zero Prefix where the route is for all sources
	RouterID RouterID     // zero in a retraction that was received
	Seqno    uint16
	Metric   uint16
	Interval time.Duration // until the next one, at most
	Egress   addr.NodeID   // over the fabric only
	// NextHop is the sender, where no Next Hop TLV said otherwise; IPv6 of an IPv4 Prefix
	// too (RFC 9229).
	NextHop netip.Addr
}

// Key is the route that u is about.
func (u Update) Key() rib.Key {
	return rib.Key{Topology: u.Topology, Prefix: u.Prefix, Source: u.Source}
}

// RouteRequest asks for an Update of one route; of all where Prefix is zero.
type RouteRequest struct {
	Topology       rib.Topology
	Prefix, Source netip.Prefix
}

// Key is the route that is asked for.
func (q RouteRequest) Key() rib.Key { return rib.Key(q) }

// SeqnoRequest asks for an Update with this Seqno or a later one.
type SeqnoRequest struct {
	Topology       rib.Topology
	Prefix, Source netip.Prefix
	Seqno          uint16
	HopCount       uint8 // 1 to 255: how often it may yet be sent on
	RouterID       RouterID
}

// Key is the route that is asked for.
func (q SeqnoRequest) Key() rib.Key {
	return rib.Key{Topology: q.Topology, Prefix: q.Prefix, Source: q.Source}
}

func (AckRequest) isTLV()   {}
func (Ack) isTLV()          {}
func (Hello) isTLV()        {}
func (IHU) isTLV()          {}
func (Update) isTLV()       {}
func (RouteRequest) isTLV() {}
func (SeqnoRequest) isTLV() {}

// seqnoLess compares sequence numbers modulo 2^16 (section 3.2.1).
func seqnoLess(a, b uint16) bool { return int16(a-b) < 0 }

// centisecond is the wire's unit of time.
const centisecond = 10 * time.Millisecond

func putInterval(d time.Duration) uint16 {
	return uint16(min(max(0, (d+centisecond-1)/centisecond), 65535))
}

func getInterval(v uint16) time.Duration { return time.Duration(v) * centisecond }

// octets is the number of bytes that hold n bits.
func octets(n int) int { return (n + 7) / 8 }

var linkLocal = netip.MustParsePrefix("fe80::/64")
