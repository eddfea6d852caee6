package firsthop_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/firsthop"
	"re6st/protocols/rib"
)

var (
	one, two, three = ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")
	six, link6      = ip("2001:db8:1::1"), ip("fe80::1%eth1")
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func ips(s ...string) (all []netip.Addr) {
	for _, a := range s {
		all = append(all, ip(a))
	}
	return all
}

// plan is a Plan with what a kernel holds that carries out its events.
type plan struct {
	*firsthop.Plan
	t    *testing.T
	held map[netip.Addr]netip.Addr
}

// newPlan has routers that can all be used.
func newPlan(t *testing.T, gateways ...netip.Addr) *plan {
	t.Helper()
	if err := firsthop.Check(gateways); err != nil {
		t.Fatal(err)
	}
	p := &plan{firsthop.New(gateways), t, map[netip.Addr]netip.Addr{}}
	p.HandleUnderlay(gateways, nil)
	return p
}

// via wants an address to go through a router; an invalid one is none.
func (p *plan) via(a string, want netip.Addr) {
	p.t.Helper()
	p.carryOut()
	if got := p.held[ip(a)]; got != want {
		p.t.Errorf("%s goes through %v, want %v", a, got, want)
	}
	if got := p.Via(ip(a)); got != want {
		p.t.Errorf("%s is said to go through %v, want %v", a, got, want)
	}
}

// carryOut does what the events want, and looks whether it comes to what is wanted.
func (p *plan) carryOut() {
	p.t.Helper()
	p.Drain(func(e firsthop.Event) {
		switch e := e.(type) {
		case firsthop.Set:
			if p.held[e.Addr] == e.Via {
				p.t.Errorf("set to what it is: %v", e)
			}
			p.held[e.Addr] = e.Via
		case firsthop.Remove:
			if !p.held[e.Addr].IsValid() {
				p.t.Errorf("removed what is not there: %v", e)
			}
			delete(p.held, e.Addr)
		}
	})
	for _, r := range p.Routes() {
		if p.held[r.Addr] != r.Via {
			p.t.Errorf("%v goes through %v, want %v", r.Addr, p.held[r.Addr], r.Via)
		}
	}
	if len(p.held) != len(p.Routes()) {
		p.t.Errorf("%d routes are held, want %d", len(p.held), len(p.Routes()))
	}
}

func peer(n int) addr.NodeID { return addr.NodeIDFromUint64(uint64(n)) }

// open has a link to a peer of the same number.
func (p *plan) open(id int, at ...string) { p.HandleLink(rib.LinkID(id), peer(id), ips(at...)) }

func TestLinksTakeTheGatewaysOfTheirFamilyByTurns(t *testing.T) {
	p := newPlan(t, one, six, two, link6)
	for i := range 4 {
		p.open(i, fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("2001:db8:9::%x", i))
	}
	for i := range 4 {
		p.via(fmt.Sprintf("198.51.100.%d", i), []netip.Addr{one, two}[i%2])
		p.via(fmt.Sprintf("2001:db8:9::%x", i), []netip.Addr{six, link6}[i%2])
	}
	if p.Of(1, true) != two || p.Of(1, false) != link6 || p.Of(9, true).IsValid() {
		t.Errorf("link 1 goes through %v and %v", p.Of(1, true), p.Of(1, false))
	}
}

func TestAllAddressesOfAPeerGoThroughOneGateway(t *testing.T) {
	p := newPlan(t, one, two)
	p.open(1, "198.51.100.1", "10.0.0.1")
	p.open(2, "198.51.100.2", "10.0.0.2")
	p.open(1, "198.51.100.1", "10.0.0.1", "203.0.113.1") // it moved
	for _, a := range []string{"198.51.100.1", "10.0.0.1", "203.0.113.1"} {
		p.via(a, one)
	}
	p.via("198.51.100.2", two)
	p.via("10.0.0.2", two)
	p.open(1, "203.0.113.1")
	p.via("198.51.100.1", netip.Addr{})
	p.via("203.0.113.1", one)
}

func TestLinksToOneAddressShareItsRoute(t *testing.T) {
	p := newPlan(t, one, two)
	p.open(1, "198.51.100.1")
	p.open(2, "198.51.100.1", "10.0.0.2")
	p.open(3, "198.51.100.3")
	p.via("10.0.0.2", one) // as the other address of that peer
	p.via("198.51.100.3", two)
	p.HandleEnd(1, false)
	p.via("198.51.100.1", one)
	p.HandleEnd(2, false)
	p.via("198.51.100.1", netip.Addr{})
	p.HandleEnd(3, false)
	p.carryOut()
	if len(p.held) > 0 {
		t.Errorf("left: %v", p.held)
	}
}

func TestALinkMovesToTheNextGatewayWhereItsOwnIsGone(t *testing.T) {
	p := newPlan(t, one, two, three)
	for i := 1; i <= 4; i++ {
		p.open(i, fmt.Sprintf("198.51.100.%d", i))
	}
	p.HandleUnderlay([]netip.Addr{one, three}, nil)
	for i, want := range []netip.Addr{one, three, three, one} {
		p.via(fmt.Sprintf("198.51.100.%d", i+1), want)
	}
	p.HandleUnderlay(nil, nil)
	for i := range 4 {
		p.via(fmt.Sprintf("198.51.100.%d", i+1), netip.Addr{})
	}
	p.HandleUnderlay([]netip.Addr{two}, nil)
	for i := range 4 {
		p.via(fmt.Sprintf("198.51.100.%d", i+1), two)
	}
	p.HandleUnderlay([]netip.Addr{one, two}, nil)
	p.via("198.51.100.1", two) // it stays where it is
}

func TestOtherGatewaysTakeThePlaceOfThoseThatThereWere(t *testing.T) {
	p := newPlan(t)
	for i := 1; i <= 2; i++ {
		p.open(i, fmt.Sprintf("198.51.100.%d", i))
	}
	for _, c := range []struct{ gateways, want []netip.Addr }{
		{nil, []netip.Addr{{}, {}}},
		{[]netip.Addr{one, two}, []netip.Addr{one, two}},
		{[]netip.Addr{three, two}, []netip.Addr{three, two}}, // who has one that stays keeps it
		{[]netip.Addr{one}, []netip.Addr{one, one}},
		{nil, []netip.Addr{{}, {}}},
		{[]netip.Addr{two, three}, []netip.Addr{two, three}},
	} {
		p.HandleGateways(c.gateways)
		p.HandleUnderlay(c.gateways, nil)
		for i, want := range c.want {
			p.via(fmt.Sprintf("198.51.100.%d", i+1), want)
		}
	}
}

func TestWhatLiesOnALinkOfThisMachineNeedsNoGateway(t *testing.T) {
	p := newPlan(t, one, two)
	p.HandleUnderlay([]netip.Addr{one, two}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	p.open(1, "192.0.2.77", "127.0.0.1", "fe80::5%eth0")
	p.open(2, "198.51.100.2", "::ffff:203.0.113.2")
	p.via("192.0.2.77", netip.Addr{})
	p.via("198.51.100.2", one) // the neighbor took no turn
	p.via("203.0.113.2", one)
	p.HandleUnderlay([]netip.Addr{one, two}, nil)
	p.via("192.0.2.77", two)
}

func TestAPeerThatDoesNotAnswerIsTriedThroughAllGatewaysAndWithoutOne(t *testing.T) {
	p := newPlan(t, one, two)
	for _, want := range []netip.Addr{one, two, {}, one, two, {}} {
		p.open(1, "198.51.100.1")
		p.via("198.51.100.1", want)
		p.HandleEnd(1, true)
	}
	p.open(2, "198.51.100.2")
	p.via("198.51.100.2", two) // turns are as they were
	p.open(1, "198.51.100.1")
	p.HandleUp(1)
	p.HandleEnd(1, true)
	p.open(1, "198.51.100.1")
	p.via("198.51.100.1", two) // after the one by which it fell silent
	p.HandleEnd(1, false)
}

func TestAPeerThatFailedByAGatewayThatIsGoneIsTriedThroughThatWhichIsThere(t *testing.T) {
	p := newPlan(t, one, two)
	p.open(1, "198.51.100.1")
	p.HandleUnderlay([]netip.Addr{two}, nil)
	p.HandleUnderlay([]netip.Addr{one}, nil)
	p.HandleEnd(1, true)
	p.HandleUnderlay([]netip.Addr{two}, nil)
	p.open(1, "198.51.100.1")
	p.via("198.51.100.1", two)
}

func TestGatewaysAreBounded(t *testing.T) {
	var many []netip.Addr
	for i := range firsthop.MaxGateways + 1 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
	}
	if err := firsthop.Check(many[1:]); err != nil {
		t.Error(err)
	}
	for want, bad := range map[string][]netip.Addr{
		"at most 16":       many,
		"there twice":      {one, two, one},
		"%eth1":            ips("fe80::1"),
		"not link-local":   ips("2001:db8::1%eth0"),
		"write 192.0.2.1":  ips("::ffff:192.0.2.1"),
		"of no router":     ips("ff02::1"),
		"0.0.0.0 is the":   ips("0.0.0.0"),
		"127.0.0.1 is the": ips("127.0.0.1"),
	} {
		if err := firsthop.Check(bad); !errors.Is(err, firsthop.ErrGateway) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", bad, err, want)
		}
	}
}

func TestAddressesOfALinkAreBounded(t *testing.T) {
	p := newPlan(t, one)
	var at []string
	for i := range firsthop.MaxAddresses + 5 {
		at = append(at, fmt.Sprintf("198.51.100.%d", i))
	}
	p.open(1, at...)
	p.via(at[firsthop.MaxAddresses-1], one)
	if n := len(p.Routes()); n != firsthop.MaxAddresses {
		t.Errorf("%d routes", n)
	}
}

func TestPeersThatFailedAreBounded(t *testing.T) {
	p := newPlan(t, one, two)
	fail := func(i int) {
		p.open(i, "198.51.100.1")
		p.HandleEnd(rib.LinkID(i), true)
	}
	for i := range firsthop.MaxPast {
		fail(i)
	}
	fail(0) // known: nobody is forgotten; by now it has failed by both
	p.open(0, "198.51.100.1")
	p.via("198.51.100.1", netip.Addr{})
	p.HandleEnd(0, false)
	fail(firsthop.MaxPast)
	p.open(0, "198.51.100.1")
	if !p.Of(0, true).IsValid() {
		t.Error("a peer beyond the bound is remembered")
	}
}

// Whatever happens, the events make of the routes before those after, none leads through what
// cannot be used, and at the end nothing is left.
func TestEventsMakeTheRoutes(t *testing.T) {
	gateways := []netip.Addr{one, two, six, three, link6}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := newPlan(t, gateways...)
		usable := gateways
		for range 200 {
			id := r.IntN(6)
			switch r.IntN(5) {
			case 0:
				usable = slices.DeleteFunc(slices.Clone(gateways), func(netip.Addr) bool { return r.IntN(3) == 0 })
				p.HandleUnderlay(usable, nil)
			case 1:
				p.HandleEnd(rib.LinkID(id), r.IntN(2) == 0)
			case 2:
				p.HandleUp(rib.LinkID(id))
			default:
				p.open(id, fmt.Sprintf("198.51.100.%d", r.IntN(4)), fmt.Sprintf("2001:db8:9::%x", r.IntN(4)), fmt.Sprintf("203.0.113.%d", id))
			}
			p.carryOut()
			for a, via := range p.held {
				if !slices.Contains(usable, via) || via.Is4() != a.Is4() {
					t.Fatalf("seed %d: %v goes through %v", seed, a, via)
				}
			}
		}
		for id := range 6 {
			p.HandleEnd(rib.LinkID(id), false)
		}
		if p.carryOut(); len(p.held) > 0 {
			t.Fatalf("seed %d: left: %v", seed, p.held)
		}
	}
}
