package tunnel

import (
	"cmp"
	"net/netip"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
)

const (
	// DefaultTLSPort is where a peer serves TLS that has not said where.
	DefaultTLSPort = 443
	// MaxReaches is of how many peers it is kept in mind what carriers they take, and by
	// which one they were reached.
	MaxReaches = 1024
)

// reaches is what is known of the carriers of peers. It outlives incarnations.
type reaches struct {
	said   map[addr.NodeID]peerCarriers
	worked map[worked]fabric.Carrier
}

// peerCarriers is what a peer says that it takes.
type peerCarriers struct {
	carriers fabric.CarrierSet
	tlsPort  uint16
}

// worked is a peer and the network from which it was reached: a firewall is one network's.
type worked struct {
	peer    addr.NodeID
	network netip.Prefix
}

// of is how to reach a peer: as it said, or by all there may be. heard is where it serves TLS by
// the word of others; 0: nobody told.
func (r *reaches) of(own fabric.CarrierSet, id addr.NodeID, heard uint16, uplinks []fabric.Uplink) fabric.Reach {
	said, ok := r.said[id]
	if !ok {
		said = peerCarriers{fabric.AllCarriers, cmp.Or(heard, DefaultTLSPort)}
	}
	return fabric.Reach{
		Carriers: own & said.carriers, TLSPort: said.tlsPort, First: r.worked[worked{id, networkOf(uplinks)}],
	}
}

// networkOf is that of the best uplink; not valid: none.
func networkOf(uplinks []fabric.Uplink) netip.Prefix {
	for _, u := range uplinks {
		if u.Default {
			return u.OnLink
		}
	}
	return netip.Prefix{}
}

// hear takes what a peer says; one that says nothing has UDP alone.
func (r *reaches) hear(id addr.NodeID, h peer.Hello) {
	c := peerCarriers{fabric.CarrierSet(h.Carriers), h.TLSPort}
	if c.carriers == 0 {
		c.carriers = 1 << fabric.UDP
	}
	if len(r.said) >= MaxReaches {
		r.said = nil
	}
	if r.said == nil {
		r.said = map[addr.NodeID]peerCarriers{}
	}
	r.said[id] = c
}

// note keeps in mind by what a peer is reached.
func (r *reaches) note(id addr.NodeID, uplinks []fabric.Uplink, by fabric.Carrier) {
	if len(r.worked) >= MaxReaches {
		r.worked = nil
	}
	if r.worked == nil {
		r.worked = map[worked]fabric.Carrier{}
	}
	r.worked[worked{id, networkOf(uplinks)}] = by
}

// introduced has the link go by what its peer says.
func (m *manager) introduced(i introduced) {
	t := m.tunnels[i.link]
	if t == nil {
		return
	}
	m.kept.reaches.hear(t.snap.Peer, i.hello)
	t.endpoints = i.hello.Endpoints
	m.routeTo(t)
	t.ref.Tell(newReach{m.reachOf(t.snap.Peer)})
}

func (m *manager) reachOf(id addr.NodeID) fabric.Reach {
	return m.kept.reaches.of(m.cfg.Carriers, id, m.planner.TLSPort(id), m.kept.uplinks)
}

// by is for events; nothing where it is UDP, as nearly always.
func by(c fabric.Carrier) string {
	if c == fabric.UDP {
		return ""
	}
	return " by " + c.String()
}

// by tells of the tunnel, or of a carrier that is not the usual one.
func (w way) by() string {
	switch {
	case w.trusted:
		return ", by " + w.tunnel + ", trusted"
	case w.tunnel != "":
		return ", by " + w.tunnel
	}
	return by(w.carrier)
}
