package neighbor

import (
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// Message is what the router takes.
//
//sumtype:decl
type Message interface{ routerMessage() }

// Offer puts a route of another source into the table, and announces it.
type Offer struct {
	Origin rib.Origin
	Route  rib.Route
}

// Withdraw takes back what Offer said.
type Withdraw struct {
	Origin rib.Origin
	Key    rib.Key
}

// KernelLost says that the kernel may have lost routes, as when an interface was down.
type KernelLost struct{}

// Revoked says which nodes are revoked: routes to them fall, and come no more.
type Revoked struct{ Nodes []addr.NodeID }

// SpeakersChanged says on which interfaces of the kernel Babel is to be spoken, and by
// which keys.
type SpeakersChanged struct{ Speakers []Speaker }

// HelloChanged brings the network's hello interval.
type HelloChanged struct{ Interval time.Duration }

// RoutesLimited brings the network's limit of the routes of one neighbor.
type RoutesLimited struct{ Routes int }

// Explain asks why packets for a node go the way they go. Into is called with the
// choices by the router's goroutine, and must not block.
type Explain struct {
	Topology rib.Topology
	Egress   addr.NodeID
	Into     func([]Choice)
}

// Choice is a way to a node by one neighbor on the fabric.
type Choice struct {
	Peer     addr.NodeID
	Link     rib.LinkID
	Metric   uint16 // babel.Infinity: retracted
	Feasible bool   // RFC 8966 section 3.5.1
	Selected bool
}

// ExplainRoute asks why the routes are what they are to Prefix, or where there is none
// to that very prefix, to the longest one around it. Into is called by the router's
// goroutine with these, and for a route by the fabric with that to the locator of its
// egress, which packets follow; it must not block.
type ExplainRoute struct {
	Prefix netip.Prefix
	Into   func([]Explained)
}

// Explained is one destination.
type Explained struct {
	babel.Explanation
	Route   rib.Route                    // of the table; the zero Route: none
	Names   map[babel.NeighborKey]string // node ids on links, addresses with an interface elsewhere
	Locator bool                         // of the egress of one before
}

// IPv4Changed says of which range of IPv4 the network's nodes have shares: it leads into
// the fabric, and so do routes of IPv4 beside it; not valid: none does.
type IPv4Changed struct{ Range netip.Prefix }

type (
	linksChanged struct{}
	routerTick   struct{}
	publishView  struct{}
	hasAnswered  struct{ by babel.InterfaceID }
	checked      struct {
		from   *child
		key    babel.NeighborKey
		events []babel.NeighborEvent
		status babel.NeighborStatus
		slots  slots // nil: it did not come of a packet
	}
	showAgain     struct{}
	childEvent    struct{ event system.Event }
	heardOnKernel struct {
		iface babel.InterfaceID
		to    netip.Addr // the group, or our address there
		packet
	}
	refusedThere  struct{ gate *gate }
	interfaceLost struct {
		iface babel.InterfaceID
		conn  *sock.Multicast
		err   error
	}
	openAgain    struct{ name string }
	kernelFailed struct{ err error }
	notStored    struct{ err error }
)

func (Offer) routerMessage()           {}
func (Withdraw) routerMessage()        {}
func (Explain) routerMessage()         {}
func (ExplainRoute) routerMessage()    {}
func (KernelLost) routerMessage()      {}
func (Revoked) routerMessage()         {}
func (IPv4Changed) routerMessage()     {}
func (HelloChanged) routerMessage()    {}
func (RoutesLimited) routerMessage()   {}
func (linksChanged) routerMessage()    {}
func (routerTick) routerMessage()      {}
func (publishView) routerMessage()     {}
func (hasAnswered) routerMessage()     {}
func (checked) routerMessage()         {}
func (showAgain) routerMessage()       {}
func (childEvent) routerMessage()      {}
func (heardOnKernel) routerMessage()   {}
func (interfaceLost) routerMessage()   {}
func (openAgain) routerMessage()       {}
func (kernelFailed) routerMessage()    {}
func (notStored) routerMessage()       {}
func (SpeakersChanged) routerMessage() {}
func (refusedThere) routerMessage()    {}

// neighborMessage is what a child takes.
//
//sumtype:decl
type neighborMessage interface{ neighborMessage() }

type (
	received struct {
		packet
		slots slots
	}
	linkRTT      struct{ rtt time.Duration }
	neighborTick struct{}
)

func (received) neighborMessage()     {}
func (linkRTT) neighborMessage()      {}
func (neighborTick) neighborMessage() {}

// Event is what the router tells the node.
type Event interface{ event() }

// Reachable are the nodes that have a route, and what is routed by each link.
type Reachable struct {
	Nodes  []addr.NodeID
	Metric []uint16 // of the routes to them, likewise
	ByLink map[rib.LinkID]LinkUse
}

// LinkUse is what routing makes of a link.
type LinkUse struct {
	Routes int // of any kind
	Nodes  int // reached by it
	Sole   int // of these, that no other neighbor has a feasible route to
}

func (Reachable) event() {}

// Snapshot is what the router publishes.
type Snapshot struct {
	View      *rib.View
	Neighbors []Adjacency
	Speakers  []SpeakerState // in the order of the configuration
	Dropped   uint64         // packets for which a neighbor's queue had no room
	Barred    uint64         // announcements by origins that may not make them
}

// Adjacency is one neighbor as the router knows it.
type Adjacency struct {
	Interface babel.InterfaceID
	Link      rib.LinkID // 0 on an interface of the kernel
	Ifindex   int
	Addr      netip.Addr
	Peer      addr.NodeID
	Status    babel.NeighborStatus
	Key       string // that it proved to have, on an interface with keys; "": none
}

// SpeakerState is an interface of the kernel that is to speak Babel.
type SpeakerState struct {
	Name      string
	Ifindex   int      // 0: it could not be opened yet
	Keys      []string // without their values
	AcceptBad bool
	Refused   []Refusal // packets, by reason; what was accepted all the same is among them
}

// Refusal counts packets that proved nothing.
type Refusal struct {
	Reason babel.MACReason
	Count  uint64
}
