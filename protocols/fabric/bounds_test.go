package fabric

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// far is one of many addresses of a peer.
func far(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 1194)
}

// looseLink is a link that is asked for one thing alone.
func looseLink() *Link {
	return &Link{party: party{rand: rand.NewChaCha8([32]byte{1}), drops: new(Drops), newIndex: func() uint32 { return 1 }}}
}

func TestPathsToAPeerAreBounded(t *testing.T) {
	var p paths
	for i := range 8 {
		p.uplinks = append(p.uplinks, Uplink{Local: Local{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}, Default: true})
		p.endpoints = append(p.endpoints, far(i))
	}
	if n := len(p.all()); n != MaxPaths {
		t.Errorf("%d paths by 8 uplinks to 8 addresses, want %d", n, MaxPaths)
	}
}

func TestTunnelsOfALinkAreBounded(t *testing.T) {
	l := looseLink()
	var tunnels []Path
	for i := range MaxTunnels + 1 {
		tunnels = append(tunnels, Path{Remote: far(i)})
	}
	l.SetTunnels(time.Unix(1, 0), tunnels)
	if n := len(l.paths.tunnels); n != MaxTunnels || l.paths.bestTunnel() != tunnels[0] {
		t.Errorf("%d are taken, the best %v", n, l.paths.bestTunnel())
	}
}

func TestPathsByAConnectionAreBounded(t *testing.T) {
	p := paths{reach: Reach{Carriers: AllCarriers, TLSPort: 443}}
	for i := range MaxEndpoints {
		p.endpoints = append(p.endpoints, far(i))
	}
	for _, c := range []Carrier{QUIC, TLS} {
		if n := len(p.by(c)); n != MaxCarrierPaths {
			t.Errorf("%d paths by %s, want %d", n, c, MaxCarrierPaths)
		}
	}
	if n := len(p.toDial(p.endpoints)); n != MaxEndpoints+2*MaxCarrierPaths {
		t.Errorf("%d paths are dialled", n)
	}
}

func TestChallengesUnderWayAreBounded(t *testing.T) {
	l, now := looseLink(), time.Unix(1, 0)
	for i := range maxChallenges + 9 {
		l.challenge(now, Path{Remote: far(i)}, toFollow)
	}
	if n := len(l.paths.challenges); n != maxChallenges || l.paths.challenges[0].path.Remote != far(9) {
		t.Errorf("%d are waited for, the oldest to %s", n, l.paths.challenges[0].path.Remote)
	}
}

func TestKeysOfWhichTheNewestFrameIsKnownAreBounded(t *testing.T) {
	var p pathChecks
	for i := range uint32(3 * maxNewestCounters) {
		if !p.isNewest(ControlFrame{Index: i, Counter: 5}) || p.isNewest(ControlFrame{Index: i, Counter: 4}) {
			t.Fatalf("keys %d: a frame is not told from one that was overtaken", i)
		}
		if len(p.newest) > maxNewestCounters {
			t.Fatalf("%d keys are kept in mind, want %d at most", len(p.newest), maxNewestCounters)
		}
	}
}

func TestProbesAndRoundTripsKeptInMindAreBounded(t *testing.T) {
	l, now := looseLink(), time.Unix(1, 0)
	l.liveness = newLiveness(Pace{})
	for range maxOutstanding + 9 {
		l.probe(now)
	}
	if n := len(l.liveness.sent); n != maxOutstanding {
		t.Errorf("%d probes wait for their answers, want %d", n, maxOutstanding)
	}
	var r rtt
	for i := range maxRTTSamples + 9 { // rising, so that each may be the least one day
		r.add(now, time.Duration(i)*time.Millisecond)
	}
	if n := len(r.samples); n != maxRTTSamples {
		t.Errorf("%d round trips are kept in mind, want %d", n, maxRTTSamples)
	}
}

func TestPathsThatAreDialledAreBounded(t *testing.T) {
	l := looseLink()
	d := &dialer{party: &l.party, send: func(source, []byte) {}, listen: func(uint32, bool) {}}
	var targets []source
	for i := range maxLanes + 9 {
		targets = append(targets, source{addr: far(i)})
	}
	d.start(time.Unix(1, 0), targets, keptCookie{}, Reach{})
	if n := len(d.lanes); n != maxLanes {
		t.Errorf("%d are dialled at once, want %d", n, maxLanes)
	}
}
