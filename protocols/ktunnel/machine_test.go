package ktunnel

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"re6st/protocols/addr"
)

func offer(address string, kinds ...Kind) Offer {
	return Offer{
		Kinds: kinds, Address: netip.MustParseAddr(address), FOUPort: 5001, WireGuardPort: 5002, OpenVPNPort: 5003,
		PublicKey: [keyLen]byte{1, 2, 3}, MTU: 1500,
	}
}

// pair are the two ends of a link, and what each agreed on last.
type pair struct {
	t      *testing.T
	ends   [2]*Machine
	agreed [2]Agreement
	said   int
}

func newPair(t *testing.T) *pair {
	one, two := addr.NodeIDFromUint64(1), addr.NodeIDFromUint64(2)
	return &pair{t: t, ends: [2]*Machine{New(Config{one, two, 71}), New(Config{two, one, 72})}}
}

// carry hands over what the ends say, until both are silent.
func (p *pair) carry() {
	p.t.Helper()
	for again := true; again; {
		again = false
		for i, m := range p.ends {
			m.Drain(func(e Event) {
				switch e := e.(type) {
				case Say:
					again = true
					p.said++
					if err := p.ends[1-i].HandleMessage(e.Body); err != nil {
						p.t.Fatal(err)
					}
				case Agreed:
					p.agreed[i] = e.Agreement
				case Ended:
					p.agreed[i] = Agreement{}
				}
			})
		}
	}
}

// mirrored tells whether the two ends make one tunnel, or both none.
func (p *pair) mirrored() bool {
	a, b := p.agreed[0], p.agreed[1]
	return a.Kind == b.Kind && a.Local == b.Remote && a.Remote == b.Local && a.Key == b.Key &&
		a.Waits == (b.Kind.IsOpenVPN() && !b.Waits) && a.Inside == b.PeerInside && a.PeerInside == b.Inside && a.Underlay == b.Underlay && a.Trusted == b.Trusted
}

func (p *pair) offer(a, b Offer) {
	p.t.Helper()
	p.ends[0].HandleOwn(a)
	p.ends[1].HandleOwn(b)
	p.carry()
	if !p.mirrored() {
		p.t.Fatalf("one end agreed on\n%+v\nthe other on\n%+v", p.agreed[0], p.agreed[1])
	}
}

func TestBothEndsAgreeOnOneTunnel(t *testing.T) {
	p := newPair(t)
	a, b := offer("2001:db8::1", WireGuard), offer("2001:db8::2", WireGuard)
	a.PublicKey, b.PublicKey, b.WireGuardPort, b.MTU = [keyLen]byte{7}, [keyLen]byte{8}, 6002, 1400
	p.offer(a, b)
	want := Agreement{
		Kind: WireGuard, Local: netip.MustParseAddrPort("[2001:db8::1]:5002"), Remote: netip.MustParseAddrPort("[2001:db8::2]:6002"),
		PeerKey: b.PublicKey, Inside: netip.MustParseAddr("fe80::1"), PeerInside: netip.MustParseAddr("fe80::2"), Underlay: 1400,
	}
	if p.agreed[0] != want || p.agreed[1].PeerKey != a.PublicKey {
		t.Errorf("have %+v\nwant %+v", p.agreed[0], want)
	}
	p.offer(offer("192.0.2.1", GRE), offer("192.0.2.2", GRE))
	if got := p.agreed[0]; got.Kind != GRE || got.Key == 0 || got.Local.Port() != 0 || got.PeerKey != [keyLen]byte{} {
		t.Errorf("%+v", got)
	}
}

func TestATunnelIsTrustedWhereBothEndsSaySo(t *testing.T) {
	for _, c := range []struct {
		kind           Kind
		a, b, together bool
	}{
		{GRE, true, true, true},
		{FOU, true, true, true},
		{WireGuard, true, true, true},
		{GRE, true, false, false},
		{GRE, false, true, false},
		{GRE, false, false, false},
		{OpenVPNUDP, true, true, false},
		{OpenVPNTCP, true, true, false},
	} {
		p := newPair(t)
		a, b := offer("192.0.2.1", c.kind), offer("192.0.2.2", c.kind)
		a.Trusts, b.Trusts = c.a, c.b
		p.offer(a, b)
		if got := p.agreed[0]; got.Kind != c.kind || got.Trusted != c.together {
			t.Errorf("%v, trusted by one end %t, by the other %t: %+v", c.kind, c.a, c.b, got)
		}
		b.Trusts = false
		p.offer(a, b)
		if p.agreed[0].Trusted {
			t.Errorf("%v: an end that trusts no more is trusted", c.kind)
		}
	}
}

func TestWhatSaysNothingOfTrustTrustsNot(t *testing.T) {
	m := message{offer("192.0.2.1", GRE), 1}
	m.Trusts = true
	text := m.append(nil)
	if got, err := decode(text[:len(text)-1]); err != nil || got.Trusts || got.OpenVPNPort != m.OpenVPNPort {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOfOpenVPNTheLowerNodeWaits(t *testing.T) {
	for _, kind := range []Kind{OpenVPNUDP, OpenVPNTCP} {
		p := newPair(t)
		p.offer(offer("192.0.2.1", kind), offer("192.0.2.2", kind))
		a, b := p.agreed[0], p.agreed[1]
		if at := netip.MustParseAddrPort("192.0.2.1:5003"); a.Kind != kind || !a.Waits || b.Waits || a.Local != at || b.Remote != at {
			t.Errorf("%v: %+v, %+v", kind, a, b)
		}
	}
}

func TestAnOfferOfBeforeOpenVPNIsTaken(t *testing.T) {
	m := message{offer("192.0.2.1", OpenVPNUDP, GRE), 1}
	text := m.append(nil)
	got, err := decode(text[:len(text)-3])
	if err != nil || got.OpenVPNPort != 0 || !slices.Equal(got.Kinds, []Kind{GRE}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheMTUOfOpenVPN(t *testing.T) {
	for _, c := range []struct {
		kind     Kind
		underlay int
		ipv6     bool
		want     int
	}{
		{OpenVPNUDP, 1500, false, 1434},
		{OpenVPNUDP, 1500, true, 1414},
		{OpenVPNUDP, 1300, false, 1234},
		{OpenVPNUDP, 9000, false, 1500},
		{OpenVPNTCP, 1500, true, 1500},
		{OpenVPNTCP, 1280, true, 1500},
	} {
		if got := c.kind.MTU(c.underlay, c.ipv6); got != c.want {
			t.Errorf("%v over %d bytes, IPv6 %t: %d, want %d", c.kind, c.underlay, c.ipv6, got, c.want)
		}
	}
}

func TestTheLowerNodesOrderHolds(t *testing.T) {
	p := newPair(t)
	p.offer(offer("192.0.2.1", WireGuard, FOU, GRE), offer("192.0.2.2", GRE, FOU))
	if p.agreed[0].Kind != FOU {
		t.Error(p.agreed[0].Kind)
	}
}

func TestWhatOnlyOneEndOffersIsNotTaken(t *testing.T) {
	p := newPair(t)
	p.offer(offer("192.0.2.1", GRE, FOU), offer("192.0.2.2", WireGuard))
	if p.agreed[0] != (Agreement{}) {
		t.Error(p.agreed[0])
	}
}

func TestAnOfferThatIsTakenBackEndsTheTunnel(t *testing.T) {
	p := newPair(t)
	a, b := offer("192.0.2.1", FOU), offer("192.0.2.2", FOU)
	p.offer(a, b)
	if p.agreed[0].Kind != FOU {
		t.Fatal(p.agreed)
	}
	p.offer(a, Offer{})
	if p.agreed[0] != (Agreement{}) || p.agreed[1] != (Agreement{}) {
		t.Error(p.agreed)
	}
}

func TestAnEndThatMovesHasTheTunnelFollow(t *testing.T) {
	p := newPair(t)
	a, b := offer("192.0.2.1", FOU), offer("192.0.2.2", FOU)
	p.offer(a, b)
	a.Address = netip.MustParseAddr("198.51.100.1")
	p.offer(a, b)
	if got := p.agreed[1].Remote; got != netip.MustParseAddrPort("198.51.100.1:5001") {
		t.Error(got)
	}
}

func TestTheSameOfferIsSaidOnce(t *testing.T) {
	p := newPair(t)
	for range 3 {
		p.offer(offer("192.0.2.1", FOU), offer("192.0.2.2", FOU))
	}
	if p.said != 2 {
		t.Errorf("%d messages", p.said)
	}
}

func TestKindsOfWhichSomethingLacksAreLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Offer)
		kind   Kind
	}{
		"no port of FOU":         {func(o *Offer) { o.FOUPort = 0 }, FOU},
		"no port of WireGuard":   {func(o *Offer) { o.WireGuardPort = 0 }, WireGuard},
		"no port of OpenVPN":     {func(o *Offer) { o.OpenVPNPort = 0 }, OpenVPNTCP},
		"no key":                 {func(o *Offer) { o.PublicKey = [keyLen]byte{} }, WireGuard},
		"no address":             {func(o *Offer) { o.Address = netip.Addr{} }, GRE},
		"a link-local address":   {func(o *Offer) { o.Address = netip.MustParseAddr("fe80::1") }, GRE},
		"a loopback, mapped":     {func(o *Offer) { o.Address = netip.MustParseAddr("::ffff:127.0.0.1") }, GRE},
		"a multicast address":    {func(o *Offer) { o.Address = netip.MustParseAddr("224.0.0.1") }, GRE},
		"the other's address":    {func(o *Offer) { o.Address = netip.MustParseAddr("192.0.2.2") }, GRE},
		"another family":         {func(o *Offer) { o.Address = netip.MustParseAddr("2001:db8::1") }, GRE},
		"a kind that is unknown": {func(o *Offer) { o.Kinds = []Kind{9} }, 9},
	} {
		p := newPair(t)
		o := offer("192.0.2.1", c.kind)
		c.change(&o)
		p.offer(o, offer("192.0.2.2", c.kind))
		if p.agreed[0] != (Agreement{}) {
			t.Error(name, p.agreed[0])
		}
	}
}

// Whatever changes at whichever end, in whatever order it is heard, in the end both
// have one tunnel, or none.
func TestEndsThatChangeAgreeInTheEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	addresses := []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}
	tunnels := 0
	for range 2000 {
		p := newPair(t)
		for range 1 + r.IntN(4) {
			end := r.IntN(2)
			kinds := []Kind{GRE, FOU, WireGuard, OpenVPNTCP}
			r.Shuffle(4, func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
			o := offer(addresses[2*r.IntN(2)+end], kinds[:r.IntN(5)]...)
			o.Trusts = r.IntN(2) == 0
			o.MTU, o.FOUPort = uint16(1280+r.IntN(3)), uint16(r.IntN(2))
			p.ends[end].HandleOwn(o)
			if r.IntN(2) == 0 {
				p.carry()
			}
		}
		p.carry()
		if !p.mirrored() {
			t.Fatalf("%+v\n%+v", p.agreed[0], p.agreed[1])
		}
		if p.agreed[0].Kind != 0 {
			tunnels++
		}
	}
	if tunnels < 100 {
		t.Errorf("%d tunnels: this tries nothing", tunnels)
	}
}

func TestTwoTunnelsBetweenTheSameAddressesHaveTwoKeys(t *testing.T) {
	if tunnelKey(1, 2) == tunnelKey(1, 3) || tunnelKey(1, 2) == tunnelKey(2, 1) || tunnelKey(5, 5) == 0 {
		t.Error("keys do not tell tunnels apart")
	}
}

func TestAMessageIsAsTheDocumentSays(t *testing.T) {
	m := message{offer("192.0.2.1", WireGuard, GRE), 0x01020304}
	want := append([]byte{1, 2, 3, 1, 1, 2, 3, 4, 1500 >> 8, 1500 & 255, 5001 >> 8, 5001 & 255, 5002 >> 8, 5002 & 255, 1, 2, 3}, make([]byte, keyLen-3)...)
	want = append(want, 4, 192, 0, 2, 1, 5003>>8, 5003&255, 1)
	m.Trusts = true
	if got := m.append(nil); !slices.Equal(got, want) {
		t.Errorf("have % x\nwant % x", got, want)
	}
	if got, err := decode(append(want, 0xff)); err != nil || !got.equal(m) {
		t.Errorf("with a byte of a newer version: %+v, %v", got, err)
	}
}

func TestWhatIsNoOfferIsRefused(t *testing.T) {
	whole := message{offer("192.0.2.1", GRE), 1}.append(nil)
	for n := range len(whole) - 3 {
		if _, err := decode(whole[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	five := slices.Clone(whole)
	five[len(five)-8] = 3
	if _, err := decode(five); !errors.Is(err, ErrMalformed) {
		t.Error("an address of three bytes:", err)
	}
	if _, err := decode([]byte{2}); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	m := New(Config{})
	if err := m.HandleMessage(nil); err == nil {
		t.Error("nothing is an offer")
	}
	m.Drain(func(e Event) { t.Errorf("%T after a refused message", e) })
}

func FuzzDecode(f *testing.F) {
	f.Add(message{offer("192.0.2.1", WireGuard, FOU, GRE), 1}.append(nil))
	f.Add(message{offer("2001:db8::1", GRE), 1}.append(nil))
	f.Add(message{}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		if again, err := decode(m.append(nil)); err != nil || !again.equal(m) {
			t.Fatalf("%+v\n%+v, %v", m, again, err)
		}
	})
}

func TestTheAddressOfAnOfferIsTold(t *testing.T) {
	for _, c := range []struct {
		offer Offer
		want  string
	}{
		{offer("192.0.2.1", GRE), "192.0.2.1"},
		{offer("2001:db8::1", FOU), "2001:db8::1"},
		{offer("192.0.2.1"), "invalid IP"},
	} {
		if got, err := Address(message{c.offer, 1}.append(nil)); err != nil || got.String() != c.want {
			t.Errorf("%v, %v, want %s", got, err, c.want)
		}
	}
	if _, err := Address([]byte{version}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
