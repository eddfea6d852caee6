package fabric

import (
	"net/netip"
	"slices"
)

// Local is where a path begins: an address of this node, and the interface by which to
// leave. Zero: the kernel chooses. Comparable.
type Local struct {
	Addr      netip.Addr
	Interface int // index; 0: whichever leads there
}

// Path is a way through the underlay, from this node to a peer. Comparable; the zero
// Path is none.
type Path struct {
	Local   Local
	Remote  netip.AddrPort
	Carrier Carrier
}

// covers tells whether a frame that came by q came the way that p goes.
func (p Path) covers(q Path) bool {
	return p.Remote == q.Remote && p.Carrier == q.Carrier && (p.Local == Local{} || p.Local == q.Local)
}

// Uplink is an address of this node from which peers may be reached.
type Uplink struct {
	Local
	OnLink  netip.Prefix // its neighbors
	Default bool         // a default route leads out by the interface
}

// reaches tells whether the uplink may lead to an address.
func (u Uplink) reaches(a netip.Addr) bool {
	if a.Is4() != u.Addr.Is4() || a.Zone() != "" {
		return false
	}
	return u.Default || u.OnLink.Contains(a)
}

// toward are the uplinks that may lead to an address: as the kernel would choose, those in
// whose network it is before those with a default route.
func (p *paths) toward(a netip.Addr) (all []Uplink) {
	for _, onLink := range []bool{true, false} {
		for _, u := range p.uplinks {
			if u.reaches(a) && u.OnLink.Contains(a) == onLink {
				all = append(all, u)
			}
		}
	}
	return all
}

// MaxPaths is how many paths to a peer a link has in mind, by UDP without a tunnel.
const MaxPaths = 16

// paths are those of one link.
type paths struct {
	current   Path
	under     Path             // the last in use that is no tunnel's
	before    Path             // what was that before
	tunnels   []Path           // best first
	uplinks   []Uplink         // best first
	endpoints []netip.AddrPort // where else the peer may be, best first
	reach     Reach

	pathChecks
	upgrade upgrade
}

// all are the paths that there may be, those of tunnels first.
func (p *paths) all() []Path {
	return append(slices.Clone(p.tunnels), p.underlays()...)
}

// underlays are the paths that need no tunnel: for each address of the peer, the one in
// use first, all uplinks. What the kernel would choose for an address that no uplink
// reaches is one too. Those of the better carriers come first.
func (p *paths) underlays() []Path {
	var all []Path
	for c := range Carrier(Carriers) {
		if p.reach.tries(c) {
			all = append(all, p.by(c)...)
		}
	}
	return all
}

// by are those by one carrier.
func (p *paths) by(c Carrier) []Path {
	most := MaxCarrierPaths
	if c == UDP {
		most = MaxPaths
	}
	var all []Path
	add := func(q Path) {
		if len(all) < most && q.Remote.IsValid() && !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	for _, remote := range p.reach.remotes(c, p.known()) {
		toward := p.toward(remote.Addr())
		for _, u := range toward {
			add(Path{Local: u.Local, Remote: remote, Carrier: c})
		}
		if len(toward) == 0 && len(p.uplinks) == 0 || remote.Addr().Zone() != "" {
			add(Path{Remote: remote, Carrier: c})
		}
	}
	return all
}

// toDial are the paths to call a peer by: the kernel's choice for each of its
// addresses, and behind them the uplinks that the kernel would not choose.
func (p *paths) toDial(endpoints []netip.AddrPort) []Path {
	endpoints = endpoints[:min(len(endpoints), MaxEndpoints)]
	var dial []Path
	for _, e := range endpoints {
		dial = append(dial, Path{Remote: e})
	}
	for _, e := range endpoints {
		for i, u := range p.toward(e.Addr()) {
			if i > 0 && len(dial) < 2*MaxEndpoints { // the first is the kernel's choice
				dial = append(dial, Path{Local: u.Local, Remote: e})
			}
		}
	}
	return p.dialTo(dial, endpoints)
}

// better is the path in use, or that below the tunnel in use, by the best interface,
// where that is another one.
func (p *paths) better() (best Path, ok bool) {
	if p.under.Carrier == TLS && p.under.Remote.Port() != p.reach.TLSPort {
		return Path{}, false // it was the peer that dialled
	}
	toward := p.toward(p.under.Remote.Addr())
	if len(toward) == 0 {
		return Path{}, false
	}
	u := toward[0]
	return Path{Local: u.Local, Remote: p.under.Remote, Carrier: p.under.Carrier}, p.under.Local != Local{} && u.Interface != p.under.Local.Interface
}

// has tells whether the node still has the address at which a path begins.
func (p *paths) has(q Path) bool {
	return q.Local == Local{} || p.isTunnel(q) || slices.ContainsFunc(p.uplinks, func(u Uplink) bool { return u.Local == q.Local })
}

// use notes the path in use.
func (p *paths) use(q Path) {
	p.current = q
	if q != p.under && !p.isTunnel(q) {
		p.under, p.before = q, p.under
	}
}
