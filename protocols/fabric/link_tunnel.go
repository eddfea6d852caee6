package fabric

import (
	"slices"
	"time"
)

// A tunnel below a link, such as GRE or WireGuard of both ends' kernels, is one more path:
// between the link-local addresses on its interface. It is better than any without a
// tunnel, and is tried as a path that was left is: it is taken once it has answered
// HomeAnswers challenges in a row, and left when it falls silent. What is sent by it is as
// sealed as by any other path.

// MaxTunnels is how many tunnels a link has below it.
const MaxTunnels = 4

// SetTunnels tells the paths by tunnels, best first: Local is this node's address inside with
// the tunnel's interface, Remote the peer's. Where that in use is gone the link goes on at
// once by the path that it used before; where the best one is new it is tried at once.
// Beyond MaxTunnels none is taken. The same paths again change nothing.
func (l *Link) SetTunnels(now time.Time, tunnels []Path) {
	p := &l.paths
	tunnels = tunnels[:min(len(tunnels), MaxTunnels)]
	if slices.Equal(p.tunnels, tunnels) {
		return
	}
	inTunnel, best := p.isTunnel(p.current), p.bestTunnel()
	if p.isTunnel(p.home) {
		p.home, p.homeNext = Path{}, time.Time{}
	}
	p.tunnels = slices.Clone(tunnels)
	if p.isTunnel(p.under) {
		p.under = p.before // the peer was there first
	}
	if !l.IsUp() {
		return
	}
	if inTunnel && !p.isTunnel(p.current) {
		l.lead(now, p.under)
		l.challengeOthers(now)
	}
	if p.bestTunnel() != best || p.home == (Path{}) {
		l.tryTunnels(now)
	}
}

// Underlay is the way that is used, or was last used, without a tunnel; the zero Path
// before Up.
func (l *Link) Underlay() Path { return l.paths.under }

// InTunnel tells whether the link goes by a path of SetTunnels.
func (l *Link) InTunnel() bool { return l.paths.isTunnel(l.paths.current) }

// tryTunnels has the best tunnel challenged, at once.
func (l *Link) tryTunnels(now time.Time) {
	p := &l.paths
	best := p.bestTunnel()
	if best == (Path{}) || best == p.current {
		return
	}
	p.home, p.homeWait = best, HomeFirst
	p.homeAnswers, p.homeAsked, p.homeNext = 0, false, now
}

// missTunnel has the best tunnel tried again later, where the peer led the link out of it: it
// may not try itself.
func (l *Link) missTunnel(now time.Time) {
	p := &l.paths
	if best := p.bestTunnel(); best != (Path{}) && best != p.current && p.home == (Path{}) {
		p.home, p.homeWait = best, max(p.homeWait, HomeFirst)
		if !p.wentHome { // it was led in as well: that the tunnel is bad again is not its finding
			p.homeWait = max(p.homeWait/2, HomeFirst)
		}
		p.wentHome = false
		p.restAtHome(now)
	}
}

func (p *paths) isTunnel(q Path) bool { return slices.Contains(p.tunnels, q) }

func (p *paths) bestTunnel() Path {
	if len(p.tunnels) == 0 {
		return Path{}
	}
	return p.tunnels[0]
}
