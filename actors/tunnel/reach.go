package tunnel

import (
	"cmp"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
)

const (
	// DefaultTLSPort is where a peer serves TLS that has not said where.
	DefaultTLSPort = 443
	// MaxReaches is of how many peers it is kept in mind what carriers they take.
	MaxReaches = 1024
)

// reaches is what is known of the carriers of peers. It outlives incarnations.
type reaches struct {
	said   map[addr.NodeID]peerCarriers
	worked []Worked // of each peer and network one at most, the oldest first
}

// peerCarriers is what a peer says that it takes.
type peerCarriers struct {
	carriers fabric.CarrierSet
	tlsPort  uint16
}

// of is how to reach a peer: as it said, or by all there may be. heard is where it serves TLS by
// the word of others; 0: nobody told.
func (r *reaches) of(now time.Time, own fabric.CarrierSet, id addr.NodeID, heard uint16, uplinks []fabric.Uplink) fabric.Reach {
	said, ok := r.said[id]
	if !ok {
		said = peerCarriers{fabric.AllCarriers, cmp.Or(heard, DefaultTLSPort)}
	}
	return fabric.Reach{
		Carriers: own & said.carriers, TLSPort: said.tlsPort, First: r.first(now, id, uplinks),
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
	return m.kept.reaches.of(m.ctx.Now(), m.cfg.Carriers, id, m.planner.TLSPort(id), m.kept.uplinks)
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
