package firsthop

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Check tells what is wrong with a list of routers: too many, one twice, or one that is no
// address of a router. A link-local one needs the name of its interface, "fe80::1%eth1", and no
// other has one.
func Check(gateways []netip.Addr) error {
	if len(gateways) > MaxGateways {
		return fmt.Errorf("%w: there are %d; at most %d are possible", ErrGateway, len(gateways), MaxGateways)
	}
	for i, g := range gateways {
		switch {
		case g.Is4In6():
			return fmt.Errorf("%w: %v is an IPv4 address in IPv6's clothes; write %v", ErrGateway, g, g.Unmap())
		case g.IsLinkLocalUnicast() && g.Is6() && g.Zone() == "":
			return fmt.Errorf("%w: %v is link-local; write its interface behind it, such as %v%%eth1", ErrGateway, g, g)
		case !g.IsLinkLocalUnicast() && g.Zone() != "":
			return fmt.Errorf("%w: %v is not link-local; write it without its interface", ErrGateway, g)
		case !g.IsGlobalUnicast() && !g.IsLinkLocalUnicast():
			return fmt.Errorf("%w: %v is the address of no router", ErrGateway, g)
		case slices.Contains(gateways[:i], g):
			return fmt.Errorf("%w: %v is there twice", ErrGateway, g)
		}
	}
	return nil
}

// family is an index: 0 IPv4, 1 IPv6.
type family int

const families = 2

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return 0
	}
	return 1
}

// Plan gives each link its routers. Not safe for concurrent use.
type Plan struct {
	gateways []netip.Addr
	usable   []netip.Addr // of these, in their order
	near     []netip.Prefix
	next     [families]int // in gateways: whose turn it is
	links    map[rib.LinkID]*link
	routes   map[netip.Addr]netip.Addr // router by address
	past     map[addr.NodeID]*[families]past
	out      []Event
}

// link is one that this end opened.
type link struct {
	peer addr.NodeID
	at   []netip.Addr
	by   [families]choice
}

// choice is how a link goes in one family.
type choice struct {
	made bool
	via  netip.Addr // not valid: as the kernel knows
}

// past is what became of the last tries with a peer.
type past struct {
	via    netip.Addr // the last that failed
	failed int        // in a row
}

// New makes a Plan for routers that Check finds well, by turns in this order. None can be used
// before HandleUnderlay.
func New(gateways []netip.Addr) *Plan {
	return &Plan{
		gateways: slices.Clone(gateways), links: map[rib.LinkID]*link{}, routes: map[netip.Addr]netip.Addr{},
		past: map[addr.NodeID]*[families]past{},
	}
}

// HandleGateways puts other routers, that Check finds well, in the place of those that there
// are. Links go on as they do until HandleUnderlay, which is to follow; what failed is forgotten.
func (p *Plan) HandleGateways(gateways []netip.Addr) {
	clear(p.past)
	p.gateways, p.next = slices.Clone(gateways), [families]int{}
	p.usable = slices.DeleteFunc(p.usable, func(g netip.Addr) bool { return !slices.Contains(gateways, g) })
}

// HandleUnderlay tells which routers can be used, and what lies on this machine's links.
func (p *Plan) HandleUnderlay(usable []netip.Addr, near []netip.Prefix) {
	p.usable = p.usable[:0]
	for _, g := range p.gateways {
		if slices.Contains(usable, g) {
			p.usable = append(p.usable, g)
		}
	}
	p.near = slices.Clone(near)
	p.settle()
}

// HandleLink tells where the peer of a link may be, of which the first MaxAddresses count. The
// link may be new.
func (p *Plan) HandleLink(id rib.LinkID, peer addr.NodeID, at []netip.Addr) {
	l := p.links[id]
	if l == nil {
		l = &link{}
		p.links[id] = l
	}
	l.peer, l.at = peer, nil
	for _, a := range at {
		if a = a.Unmap(); a.IsGlobalUnicast() && !slices.Contains(l.at, a) && len(l.at) < MaxAddresses {
			l.at = append(l.at, a)
		}
	}
	p.settle()
}

// HandleUp tells that the peer of a link answered.
func (p *Plan) HandleUp(id rib.LinkID) {
	if l := p.links[id]; l != nil {
		delete(p.past, l.peer)
	}
}

// HandleEnd tells that a link has ended, and whether its peer did not answer any more.
func (p *Plan) HandleEnd(id rib.LinkID, silent bool) {
	l := p.links[id]
	if l == nil {
		return
	}
	delete(p.links, id)
	if silent {
		p.remember(l)
	}
	p.settle()
}

// remember notes by what a link failed.
func (p *Plan) remember(l *link) {
	was := p.past[l.peer]
	if was == nil {
		if len(p.past) >= MaxPast {
			clear(p.past)
		}
		was = new([families]past)
		p.past[l.peer] = was
	}
	for f, c := range l.by {
		if !c.made {
			continue
		}
		if was[f].failed++; c.via.IsValid() {
			was[f].via = c.via
		}
	}
}

// Of is the router of a link for IPv4 or IPv6; not valid: it goes as the kernel knows.
func (p *Plan) Of(id rib.LinkID, is4 bool) netip.Addr {
	l := p.links[id]
	switch {
	case l == nil:
		return netip.Addr{}
	case is4:
		return l.by[0].via
	default:
		return l.by[1].via
	}
}

// Via is the router of an address; not valid: there is no route.
func (p *Plan) Via(a netip.Addr) netip.Addr { return p.routes[a.Unmap()] }

// Routes are all that the kernel is to hold, by their addresses.
func (p *Plan) Routes() []Route {
	var all []Route
	for _, a := range slices.SortedFunc(maps.Keys(p.routes), netip.Addr.Compare) {
		all = append(all, Route{a, p.routes[a]})
	}
	return all
}

// Drain hands over what is to be done, in its order.
func (p *Plan) Drain(do func(Event)) {
	out := p.out
	p.out = nil
	for _, e := range out {
		do(e)
	}
}

// settle works out the routes, and what differs.
func (p *Plan) settle() {
	wanted := map[netip.Addr]netip.Addr{}
	for _, id := range slices.Sorted(maps.Keys(p.links)) {
		l := p.links[id]
		for _, a := range l.at {
			if _, shared := wanted[a]; shared || p.isNear(a) {
				continue
			}
			if via := p.keep(a); via.IsValid() {
				wanted[a] = via
			} else if via := p.choose(l, familyOf(a)); via.IsValid() {
				wanted[a] = via
			}
		}
		p.follow(l, wanted)
	}
	for _, a := range slices.SortedFunc(maps.Keys(p.routes), netip.Addr.Compare) {
		if _, stays := wanted[a]; !stays {
			p.out = append(p.out, Remove{a})
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(wanted), netip.Addr.Compare) {
		if via := wanted[a]; p.routes[a] != via {
			p.out = append(p.out, Set{Route{a, via}})
		}
	}
	p.routes = wanted
}

func (p *Plan) isNear(a netip.Addr) bool {
	return slices.ContainsFunc(p.near, func(n netip.Prefix) bool { return n.Contains(a) })
}

// keep is the router that an address has, while that can be used.
func (p *Plan) keep(a netip.Addr) netip.Addr {
	if via := p.routes[a]; slices.Contains(p.usable, via) {
		return via
	}
	return netip.Addr{}
}

// follow has a link that made no choice take the router that an address of its peer has from
// another link, for what addresses may come.
func (p *Plan) follow(l *link, wanted map[netip.Addr]netip.Addr) {
	for _, a := range l.at {
		if by := &l.by[familyOf(a)]; !by.made && wanted[a].IsValid() {
			*by = choice{true, wanted[a]}
		}
	}
}

// choose is the router of a link, which may have to get one. A link whose peer has failed by all
// of them goes as the kernel knows; so does one for which there is none, until there is.
func (p *Plan) choose(l *link, f family) netip.Addr {
	by := &l.by[f]
	switch {
	case by.made && !by.via.IsValid(), slices.Contains(p.usable, by.via):
		return by.via
	}
	for _, a := range l.at { // one peer, one router
		if via := p.keep(a); familyOf(a) == f && via.IsValid() {
			*by = choice{true, via}
			return via
		}
	}
	n := 0
	for _, g := range p.usable {
		if familyOf(g) == f {
			n++
		}
	}
	*by = choice{made: n > 0}
	if n == 0 {
		return netip.Addr{}
	}
	// Of a router that is gone nothing follows for the others.
	if was := p.past[l.peer]; was != nil && was[f].failed > 0 && slices.Contains(p.usable, was[f].via) {
		if was[f].failed%(n+1) != n {
			by.via, _ = p.after(slices.Index(p.gateways, was[f].via)+1, f)
		}
		return by.via
	}
	by.via, p.next[f] = p.after(p.next[f], f)
	return by.via
}

// after is the first router of a family that can be used, from a place in the list on and then
// from its beginning, and the place behind it. There is one.
func (p *Plan) after(from int, f family) (netip.Addr, int) {
	for i := range p.gateways {
		at := (from + i) % len(p.gateways)
		if g := p.gateways[at]; familyOf(g) == f && slices.Contains(p.usable, g) {
			return g, at + 1
		}
	}
	return netip.Addr{}, from
}
