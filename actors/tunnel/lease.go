package tunnel

import (
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// memory is what outlives an incarnation of the manager. One at a time uses it.
type memory struct {
	started     time.Time // of the first incarnation
	credentials *fabric.Credentials
	documents   [peer.Documents]Document
	revoked     []addr.NodeID
	limits      tunnelplan.Limits
	rules       tunnelplan.Rules
	pace        fabric.Pace
	remembered  []tunnelplan.Peer
	endpoints   []netip.AddrPort // where this node believes to be reachable
	observed    []netip.AddrPort // where others saw this node, the newest first
	mapped      netip.AddrPort   // where a gateway maps a port to it
	uplinks     []fabric.Uplink  // addresses of this node, best first
	reaches     reaches
	wanted      Wanted // kinds of tunnels
	gateways    []netip.Addr
}

// lease is what outlives an incarnation of a tunnel: what it has in the packet
// path, where the peer is, and what the manager told. One incarnation at a time
// uses it.
type lease struct {
	link      rib.LinkID
	peer      addr.NodeID
	static    *[32]byte
	endpoints []netip.AddrPort
	waits     bool // the peer dials; this end has no reason to
	expelled  bool // the peer is revoked: the link is about to be closed

	using   uint32        // the local index of the keys in use
	suite   string        // of these
	keyed   time.Time     // when they came into use
	added   bool          // the packet path knows the link
	told    bool          // the manager knows that it is up
	boot    fabric.BootID // the peer's, once told
	rtt     time.Duration // smoothed, as it was told last
	indices []uint32      // of the keys installed, all incarnations'
	control chan controlled

	inUse     bool             // routes go by the link
	mapped    bool             // by a NAT, which forgets
	known     []peer.Peer      // of whom to tell the peer
	self      []netip.AddrPort // where this node is reached
	documents [peer.Documents]Document
	uplinks   []fabric.Uplink // addresses of this node, best first

	way    way    // as the manager was told
	wanted Wanted // kinds of tunnels
	port   uint16 // for tunnels; 0: none is taken yet

	credentials *fabric.Credentials
	pace        fabric.Pace
	reach       fabric.Reach
	path        fabric.Path // in use, or below the tunnel in use
}

// way is how a link goes, for people.
type way struct {
	remote  netip.AddrPort // without a tunnel
	carrier fabric.Carrier // likewise
	tunnel  string         // its kind; "": the link goes by none
	iface   int            // index of the interface without a tunnel; 0: not known
	trusted bool           // what the two nodes send each other goes by the tunnel unsealed
}

// hold notes keys in the packet path, release that they are gone.
func (l *lease) hold(index uint32) { l.indices = append(l.indices, index) }

func (l *lease) release(index uint32) {
	l.indices = slices.DeleteFunc(l.indices, func(i uint32) bool { return i == index })
}

// prefer puts an address first among those to dial.
func (l *lease) prefer(remote netip.AddrPort) {
	l.endpoints = slices.DeleteFunc(slices.Clone(l.endpoints), func(e netip.AddrPort) bool { return e == remote })
	l.endpoints = append([]netip.AddrPort{remote}, l.endpoints...)
}

// learn notes where the peer says to be, behind the address that is used.
func (l *lease) learn(endpoints []netip.AddrPort) {
	used := l.endpoints[:min(len(l.endpoints), 1)]
	l.endpoints = slices.Clone(used)
	for _, e := range endpoints {
		if !slices.Contains(used, e) {
			l.endpoints = append(l.endpoints, e)
		}
	}
}
