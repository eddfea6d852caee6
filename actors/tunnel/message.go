package tunnel

import (
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/nat"
	"re6st/protocols/peer"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// Message is what the manager takes.
//
//sumtype:decl
type Message interface{ managerMessage() }

// PeersLearned brings peers from outside of the links.
type PeersLearned struct {
	Source tunnelplan.Source
	Peers  []tunnelplan.Peer
}

// RegistryFailed answers RegistryWanted: no peers from there.
type RegistryFailed struct{}

// RoutingChanged is what routing makes of the links.
type RoutingChanged struct {
	Reachable []addr.NodeID
	Metric    []uint16 // of the routes to them, likewise; none: not known
	ByLink    map[rib.LinkID]LinkUse
}

// LinkUse is what routing makes of a link.
type LinkUse struct {
	Routes int // of any kind: the link is in use
	Nodes  int // reached by it
	Sole   int // of these, that have no other feasible route
}

// ParamsChanged brings newer parameters, verified, and what they mean for links.
type ParamsChanged struct {
	Params Document
	Limits tunnelplan.Limits
	Rules  tunnelplan.Rules // the country is that of the start
	Pace   fabric.Pace
}

// Revoked brings a newer revocation list, verified, and all nodes on it.
type Revoked struct {
	List  Document
	Nodes []addr.NodeID
}

// Renewed brings another certificate of this node: later handshakes show it, and
// links get new keys by one at once.
type Renewed struct{ Credentials *fabric.Credentials }

// NetworkChanged tells the addresses of this node, best first, and where others may dial
// it: at the start, and when one of them has changed.
type NetworkChanged struct {
	Uplinks   []fabric.Uplink
	Endpoints []netip.AddrPort
}

// TunnelsWanted brings the kinds of the kernel's tunnels to offer to peers.
type TunnelsWanted struct{ Wanted }

// ObservedAt is where somebody outside of the links sees this node.
type ObservedAt struct{ Endpoint netip.AddrPort }

// PortMapped is where a gateway maps a port to this node; not valid: nowhere.
type PortMapped struct{ Endpoint netip.AddrPort }

// Messages of the manager's own pumps, timers and children.
type (
	handshake  struct{ dataplane.Handshake }
	rendezvous struct{ dataplane.Transit }
	planTick   struct{}
	acceptTick struct{}
	gossipTick struct{}
	measure    struct{}
	childEvent struct{ event system.Event }

	expected struct {
		link  rib.LinkID
		index uint32
		on    bool
	}
	risen struct {
		link  rib.LinkID
		suite string
		iface int // index of the interface by which it goes; 0: not known
		up    fabric.Up
	}
	ended struct {
		link rib.LinkID
		down fabric.Down
	}
	orphaned  struct{ fabric.Accepted } // a handshake of the peer's next life
	duplicate struct{ fabric.Duplicate }
	verified  struct{ peer addr.NodeID }
	learned   struct {
		source tunnelplan.Source
		peers  []tunnelplan.Peer
	}
	seen struct {
		link rib.LinkID
		at   netip.AddrPort
	}
	measured struct {
		link rib.LinkID
		rtt  time.Duration
	}
	sized struct {
		link rib.LinkID
		fabric.MTUChanged
	}
	moved struct {
		link rib.LinkID
		way  way
	}
	beside struct { // went by a trusted tunnel, past the packet path
		link rib.LinkID
		dataplane.Count
	}
	introduced struct {
		link  rib.LinkID
		hello peer.Hello
	}
	parting struct {
		link   rib.LinkID
		reason peer.Reason
	}
	received struct{ Document }
)

func (PeersLearned) managerMessage()   {}
func (RegistryFailed) managerMessage() {}
func (RoutingChanged) managerMessage() {}
func (ParamsChanged) managerMessage()  {}
func (Revoked) managerMessage()        {}
func (Renewed) managerMessage()        {}
func (TunnelsWanted) managerMessage()  {}
func (ObservedAt) managerMessage()     {}
func (PortMapped) managerMessage()     {}
func (NetworkChanged) managerMessage() {}
func (handshake) managerMessage()      {}
func (rendezvous) managerMessage()     {}
func (seen) managerMessage()           {}
func (planTick) managerMessage()       {}
func (acceptTick) managerMessage()     {}
func (gossipTick) managerMessage()     {}
func (measure) managerMessage()        {}
func (childEvent) managerMessage()     {}
func (expected) managerMessage()       {}
func (risen) managerMessage()          {}
func (ended) managerMessage()          {}
func (orphaned) managerMessage()       {}
func (duplicate) managerMessage()      {}
func (verified) managerMessage()       {}
func (learned) managerMessage()        {}
func (measured) managerMessage()       {}
func (parting) managerMessage()        {}
func (moved) managerMessage()          {}
func (beside) managerMessage()         {}
func (sized) managerMessage()          {}
func (introduced) managerMessage()     {}
func (received) managerMessage()       {}

// tunnelMessage is what a tunnel takes.
//
//sumtype:decl
type tunnelMessage interface{ tunnelMessage() }

type (
	shaken          struct{ dataplane.Handshake }
	accepted        struct{ fabric.Accepted }
	controlled      struct{ dataplane.Control }
	linkTick        struct{}
	dialAgain       struct{}
	standTick       struct{}
	retireLeftovers struct{}
	peerTick        struct{}
	setUse          struct{ inUse bool }
	verify          struct{}
	keepOpen        struct{ on bool } // what a NAT maps for the link
	closeLink       struct{ reason fabric.CloseReason }
	closeLater      struct{} // closeLink, once the peer has heard who this is
	expel           struct{} // closeLink of a peer that is revoked, and hears so
	cancelDial      struct{}
	sayGoodbye      struct{ reason peer.Reason }
	knownPeers      struct{ peers []peer.Peer }
	newDocument     struct{ Document }
	newCredentials  struct{ *fabric.Credentials }
	setPace         struct{ fabric.Pace }
	newSelf         struct{ endpoints []netip.AddrPort }
	newUplinks      struct{ uplinks []fabric.Uplink }
	newReach        struct{ fabric.Reach }
	newWanted       struct{ Wanted }
)

func (shaken) tunnelMessage()          {}
func (accepted) tunnelMessage()        {}
func (controlled) tunnelMessage()      {}
func (linkTick) tunnelMessage()        {}
func (dialAgain) tunnelMessage()       {}
func (standTick) tunnelMessage()       {}
func (retireLeftovers) tunnelMessage() {}
func (peerTick) tunnelMessage()        {}
func (setUse) tunnelMessage()          {}
func (verify) tunnelMessage()          {}
func (keepOpen) tunnelMessage()        {}
func (closeLink) tunnelMessage()       {}
func (closeLater) tunnelMessage()      {}
func (expel) tunnelMessage()           {}
func (cancelDial) tunnelMessage()      {}
func (sayGoodbye) tunnelMessage()      {}
func (knownPeers) tunnelMessage()      {}
func (newDocument) tunnelMessage()     {}
func (newCredentials) tunnelMessage()  {}
func (setPace) tunnelMessage()         {}
func (newSelf) tunnelMessage()         {}
func (newUplinks) tunnelMessage()      {}
func (newReach) tunnelMessage()        {}
func (newWanted) tunnelMessage()       {}

// Event is what the manager tells the node.
//
//sumtype:decl
type Event interface{ event() }

// LinkChanged says that a link is up, or that its round trip or its draining
// changed.
type LinkChanged struct {
	ID       rib.LinkID
	Peer     addr.NodeID
	RTT      time.Duration
	Draining bool
}

// LinkDown says that a link is gone, or was never made.
type LinkDown struct{ ID rib.LinkID }

// RegistryWanted asks for peers: PeersLearned or RegistryFailed answers.
type RegistryWanted struct{}

// DocumentReceived is a document from a peer, whose signature is to be verified.
type DocumentReceived struct{ Document }

// Duplicate says that another live node uses the certificate of Peer; where that
// is this node, it must not go on. From is not valid where others say so.
type Duplicate struct {
	Peer addr.NodeID
	From netip.AddrPort
}

// Outcast says that a peer refuses this node as revoked. It is the peer's word only.
type Outcast struct{ By addr.NodeID }

func (Outcast) event()          {}
func (LinkChanged) event()      {}
func (LinkDown) event()         {}
func (RegistryWanted) event()   {}
func (DocumentReceived) event() {}
func (Duplicate) event()        {}

// Snapshot is what the manager publishes.
type Snapshot struct {
	Links     []LinkSnapshot
	Known     []tunnelplan.Peer
	Outlook   map[addr.NodeID]tunnelplan.Outlook // of the known ones whose dials failed
	Endpoints []netip.AddrPort
	NAT       nat.Kind // that peers see
	Drops     fabric.Drops
	Accepted  uint64 // handshakes of peers that succeeded, since the manager started
}

// LinkSnapshot is one link, up or on its way.
type LinkSnapshot struct {
	ID       rib.LinkID
	Peer     addr.NodeID
	Prefix   addr.Bits
	Remote   netip.AddrPort
	Carrier  fabric.Carrier
	Tunnel   string // the kind of that of both kernels by which it goes; "": none
	Trusted  bool   // what the two nodes send each other goes by it unsealed
	Suite    string
	Role     tunnelplan.Role
	Shortcut bool       // for the traffic with the peer
	Gateway  netip.Addr // of Gateways, through which it goes; not valid: none
	Up       bool
	Since    time.Time
	RTT      time.Duration
	MTU      int // the longest datagram that it carries, in bytes; 0: not known
	Draining bool
	Use      LinkUse
	Actor    string // the path of its tunnel, which publishes Measured
}

// Measured is what a tunnel publishes of its link, once a second at most.
type Measured struct{ Loss fabric.Loss }
