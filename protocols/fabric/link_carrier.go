package fabric

import (
	"net/netip"
	"slices"
	"time"
)

// A dial begins with one carrier and tries the others a moment later; the first handshake
// that ends well has the link ("happy eyeballs", RFC 8305). A link whose path is silent tries
// the paths of all carriers. One that goes by another carrier than the best tries the better
// ones for as long, and takes the first that has answered a few times in a row.
const (
	// RaceStep is by how much a dial by the next carrier comes later.
	RaceStep = 300 * time.Millisecond
	// UpgradeFirst and UpgradeLast are how far apart are the rounds in which a better
	// carrier is tried, doubling.
	UpgradeFirst = 5 * time.Second
	UpgradeLast  = 20 * time.Second
	// MaxCarrierPaths is how many paths by QUIC, and by TLS, a link has in mind: behind each
	// there may be a connection.
	MaxCarrierPaths = 4
)

// Reach is by what carriers a peer is tried. The zero Reach is UDP alone.
type Reach struct {
	Carriers CarrierSet // that both ends have
	TLSPort  uint16     // TCP port at the peer's addresses; 0: it is not dialled by TLS
	First    Carrier    // that a dial begins with
}

// CarrierSet has the bit 1<<c for each Carrier c.
type CarrierSet uint8

// AllCarriers is the whole set.
const AllCarriers CarrierSet = 1<<Carriers - 1

// Has tells whether a carrier is in the set.
func (s CarrierSet) Has(c Carrier) bool { return s>>c&1 != 0 }

// SetReach tells by what carriers the peer may be reached. Paths in use stay.
func (l *Link) SetReach(now time.Time, r Reach) {
	if r.Carriers&AllCarriers == 0 {
		r.Carriers = 1 << UDP
	}
	l.paths.reach = r
	if l.IsUp() {
		l.planUpgrade(now)
	}
}

// tries tells whether the peer is to be dialled by a carrier.
func (r Reach) tries(c Carrier) bool {
	return (r.Carriers.Has(c) || r.Carriers == 0 && c == UDP) && (c != TLS || r.TLSPort != 0)
}

// remotes are the addresses of a peer for a carrier, out of those for UDP.
func (r Reach) remotes(c Carrier, endpoints []netip.AddrPort) []netip.AddrPort {
	if c != TLS {
		return endpoints
	}
	var all []netip.AddrPort
	for _, e := range endpoints {
		if e.IsValid() {
			all = append(all, netip.AddrPortFrom(e.Addr(), r.TLSPort))
		}
	}
	return slices.Compact(all)
}

// race is by how much a dial by a carrier comes later than the first.
func (r Reach) race(c Carrier) time.Duration {
	if !r.tries(r.First) {
		r.First = UDP
	}
	var before time.Duration
	for other := range Carrier(Carriers) {
		if r.tries(other) && (other == r.First || c != r.First && other < c) && other != c {
			before += RaceStep
		}
	}
	return before
}

// known are the peer's addresses for UDP and QUIC, that in use first.
func (p *paths) known() []netip.AddrPort {
	if p.under.Carrier == TLS { // the port is TCP's
		return p.endpoints
	}
	return append([]netip.AddrPort{p.under.Remote}, p.endpoints...)
}

// dialTo adds to the paths of a dial those of the other carriers, as the kernel chooses them.
func (p *paths) dialTo(dial []Path, endpoints []netip.AddrPort) []Path {
	if !p.reach.tries(UDP) {
		dial = nil
	}
	for c := QUIC; int(c) < Carriers; c++ {
		if !p.reach.tries(c) {
			continue
		}
		remotes := p.reach.remotes(c, endpoints)
		for _, remote := range remotes[:min(len(remotes), MaxCarrierPaths)] {
			dial = append(dial, Path{Remote: remote, Carrier: c})
		}
	}
	return dial
}

// upgrade is the search for a better carrier.
type upgrade struct {
	next    time.Time // zero: there is none
	wait    time.Duration
	path    Path // that answered; zero: none
	answers int  // of it, in a row
	asked   bool
}

// planUpgrade begins the search, or ends it, as the path in use has it.
func (l *Link) planUpgrade(now time.Time) {
	p := &l.paths
	u := &p.upgrade
	if !p.hasBetterCarrier() {
		u.next, u.path = time.Time{}, Path{}
		return
	}
	if !u.next.IsZero() {
		return
	}
	if u.wait == 0 || now.Sub(p.movedAt) > HomeLast {
		u.wait = UpgradeFirst
	}
	p.restUpgrade(now)
}

func (p *paths) hasBetterCarrier() bool {
	for c := UDP; c < p.current.Carrier; c++ {
		if p.reach.tries(c) {
			return true
		}
	}
	return false
}

// restUpgrade ends a round.
func (p *paths) restUpgrade(now time.Time) {
	u := &p.upgrade
	u.path, u.answers, u.asked = Path{}, 0, false
	u.next = now.Add(u.wait)
	u.wait = min(2*u.wait, UpgradeLast)
}

// tryUpgrade challenges what may be better, or what answered before.
func (l *Link) tryUpgrade(now time.Time) {
	p := &l.paths
	u := &p.upgrade
	switch {
	case u.next.IsZero() || now.Before(u.next):
		return
	case u.asked:
		p.restUpgrade(now)
		return
	}
	u.asked, u.next = true, now.Add(max(HomePatience, 2*l.liveness.rtt.smoothed))
	if u.path != (Path{}) {
		l.challenge(now, u.path, toUpgrade)
		return
	}
	for _, q := range p.underlays() {
		if q.Carrier < p.current.Carrier {
			l.challenge(now, q, toUpgrade)
		}
	}
}

// upgradeAnswered counts an answer. The first of a round by the best carrier is asked on.
func (l *Link) upgradeAnswered(now time.Time, path Path) {
	u := &l.paths.upgrade
	if !u.asked || path.Carrier >= l.paths.current.Carrier || u.path != (Path{}) && u.path != path {
		return
	}
	u.path, u.asked = path, false
	if u.answers++; u.answers < HomeAnswers {
		u.next = now.Add(ProbeInterval)
		return
	}
	l.lead(now, path)
}

// Endpoint is where the peer may be dialled by UDP, as far as the handshake shows; not valid:
// it does not.
func (u Up) Endpoint() netip.AddrPort { return u.Carrier.endpoint(u.Remote) }

// Endpoints is Endpoint as a list.
func (u Up) Endpoints() []netip.AddrPort { return listOf(u.Endpoint()) }

// Endpoints is where the peer may be dialled by UDP, as far as the handshake shows.
func (a Accepted) Endpoints() []netip.AddrPort { return listOf(a.carrier().endpoint(a.From)) }

func (a Accepted) carrier() Carrier {
	if a.agreed == nil {
		return UDP
	}
	return a.agreed.with.carrier
}

// Endpoint is where the peer may be dialled by UDP, as far as the path shows: a port of TCP
// says nothing of that.
func (p Path) Endpoint() netip.AddrPort { return p.Carrier.endpoint(p.Remote) }

func (c Carrier) endpoint(remote netip.AddrPort) netip.AddrPort {
	if c == TLS {
		return netip.AddrPort{}
	}
	return remote
}

func listOf(e netip.AddrPort) []netip.AddrPort {
	if !e.IsValid() {
		return nil
	}
	return []netip.AddrPort{e}
}
