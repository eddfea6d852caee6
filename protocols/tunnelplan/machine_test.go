package tunnelplan_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/tunnelplan"
)

// self is the node whose planner is on the bench.
var self = addr.NodeIDFromUint64(1 << 40)

// bench is one planner, the clock and what it asked for.
type bench struct {
	t    *testing.T
	now  time.Time
	plan *tunnelplan.Planner
}

// newBench is with all links to LANs that there may be.
func newBench(t *testing.T, limits tunnelplan.Limits) *bench {
	limits.LANLinks = tunnelplan.MaxLANLinks
	return &bench{t, epoch, tunnelplan.New(epoch, self, limits, rand.New(rand.NewPCG(1, 2)))}
}

func (b *bench) events() (out []tunnelplan.Event) {
	b.t.Helper()
	b.plan.Drain(func(e tunnelplan.Event) { out = append(out, e) })
	if next, ok := b.plan.NextTimeout(); ok && !next.After(b.now) {
		b.t.Fatalf("at %v the next timeout is %v", b.now, next)
	}
	return out
}

// pass lets time pass, and returns what was asked for meanwhile.
func (b *bench) pass(d time.Duration) (out []tunnelplan.Event) {
	end := b.now.Add(d)
	for range 10000 {
		next, ok := b.plan.NextTimeout()
		if !ok || next.After(end) {
			b.now = end
			return out
		}
		b.now = next
		b.plan.HandleTimeout(b.now)
		out = append(out, b.events()...)
	}
	b.t.Fatal("the planner does not come to rest")
	return nil
}

func TestAPeerWhoseLinksFailAgainAndAgainIsLeftAlone(t *testing.T) {
	b := newBench(t, limits(4, 4))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(1))
	b.events()
	fails := func() time.Duration {
		b.plan.HandleUp(b.now, id(0), tunnelplan.Opened, known(0).Endpoints[0])
		d := b.plan.HandleFaulty(b.now, id(0))
		b.plan.HandleDown(b.now, id(0), tunnelplan.Lost)
		b.events()
		return d
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want *= time.Minute
		if got := fails(); got != want {
			t.Fatalf("left alone for %v, want %v", got, want)
		}
		b.reach(nil) // what is cut off is dialled soon, but for this one
		b.plan.HandleNetworkChange(b.now)
		if opened := of[tunnelplan.Open](b.pass(want - time.Millisecond)); len(opened) > 0 {
			t.Errorf("dialled within %v", want)
		}
		if err := b.plan.Admit(b.now, id(0)); !errors.Is(err, tunnelplan.ErrShunned) {
			t.Errorf("admitted within %v: %v", want, err)
		}
		if opened := of[tunnelplan.Open](b.pass(time.Millisecond)); len(opened) != 1 || b.plan.Admit(b.now, id(0)) != nil {
			t.Errorf("not tried again after %v", want)
		}
	}
	b.plan.HandleUp(b.now, id(0), tunnelplan.Opened, known(0).Endpoints[0])
	b.pass(tunnelplan.ShunMin) // it goes well
	if got := fails(); got != tunnelplan.ShunMin {
		t.Errorf("after it went well, left alone for %v", got)
	}
}

func of[E tunnelplan.Event](events []tunnelplan.Event) (out []E) {
	for _, e := range events {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

func peers(n int) (out []tunnelplan.Peer) {
	for i := range n {
		out = append(out, known(i))
	}
	return out
}

// reach tells that all of ids are routed, through the links in use.
func (b *bench) reach(use []tunnelplan.LinkUse, ids ...int) {
	r := tunnelplan.Routing{Links: use}
	for _, i := range ids {
		r.Reachable = append(r.Reachable, id(i))
	}
	b.plan.HandleRouting(b.now, r)
}

func limits(opened, accepted int) tunnelplan.Limits {
	return tunnelplan.Limits{ClientCount: opened, MaxClients: accepted}
}

func TestStartDialsSeveralAtOnceAndAsksTheRegistry(t *testing.T) {
	b := newBench(t, limits(3, 6))
	b.plan.HandlePeers(b.now, tunnelplan.Remembered, peers(20))
	got := b.events()
	if n := len(of[tunnelplan.Open](got)); n != 3+tunnelplan.DialAhead {
		t.Errorf("%d dials, want %d", n, 3+tunnelplan.DialAhead)
	}
	if n := len(of[tunnelplan.AskRegistry](got)); n != 1 {
		t.Errorf("the registry was asked %d times, want once", n)
	}
}

func TestNextDialStartsWhenOneFails(t *testing.T) {
	b := newBench(t, limits(1, 0))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(20))
	tried := map[addr.NodeID]bool{}
	open := of[tunnelplan.Open](b.events())
	for len(open) > 0 {
		if tried[open[0].Peer.ID] {
			t.Fatalf("%s was dialled twice before all were dialled once", open[0].Peer.ID)
		}
		tried[open[0].Peer.ID] = true
		b.plan.HandleFailed(b.now, open[0].Peer.ID)
		open = append(open[1:], of[tunnelplan.Open](b.events())...)
	}
	if len(tried) != 20 {
		t.Errorf("%d peers were dialled at once one after the other, want 20", len(tried))
	}
}

func TestSilentDialDoesNotHoldUpOthers(t *testing.T) {
	b := newBench(t, limits(1, 0))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(200))
	b.events()
	if n := len(of[tunnelplan.Open](b.pass(2 * tunnelplan.SlowDialAlone))); n != 6 {
		t.Errorf("%d more dials in two times of silence, want 6", n)
	}
	b.pass(10 * time.Second)
	if n := len(of[tunnelplan.Open](b.pass(5 * time.Second))); n != 0 {
		t.Errorf("%d dials beyond MaxDials in flight", n)
	}
	if n := len(of[tunnelplan.Cancel](b.pass(tunnelplan.DialTimeout))); n < tunnelplan.MaxDials/2 {
		t.Errorf("%d dials were given up, want most of %d", n, tunnelplan.MaxDials)
	}
}

func TestBackoffDoublesFromHalfASecondToFiveMinutes(t *testing.T) {
	b := newBench(t, limits(1, 0))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(1))
	if n := len(of[tunnelplan.Open](b.events())); n != 1 {
		t.Fatalf("%d dials", n)
	}
	want := tunnelplan.BackoffMin
	for range 14 {
		b.plan.HandleFailed(b.now, id(0))
		b.events()
		from := b.now
		for len(of[tunnelplan.Open](b.pass(0))) == 0 {
			next, _ := b.plan.NextTimeout()
			b.now = next
			b.plan.HandleTimeout(b.now)
			if len(of[tunnelplan.Open](b.events())) > 0 {
				break
			}
		}
		if waited := b.now.Sub(from); waited < want*3/4 || waited > want*5/4 {
			t.Errorf("waited %v, want %v and a quarter either way", waited, want)
		}
		want = min(2*want, tunnelplan.BackoffMax)
	}
}

func TestEverySecondAttemptForgetsTheStaticKey(t *testing.T) {
	b := newBench(t, limits(1, 0))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(1))
	open := of[tunnelplan.Open](b.events())
	for i := range 4 {
		if has := open[0].Peer.Static != [32]byte{}; has != (i%2 == 0) {
			t.Errorf("attempt %d: key known %v", i, has)
		}
		b.plan.HandleFailed(b.now, id(0))
		open = of[tunnelplan.Open](b.pass(10 * time.Second))
	}
}

func TestRefusalLeavesOnlyThatPeerAlone(t *testing.T) {
	for _, c := range []struct {
		alone bool
		least time.Duration
	}{{true, tunnelplan.AloneMin}, {false, tunnelplan.RefusedMin}} {
		b := newBench(t, limits(2, 1))
		b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(2))
		b.events()
		if !c.alone {
			b.plan.HandleUp(b.now, id(7), tunnelplan.Accepted, netip.AddrPort{})
		}
		b.plan.HandleRefused(b.now, id(0))
		if n := len(of[tunnelplan.Open](b.pass(c.least * 7 / 10))); n != 0 {
			t.Errorf("alone %v: %d dials to a full peer within %v", c.alone, n, c.least*7/10)
		}
		again := of[tunnelplan.Open](b.pass(c.least))
		if len(again) != 1 || again[0].Peer.ID != id(0) || again[0].Peer.Endpoints[0] != known(0).Endpoints[0] {
			t.Errorf("alone %v: a full peer is dialled again by %v", c.alone, again)
		}
	}
}

func TestUnreachableFirstThenDistantNeverAdjacent(t *testing.T) {
	b := newBench(t, limits(0, 9))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(8))
	b.plan.HandleUp(b.now, id(7), tunnelplan.Accepted, netip.AddrPort{})
	r := tunnelplan.Routing{Adjacent: []addr.NodeID{id(6)}}
	for _, i := range []int{2, 3, 4, 5, 7} {
		r.Reachable = append(r.Reachable, id(i))
	}
	b.plan.HandleRouting(b.now, r)
	b.exchange(1000, 4)
	b.exchange(1000, 4)
	b.events()
	b.plan.HandleLimits(b.now, limits(4, 9))
	var order []int
	for _, o := range of[tunnelplan.Open](b.events()) {
		order = append(order, index(o.Peer.ID))
	}
	if len(order) != 4 || order[0]+order[1] != 1 || order[2] != 4 || slices.Contains(order, 6) {
		t.Errorf("dialled %v, want 0 and 1, which nothing reaches, then 4, which has traffic, then another", order)
	}
}

func TestHalfOfTheDialsAreForReachablePeers(t *testing.T) {
	b := newBench(t, limits(0, 9))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(40))
	b.plan.HandleUp(b.now, id(39), tunnelplan.Accepted, netip.AddrPort{})
	b.reach(nil, 30, 31, 32, 33, 34, 35, 39)
	b.events()
	b.plan.HandleLimits(b.now, limits(6, 9))
	dead := 0
	for _, o := range of[tunnelplan.Open](b.events()) {
		if index(o.Peer.ID) < 30 {
			dead++
		}
	}
	if dead != 3 {
		t.Errorf("%d of 6 dials go to peers that may be off, want 3", dead)
	}
}

func TestHearsayOfTheUnreachableComesLast(t *testing.T) {
	b := newBench(t, limits(0, 9))
	b.plan.HandlePeers(b.now, tunnelplan.Gossip, peers(30))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(40)})
	b.plan.HandleUp(b.now, id(29), tunnelplan.Accepted, netip.AddrPort{})
	b.reach(nil, 28, 29)
	b.events()
	b.plan.HandleLimits(b.now, limits(2, 9))
	open := of[tunnelplan.Open](b.events())
	if len(open) != 2 || open[0].Peer.ID != id(40) || open[1].Peer.ID != id(28) {
		t.Errorf("dialled %v, want what the registry names, then what is reachable", open)
	}
	if k := b.plan.Known(10); len(k) != 3 {
		t.Errorf("%d peers are told to others, want the three that are more than hearsay", len(k))
	}
}

func TestAdmit(t *testing.T) {
	b := newBench(t, limits(0, 2))
	admit := func(i int) error { return b.plan.Admit(b.now, id(i)) }
	for i := range 2 {
		if err := admit(i); err != nil {
			t.Fatalf("peer %d: %v", i, err)
		}
		b.plan.HandleUp(b.now, id(i), tunnelplan.Accepted, netip.AddrPort{})
	}
	b.plan.HandlePeers(b.now, tunnelplan.Gossip, peers(8))
	b.reach(nil, 0, 1, 2)
	if err := admit(2); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("a reachable peer beyond the limit: %v", err)
	}
	if err := admit(0); err != nil {
		t.Errorf("a peer that is linked already: %v", err)
	}
	for i := 3; i < 3+tunnelplan.RepairSlots; i++ {
		if err := admit(i); err != nil {
			t.Errorf("unreachable peer %d: %v", i, err)
		}
		b.plan.HandleUp(b.now, id(i), tunnelplan.Accepted, netip.AddrPort{})
	}
	if err := admit(6); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("beyond the repair slots: %v", err)
	}
	b.reach([]tunnelplan.LinkUse{{Peer: id(3), Destinations: 3, Sole: 3}}, 0, 1, 2, 3, 4)
	if err := admit(6); err != nil {
		t.Errorf("a link that is the only way takes a repair slot: %v", err)
	}
	b.events()
	b.plan.HandleUp(b.now, id(2), tunnelplan.Accepted, netip.AddrPort{})
	if c := of[tunnelplan.Close](b.events()); len(c) != 1 || c[0].Reason != tunnelplan.NotAdmitted {
		t.Errorf("a link that was not admitted came up: %v", c)
	}
	if err := b.plan.Admit(b.now, addr.NodeIDFromUint64(1<<40)); !errors.Is(err, tunnelplan.ErrSelf) {
		t.Errorf("itself: %v", err)
	}
}

func TestZeroLimitsLeaveOnlyTheLAN(t *testing.T) {
	b := newBench(t, limits(0, 0))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(5))
	if got := b.events(); len(got) != 0 {
		t.Errorf("client_count 0: %v", got)
	}
	if err := b.plan.Admit(b.now, id(0)); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("max_clients 0: %v", err)
	}
	b.plan.HandlePeers(b.now, tunnelplan.LAN, peers(12))
	if n := len(of[tunnelplan.Open](b.events())); n != tunnelplan.MaxLANLinks {
		t.Errorf("%d dials to the LAN, want %d", n, tunnelplan.MaxLANLinks)
	}
	if err := b.plan.Admit(b.now, id(0)); err != nil {
		t.Errorf("a peer of the LAN: %v", err)
	}
	b.pass(tunnelplan.LANLifetime + time.Minute)
	if err := b.plan.Admit(b.now, id(0)); !errors.Is(err, tunnelplan.ErrFull) {
		t.Errorf("a peer that left the LAN: %v", err)
	}
}

func TestANetworkMayHaveFewerLinksToLANs(t *testing.T) {
	for most, want := range map[int]int{0: 0, 3: 3, 100: tunnelplan.MaxLANLinks} {
		b := newBench(t, limits(0, 0))
		less := limits(0, 0)
		less.LANLinks = most
		b.plan.HandleLimits(b.now, less)
		b.plan.HandlePeers(b.now, tunnelplan.LAN, peers(12))
		if n := len(of[tunnelplan.Open](b.events())); n != want {
			t.Errorf("of %d allowed: %d dials to the LAN, want %d", most, n, want)
		}
		if err := b.plan.Admit(b.now, id(0)); (err == nil) != (want > 0) {
			t.Errorf("of %d allowed: a peer of the LAN: %v", most, err)
		}
	}
}

func TestALANsAddressIsDialledFirst(t *testing.T) {
	b := newBench(t, limits(0, 0))
	known := peers(1)[0]
	for i := range tunnelplan.MaxEndpoints {
		known.Endpoints = append(known.Endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 7326))
	}
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known})
	here := netip.MustParseAddrPort("[fe80::1%eth0]:7326")
	b.plan.HandlePeers(b.now, tunnelplan.LAN, []tunnelplan.Peer{{ID: known.ID, Prefix: known.Prefix, Endpoints: []netip.AddrPort{here}}})
	opened := of[tunnelplan.Open](b.events())
	if len(opened) != 1 || opened[0].Peer.Endpoints[0] != here || len(opened[0].Peer.Endpoints) != tunnelplan.MaxEndpoints {
		t.Errorf("%+v", opened)
	}
}

// filled is a node whose two links are up and settled, and which knows others.
func TestDialsAreCancelledOnceThePlacesAreFilled(t *testing.T) {
	b := newBench(t, limits(2, 4))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(9))
	open := of[tunnelplan.Open](b.events())
	for _, o := range open[:2] {
		b.plan.HandleUp(b.now, o.Peer.ID, tunnelplan.Opened, o.Peer.Endpoints[0])
	}
	if c := of[tunnelplan.Cancel](b.events()); len(c) != tunnelplan.DialAhead {
		t.Errorf("cancelled %v of %v", c, open)
	}
}

func TestRepairDialsGoBeyondTheLimitWithBackoff(t *testing.T) {
	b := filled(t, 0)
	b.reach(nil, 0, 1, 2, 3, 4, 5)
	b.events()
	b.reach(nil, 0, 1)
	if n := len(of[tunnelplan.Open](b.events())); n != 0 {
		t.Fatalf("%d dials before routes could settle", n)
	}
	open := of[tunnelplan.Open](b.pass(tunnelplan.RepairDelay))
	if len(open) != tunnelplan.RepairSlots {
		t.Fatalf("%d repair dials, want %d", len(open), tunnelplan.RepairSlots)
	}
	dials := 0
	for range 600 {
		for _, o := range open {
			dials++
			b.plan.HandleFailed(b.now, o.Peer.ID)
		}
		open = append(of[tunnelplan.Open](b.events()), of[tunnelplan.Open](b.pass(time.Second))...)
	}
	if dials < 20 || dials > 80 {
		t.Errorf("%d repair dials in ten minutes, want about two each half minute", dials)
	}
}

func TestLostPeerThatNothingReachesIsTriedEachFewSeconds(t *testing.T) {
	b := newBench(t, limits(2, 4))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(1))
	b.plan.HandleUp(b.now, id(0), tunnelplan.Opened, known(0).Endpoints[0])
	b.plan.HandleDown(b.now, id(0), tunnelplan.Lost)
	b.reach(nil)
	b.events()
	dials := 0
	for range 300 {
		for _, o := range of[tunnelplan.Open](b.pass(time.Second)) {
			dials++
			b.plan.HandleFailed(b.now, o.Peer.ID)
			b.events()
		}
	}
	if dials < 40 {
		t.Errorf("%d dials in five minutes, want one each five seconds", dials)
	}
}

func TestRegistryIsAskedWithBackoffWhileThereIsNoLink(t *testing.T) {
	b := newBench(t, limits(2, 4))
	b.plan.HandleTimeout(b.now)
	asked := len(of[tunnelplan.AskRegistry](b.events()))
	for owed := asked; b.now.Before(epoch.Add(10 * time.Minute)); asked += owed {
		if owed > 0 {
			b.plan.HandleRegistryFailed(b.now)
		}
		owed = len(of[tunnelplan.AskRegistry](append(b.events(), b.pass(time.Second)...)))
	}
	if asked < 12 || asked > 22 {
		t.Errorf("asked %d times in ten minutes, want about six and then once a minute", asked)
	}
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(3))
	for i := range 2 {
		b.plan.HandleUp(b.now, id(i), tunnelplan.Opened, known(i).Endpoints[0])
	}
	b.events()
	if n := len(of[tunnelplan.AskRegistry](b.pass(24 * time.Hour))); n != 0 {
		t.Errorf("a node with all its links asked %d times in a day", n)
	}
	b.plan.HandleDown(b.now, id(0), tunnelplan.Lost)
	b.plan.HandleDown(b.now, id(1), tunnelplan.Lost)
	if n := len(of[tunnelplan.AskRegistry](b.pass(2 * time.Second))); n != 1 {
		t.Errorf("a node that lost its links asked %d times within two seconds, want once", n)
	}
}

func TestRememberedAreThoseThatWorkedAtTheAddressThatWorked(t *testing.T) {
	b := newBench(t, limits(9, 9))
	other := netip.MustParseAddrPort("198.51.100.7:4000")
	two := known(3)
	two.Endpoints = append(two.Endpoints, other)
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(1), known(2), two})
	b.plan.HandleUp(b.now, id(2), tunnelplan.Opened, known(2).Endpoints[0])
	b.now = b.now.Add(500 * time.Millisecond)
	b.plan.HandleUp(b.now, id(3), tunnelplan.Opened, other)
	b.events()
	r := of[tunnelplan.Remember](b.pass(time.Second))
	if len(r) != 1 {
		t.Fatalf("%d lists, want one for both", len(r))
	}
	got := r[0].Peers
	if len(got) != 2 || got[0].ID != id(3) || got[1].ID != id(2) || got[0].Endpoints[0] != other || len(got[0].Endpoints) != 2 {
		t.Errorf("remembered %v", got)
	}
	if len(of[tunnelplan.Remember](b.pass(time.Hour))) != 0 {
		t.Error("the list is stored again without news")
	}
}

func TestRevokedPeerIsClosedForgottenAndRefused(t *testing.T) {
	b := filled(t, 0)
	b.plan.HandleRevoked(b.now, []addr.NodeID{id(0), id(5)})
	if c := of[tunnelplan.Close](b.events()); len(c) != 1 || c[0].ID != id(0) || c[0].Reason != tunnelplan.Revoked {
		t.Errorf("closed %v", c)
	}
	b.plan.HandleDown(b.now, id(0), tunnelplan.Closed)
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(6))
	for _, p := range b.plan.Known(100) {
		if p.ID == id(0) || p.ID == id(5) {
			t.Errorf("%s is known again", p.ID)
		}
	}
	if err := b.plan.Admit(b.now, id(5)); !errors.Is(err, tunnelplan.ErrRevoked) {
		t.Errorf("admission: %v", err)
	}
}

func TestARevokedNodeEndsItsLinksAndKeepsStill(t *testing.T) {
	b := filled(t, 0)
	b.plan.HandleRevoked(b.now, []addr.NodeID{self})
	events := b.events()
	closed := of[tunnelplan.Close](events)
	if len(closed) == 0 {
		t.Errorf("no link was closed: %v", events)
	}
	for _, c := range closed {
		b.plan.HandleDown(b.now, c.ID, tunnelplan.Closed)
	}
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(20))
	b.plan.HandleUp(b.now, id(9), tunnelplan.Opened, known(9).Endpoints[0]) // it was on its way
	events = append(b.events(), b.pass(2*time.Hour)...)
	if n := len(of[tunnelplan.Open](events)) + len(of[tunnelplan.AskRegistry](events)); n != 0 {
		t.Errorf("it dialled and asked %d times", n)
	}
	if c := of[tunnelplan.Close](events); len(c) != 1 || c[0].ID != id(9) {
		t.Errorf("the late link: %v", c)
	}
	if err := b.plan.Admit(b.now, id(5)); err == nil {
		t.Error("it takes links")
	}
}

func TestNetworkChangeForgetsBackoffs(t *testing.T) {
	b := newBench(t, limits(1, 0))
	b.plan.HandlePeers(b.now, tunnelplan.Registry, peers(1))
	b.events()
	for range 12 {
		b.plan.HandleFailed(b.now, id(0))
		b.events()
		b.pass(6 * time.Minute)
	}
	b.plan.HandleFailed(b.now, id(0))
	b.events()
	b.plan.HandleNetworkChange(b.now)
	if n := len(of[tunnelplan.Open](append(b.events(), b.pass(time.Second)...))); n != 1 {
		t.Errorf("%d dials within a second of the change, want one", n)
	}
}

func TestAPeerThatIsHeardOfAfterItsRouteIsKnownToBeReachable(t *testing.T) {
	b := newBench(t, tunnelplan.Limits{ClientCount: 2, MaxClients: 1})
	b.plan.HandleUp(b.now, id(1), tunnelplan.Opened, known(1).Endpoints[0])
	b.plan.HandleRouting(b.now, tunnelplan.Routing{Reachable: []addr.NodeID{id(1), id(2)}})
	b.plan.HandlePeers(b.now, tunnelplan.Registry, []tunnelplan.Peer{known(2)})
	if asked := of[tunnelplan.Meet](b.pass(time.Second)); len(asked) != 1 || asked[0].ID != id(2) {
		t.Errorf("asked over the mesh: %+v", asked)
	}
}
