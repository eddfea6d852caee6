package tunnel

import (
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
	"re6st/protocols/rib"
	"re6st/protocols/tunnelplan"
)

// Config is what the manager and the tunnels work with. Of its functions only
// Store may block.
type Config struct {
	// Credentials are those of the start; Renewed brings others.
	Credentials *fabric.Credentials
	Prefix      addr.Bits // this node's
	Software    string    // what peers are told that this is
	Limits      tunnelplan.Limits
	Rules       tunnelplan.Rules // its country is told to peers
	// Endpoints are where this node believes to be reachable, until NetworkChanged.
	Endpoints []netip.AddrPort
	// Carriers are those that this node has; none: UDP alone. TLSPort is where it serves
	// TLS; 0: nowhere.
	Carriers fabric.CarrierSet
	TLSPort  uint16
	// Networks are the mesh's own ranges: no endpoint lies in them.
	Networks []netip.Prefix
	// Remembered are the peers stored by an earlier run.
	Remembered []tunnelplan.Peer
	// Documents are what the CA signed for all nodes, as this node has them.
	Documents []Document
	// Revoked are the nodes that no link is made with.
	Revoked []addr.NodeID
	// Pace is how often links are probed.
	Pace fabric.Pace
	// Kernel makes tunnels of the kernel below links, of the kinds that are Wanted; nil: there
	// are none.
	Kernel *Kernel
	Wanted Wanted
	// Gateways are those that peers are reached through; nil: as the kernel knows.
	Gateways *Gateways
	// Claims are made equal with each peer's; nil: there are none.
	Claims Claims

	Plane Plane
	// Babel takes a Babel packet of a link; the bytes are the caller's again
	// when it returns. The packet path calls it.
	Babel func(id rib.LinkID, at time.Time, body []byte) bool
	// Worked is by what carriers an earlier run reached peers, and StoreWorked keeps that for
	// the next; nil: it is forgotten.
	Worked      []Worked
	StoreWorked func([]Worked) error
	// Store keeps the remembered peers for the next run.
	Store func([]tunnelplan.Peer) error
	Emit  func(Event)
}

// Document is one of those that nodes pass on, with the CA's signature.
type Document struct {
	Kind   peer.Document
	Number uint64
	Signed []byte
}

// Plane is what tunnels need of the packet path.
type Plane interface {
	Handshakes() <-chan dataplane.Handshake
	Rendezvous() <-chan dataplane.Transit
	SendRendezvous(egress addr.NodeID, payload []byte) error
	Send(by fabric.Path, datagram []byte) error
	AddLink(id rib.LinkID, peer addr.NodeID, remote netip.AddrPort, control func(dataplane.Control))
	RemoveLink(id rib.LinkID)
	InstallLink(id rib.LinkID, s *fabric.LinkSession)
	UseLink(id rib.LinkID, s *fabric.LinkSession)
	RetireLink(index uint32)
	SetPath(id rib.LinkID, path fabric.Path)
	SetLinkMTU(id rib.LinkID, datagram int)
	SendControl(id rib.LinkID, kind fabric.ControlKind, body []byte) error
	SendControlBy(id rib.LinkID, by fabric.Path, kind fabric.ControlKind, body []byte) error
	NewIndex() uint32
	Exchanged() []dataplane.Exchanged
	Carried(id rib.LinkID) dataplane.Count
}

// Spawn starts the manager. A node without one makes no links: it escalates.
func Spawn(parent system.Parent, cfg Config) (system.Ref[Message], error) {
	kept := &memory{
		credentials: cfg.Credentials, limits: cfg.Limits, rules: cfg.Rules, pace: cfg.Pace, revoked: cfg.Revoked, remembered: cfg.Remembered,
		endpoints: cfg.Endpoints, wanted: cfg.Wanted,
	}
	if cfg.Gateways != nil {
		kept.gateways = cfg.Gateways.Addrs
	}
	kept.reaches.restore(cfg.Worked)
	for _, d := range cfg.Documents {
		kept.documents[d.Kind] = d
	}
	return system.Spawn(parent, "tunnel", system.Spec[Message]{
		Kind:     "tunnels",
		New:      func() system.Handler[Message] { return &manager{cfg: cfg, kept: kept} },
		OnBudget: system.Escalate,
	})
}
