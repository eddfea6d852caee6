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

// MaxPaths is how many paths to a peer a link has in mind.
const MaxPaths = 16

// paths are those of one link.
type paths struct {
	current   Path
	under     Path             // the last in use that is no tunnel's
	before    Path             // what was that before
	tunnels   []Path           // best first
	uplinks   []Uplink         // best first
	endpoints []netip.AddrPort // where else the peer may be, best first

	pathChecks
}

// all are the paths that there may be, those of tunnels first.
func (p *paths) all() []Path {
	all := append(slices.Clone(p.tunnels), p.underlays()...)
	return all[:min(len(all), MaxPaths)]
}

// underlays are the paths that need no tunnel: for each address of the peer, the one in
// use first, all uplinks. What the kernel would choose for an address that no uplink
// reaches is one too.
func (p *paths) underlays() []Path {
	var all []Path
	add := func(q Path) {
		if len(all) < MaxPaths && q.Remote.IsValid() && !slices.Contains(all, q) {
			all = append(all, q)
		}
	}
	for _, remote := range append([]netip.AddrPort{p.under.Remote}, p.endpoints...) {
		reached := false
		for _, u := range p.uplinks {
			if u.reaches(remote.Addr()) {
				reached = true
				add(Path{Local: u.Local, Remote: remote})
			}
		}
		if !reached && len(p.uplinks) == 0 || remote.Addr().Zone() != "" {
			add(Path{Remote: remote})
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
		best := true
		for _, u := range p.uplinks {
			if !u.reaches(e.Addr()) {
				continue
			}
			if !best && len(dial) < maxLanes {
				dial = append(dial, Path{Local: u.Local, Remote: e})
			}
			best = false
		}
	}
	return dial
}

// better is the path in use, or that below the tunnel in use, by the best interface,
// where that is another one.
func (p *paths) better() (best Path, ok bool) {
	for _, u := range p.uplinks {
		if u.reaches(p.under.Remote.Addr()) {
			return Path{Local: u.Local, Remote: p.under.Remote, Carrier: p.under.Carrier}, p.under.Local != Local{} && u.Interface != p.under.Local.Interface
		}
	}
	return Path{}, false
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
