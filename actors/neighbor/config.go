package neighbor

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/netlink"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// Config is what the router works with. Its functions are called by the actor
// and its pumps; only Persist may block.
type Config struct {
	Self     addr.NodeID
	RouterID babel.RouterID
	// Seqno is the last value given to Persist, in this run or the one before.
	Seqno    func() uint16
	Locators netip.Prefix
	// Own are the prefixes that this node originates: one for each class range.
	Own []netip.Prefix
	// HelloInterval is the network's; 0 is Babel's default. HelloChanged brings
	// another.
	HelloInterval time.Duration
	// Routes is how many one neighbor may announce; 0 is Babel's limit. RoutesLimited
	// brings another number.
	Routes int
	// Revoked are the nodes that nothing is routed to; Revoked brings others.
	Revoked []addr.NodeID
	// Judge tells by its claims whether a route comes from who may announce it, as peer
	// says it does (zero on an interface of the kernel), and what there is to say against it.
	// OriginsChanged tells that it would judge otherwise. Nil: all do.
	Judge func(peer addr.NodeID, a babel.Announcement) (babel.Standing, Objection)
	// FalseMetric is as in babel.Config.
	FalseMetric uint16
	Links       *Links
	// Send puts a packet into a control frame of the link.
	Send func(rib.LinkID, []byte) error
	// SetView hands the table to the packet path.
	SetView func(*rib.View)
	// SetGateways tells which nodes offer a way out of the mesh, whatever is
	// selected; sorted. Nil: nobody wants to know.
	SetGateways func([]addr.NodeID)
	// Persist stores the sequence number durably.
	Persist func(seqno uint16) error
	Emit    func(Event)
	Kernel  *Kernel // nil: program no kernel routes
}

// Kernel is where what leaves by interfaces of the kernel is programmed.
type Kernel struct {
	Routes netlink.Routes // the pump's alone
	TUN    int            // index of the interface into the fabric
	// Ranges lead into the fabric as they are, with the node's own address there
	// as the source.
	Ranges []Range
	// Speakers are the kernel's interfaces that speak Babel; SpeakersChanged brings others.
	Speakers []Speaker
	// DefaultRoute has the kernel send what is for nowhere else into the mesh.
	DefaultRoute bool
	// PlainDefault are the names of Speakers whose neighbors are told of a default route for
	// packets from everywhere, where the mesh's is for some sources.
	PlainDefault []string
	// Gateway announces the way out of the mesh while this machine has one, as
	// Outside reports until its context ends.
	Gateway bool
	// Sources are those of packets that the way out is for; one of length 0 is all.
	Sources []netip.Prefix
	Outside func(ctx context.Context, report func(reachable bool)) error
}

// Speaker is an interface of the kernel that speaks Babel by multicast.
type Speaker struct {
	Name string
	// Keys are those of its MACs; none: whoever is there is believed.
	Keys []babel.MACKey
	// AcceptBad hears those too who have no key.
	AcceptBad bool
	Link      SpeakerLink
}

// SpeakerLink is how links there are judged and spoken to. Comparable.
type SpeakerLink struct {
	Cost babel.LinkCost
	// DetectType has Cost.Type be Tunnel where the interface is point-to-point, else Wired.
	DetectType bool
	// Hello is the interval of Hellos, 0: the network's. Updates come four times as seldom.
	Hello time.Duration
	// Unicast says to each neighbor by itself all but what finds neighbors.
	Unicast bool
}

// Range is the range of a class, and this node's address in it.
type Range struct {
	Prefix  netip.Prefix
	Address netip.Addr
}

// Spawn starts the router. A router that cannot be kept up ends the node.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	kept := &memory{hello: cfg.HelloInterval, routes: cmp.Or(cfg.Routes, babel.MaxRoutesPerNeighbor), revoked: cfg.Revoked, offers: map[rib.Key]Offer{}}
	if cfg.Kernel != nil {
		kept.speakers = cfg.Kernel.Speakers
	}
	return system.Spawn(parent, "router", system.Spec[Message]{
		Kind:     "router",
		New:      func() system.Handler[Message] { return &router{cfg: cfg, kept: kept} },
		OnBudget: system.Escalate,
	})
}

// memory is what outlives an incarnation of the router. One at a time uses it.
type memory struct {
	hello    time.Duration
	routes   int // of one neighbor
	revoked  []addr.NodeID
	offers   map[rib.Key]Offer // of others than this router
	speakers []Speaker         // as they are wanted
	ipv4     netip.Prefix      // whose nodes have shares; not valid: there is none
	view     *rib.View         // as the packet path was given it last; nil: never
	learned  *rib.View         // by a router that failed while it held view; nil: none did
}
