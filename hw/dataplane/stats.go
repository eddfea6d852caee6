package dataplane

import (
	"net/netip"
	"sync/atomic"
	"time"

	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// Reason tells why a packet went no further.
type Reason uint8

// The reasons, in the order of the path.
const (
	DropMalformed      Reason = iota // an inner packet that is not IP, or not whole
	DropIPv4                         // an inner packet of IPv4, and the network has none
	DropNotUnicast                   // to or from a group, link-local or nothing
	DropClassMismatch                // from one class's range to another's, or not the frame's
	DropNoRoute                      // the table has no way to the destination or the egress
	DropLoop                         // the route ends here, or at a kernel interface
	DropTooBig                       // for the next link
	DropNoKeys                       // the link has no keys, or no remote address
	DropQueueFull                    // waiting for a session: 64 KB per destination, newest kept
	DropQueueTimeout                 // waited for a session in vain
	DropKeysUsedUp                   // the counter of a link or session came to its end
	DropUnknownType                  // a datagram that is not of the fabric
	DropHandshakeMAC                 // the first datagram of a handshake, not of this network
	DropHandshakeRate                // too many datagrams of handshakes
	DropHandshakeFull                // nobody reads Handshakes
	DropUnknownLink                  // a link index that is not ours
	DropForgedHop                    // the link's authentication failed
	DropReplayedHop                  // the link saw this counter before
	DropHopLimit                     // at a relay
	DropUnknownSession               // a session index that is not ours
	DropForged                       // end-to-end authentication failed
	DropReplayed                     // the session saw this counter before: a redundant copy, or a replay
	DropSpoofed                      // the peer may not send from this source
	DropNotHere                      // IPv4 that a peer sent for what does not lie behind this node
	DropECN                          // congestion marked on a packet that knows no ECN (RFC 6040)
	DropFragment                     // fragments that contradict, or too many
	DropTransit                      // a bad transit message
	DropTransitRate                  // too many transit messages of one node
	DropTransitFull                  // nobody reads Transits
	DropNotEstablished               // the inbound policy: it answers nothing that began here
	DropNotListed                    // the inbound policy: nor is it listed
	DropUnreadable                   // the inbound policy: its headers do not tell what it is
	DropTUN                          // the kernel did not take the packet
	DropUnderlay                     // the kernel did not send the frame: Stats.Conn tells more
	reasonCount
)

var reasonNames = [reasonCount]string{
	"malformed", "ipv4", "not-unicast", "class-mismatch", "no-route", "loop", "too-big", "no-keys", "queue-full",
	"queue-timeout", "keys-used-up", "unknown-type", "handshake-mac", "handshake-rate", "handshake-queue-full", "unknown-link", "forged-hop",
	"replayed-hop", "hop-limit", "unknown-session", "forged", "replayed", "spoofed", "not-here", "ecn", "fragment", "transit",
	"transit-rate", "transit-queue-full", "inbound-not-established", "inbound-not-listed", "inbound-unreadable", "tun", "underlay",
}

// String is the reason as metrics and status show it.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons are all of them, in the order of the path.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// MarshalText is String.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Count is packets and their bytes.
type Count struct{ Packets, Bytes uint64 }

type counter struct{ packets, bytes atomic.Uint64 }

func (c *counter) add(size int) { c.addAll(1, size) }

func (c *counter) addAll(packets, bytes int) {
	c.packets.Add(uint64(packets))
	c.bytes.Add(uint64(bytes))
}

func (c *counter) load() Count { return Count{c.packets.Load(), c.bytes.Load()} }

// Stats is what a Plane did since it was made.
type Stats struct {
	Ingress Count // inner packets sealed here
	Egress  Count // inner packets opened here and given to the kernel
	Relayed Count // frames passed on
	Split   uint64
	// Waiting is inner packets that wait for a session now.
	Waiting     Count
	RelayErrors uint64 // received
	ICMP        uint64 // errors written into the TUN
	ReadErrors  uint64 // of the TUN and the sockets, endured
	// Drops holds the reasons that occurred.
	Drops map[Reason]uint64
	Conn  sock.Stats
}

// LinkStats is what passed by a link since AddLink. A LastData that does not move
// is a link that no packet uses.
type LinkStats struct {
	Peer           addr.NodeID
	Remote         netip.AddrPort
	Sent, Received Count // of frames, data and control
	// ControlSent is what of Sent was control frames, by their kind; those that were sent.
	ControlSent map[fabric.ControlKind]Count
	// Dropped are the packets that came by this link and were not authentic, or were to
	// go by it and could not.
	Dropped uint64
	// LastReceived is when an authentic frame of the peer came last; zero for never.
	LastReceived time.Time
	// LastData is when a data frame was sent or received last; zero for never.
	LastData time.Time
}

func (p *Plane) drop(r Reason) { p.drops[r].Add(1) }

// dropAt counts also for the link that the packet came by, or was to go by.
func (p *Plane) dropAt(l *link, r Reason) {
	p.drop(r)
	l.dropped.Add(1)
}

// Stats counts what happened.
func (p *Plane) Stats() Stats {
	s := Stats{
		Ingress: p.ingress.load(), Egress: p.egress.load(), Relayed: p.relayed.load(), Split: p.splits.Load(),
		Waiting: p.waiting.count(), RelayErrors: p.relayErrors.Load(), ICMP: p.icmpSent.Load(), ReadErrors: p.readErrors.Load(),
		Drops: make(map[Reason]uint64),
	}
	for _, c := range p.conns {
		s.Conn = s.Conn.Plus(c.Stats())
	}
	for r := range reasonCount {
		if n := p.drops[r].Load(); n > 0 {
			s.Drops[r] = n
		}
	}
	return s
}

// LinkStats is false for a link that was not added.
func (p *Plane) LinkStats(id rib.LinkID) (LinkStats, bool) {
	l := p.links.Load().byID[id]
	if l == nil {
		return LinkStats{}, false
	}
	control := map[fabric.ControlKind]Count{}
	for kind := range l.controlSent {
		if c := l.controlSent[kind].load(); c.Packets > 0 {
			control[fabric.ControlKind(kind)] = c
		}
	}
	return LinkStats{
		Peer: l.peer, Remote: l.path.Load().Remote, Sent: l.sent.load(), Received: l.received.load(), Dropped: l.dropped.Load(), ControlSent: control,
		LastReceived: p.timeOf(l.lastReceived.Load()), LastData: p.timeOf(l.lastData.Load()),
	}, true
}

// sinceStart is t as the plane keeps times in atomics; zero is never.
func (p *Plane) sinceStart(t time.Time) int64 { return max(1, int64(t.Sub(p.start))) }

func (p *Plane) timeOf(since int64) time.Time {
	if since == 0 {
		return time.Time{}
	}
	return p.start.Add(time.Duration(since))
}
