package discovery_test

import (
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/discovery"
)

var began = time.Unix(1_800_000_000, 0)

// station is a machine at an address of a LAN.
type station struct {
	*discovery.Machine
	local netip.Addr
	heard []discovery.Heard
	sent  int
}

func key(t testing.TB, network byte) discovery.Key {
	t.Helper()
	k, err := discovery.NewKey([32]byte{network})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func beacon(t testing.TB, n uint64) discovery.Beacon {
	t.Helper()
	prefix, err := addr.ParseBits("0000000000000101")
	if err != nil {
		t.Fatal(err)
	}
	return discovery.Beacon{ID: addr.NodeIDFromUint64(n), Static: [32]byte{1, byte(n)}, Port: 7326, Prefix: prefix}
}

func linkLocal(n uint64) netip.Addr { return addr.NodeIDFromUint64(n).LinkLocal() }

func newStation(t testing.TB, now time.Time, network byte, n uint64) *station {
	return &station{Machine: discovery.New(now, discovery.Config{
		Key: key(t, network), Self: beacon(t, n), Local: linkLocal(n), Nonces: rand.Reader, Rand: mrand.New(mrand.NewPCG(n, 1)),
	}), local: linkLocal(n)}
}

// lan carries what stations send to all others, for as long as given.
func lan(t testing.TB, now time.Time, d time.Duration, stations ...*station) time.Time {
	t.Helper()
	for end := now.Add(d); now.Before(end); {
		next := end
		for _, s := range stations {
			if at, ok := s.NextTimeout(); ok && at.Before(next) {
				next = at
			}
		}
		if next.After(now) {
			now = next
		}
		for _, s := range stations {
			s.HandleTimeout(now)
			deliver(t, now, s, stations)
		}
	}
	return now
}

func deliver(t testing.TB, now time.Time, s *station, stations []*station) {
	s.Drain(func(e discovery.Event) {
		switch e := e.(type) {
		case discovery.Send:
			s.sent++
			for _, o := range stations {
				if o != s {
					_ = o.HandlePacket(now, s.local, e.Packet) // foreign ones are refused
				}
			}
		case discovery.Heard:
			s.heard = append(s.heard, e)
		}
	})
}

func TestNodesOfOneLANHearEachOther(t *testing.T) {
	a := newStation(t, began, 1, 1)
	now := lan(t, began, time.Minute, a)
	if len(a.heard) != 0 {
		t.Fatalf("alone it heard %v", a.heard)
	}
	b := newStation(t, now, 1, 2)
	lan(t, now, time.Second, a, b)
	for s, want := range map[*station]discovery.Heard{a: {beacon(t, 2), linkLocal(2)}, b: {beacon(t, 1), linkLocal(1)}} {
		if len(s.heard) == 0 || s.heard[0] != want {
			t.Errorf("%s heard %+v within a second of a newcomer, want %+v", s.local, s.heard, want)
		}
	}
}

func TestAQuietLANHasFewBeacons(t *testing.T) {
	a, b := newStation(t, began, 1, 1), newStation(t, began, 1, 2)
	now := lan(t, began, 10*time.Second, a, b)
	a.sent, a.heard = 0, nil
	lan(t, now, 10*time.Minute, a, b)
	if least, most := 15, 27; a.sent < least || a.sent > most {
		t.Errorf("%d beacons in ten minutes, want %d to %d", a.sent, least, most)
	}
	if n := len(a.heard); n < 15 || n > 27 {
		t.Errorf("%d times heard of the one neighbor, want one for each of its beacons", n)
	}
}

func TestNewKeysAreHeardSoon(t *testing.T) {
	a, b := newStation(t, began, 1, 1), newStation(t, began, 1, 2)
	now := lan(t, began, time.Minute, a, b)
	b.heard, a.sent = nil, 0
	renewed := beacon(t, 1)
	a.HandleSelf(now, renewed) // the same
	renewed.Static = [32]byte{2, 2}
	a.HandleSelf(now, renewed)
	lan(t, now, time.Second, a, b)
	if a.sent != 1 || len(b.heard) != 1 || b.heard[0].Static != renewed.Static {
		t.Errorf("after a second %d beacons were sent, and %+v was heard", a.sent, b.heard)
	}
}

func TestOtherNetworksLearnNothing(t *testing.T) {
	a, b := newStation(t, began, 1, 1), newStation(t, began, 2, 2)
	lan(t, began, time.Minute, a, b)
	if len(a.heard)+len(b.heard) != 0 {
		t.Errorf("heard of another network: %v %v", a.heard, b.heard)
	}
	packet, err := key(t, 1).Seal(rand.Reader, linkLocal(1), beacon(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key(t, 2).Open(linkLocal(1), packet); !errors.Is(err, discovery.ErrForeign) {
		t.Errorf("another network's key: %v, want ErrForeign", err)
	}
}

func TestABeaconRepeatedFromElsewhereIsRefused(t *testing.T) {
	packet, err := key(t, 1).Seal(rand.Reader, linkLocal(1), beacon(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	b := newStation(t, began, 1, 2)
	if err := b.HandlePacket(began, linkLocal(66), packet); !errors.Is(err, discovery.ErrForeign) {
		t.Errorf("%v, want ErrForeign", err)
	}
	packet[len(packet)-1] ^= 1
	if err := b.HandlePacket(began, linkLocal(1), packet); !errors.Is(err, discovery.ErrForeign) {
		t.Errorf("a spoilt one: %v, want ErrForeign", err)
	}
	if b.Known() != 0 {
		t.Error("it was believed")
	}
}

func TestItsOwnBeaconIsNobody(t *testing.T) {
	packet, err := key(t, 1).Seal(rand.Reader, linkLocal(9), beacon(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	a := newStation(t, began, 1, 1)
	if err := a.HandlePacket(began, linkLocal(9), packet); err != nil || a.Known() != 0 {
		t.Errorf("%v, %d known", err, a.Known())
	}
}

func TestAFloodIsNotOpened(t *testing.T) {
	a, refused := newStation(t, began, 1, 1), 0
	for range 2 * discovery.PacketBurst {
		if errors.Is(a.HandlePacket(began, linkLocal(2), make([]byte, 200)), discovery.ErrRate) {
			refused++
		}
	}
	if refused != discovery.PacketBurst {
		t.Errorf("%d of %d packets at once refused for their rate", refused, 2*discovery.PacketBurst)
	}
	packet, err := key(t, 1).Seal(rand.Reader, linkLocal(2), beacon(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.HandlePacket(began.Add(time.Second), linkLocal(2), packet); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

func TestNewcomersBeyondTheLimitAreHeardButNotKept(t *testing.T) {
	a, now := newStation(t, began, 1, 1), began
	for n := range uint64(discovery.MaxKnown + 5) {
		packet, err := key(t, 1).Seal(rand.Reader, linkLocal(n+2), beacon(t, n+2))
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Millisecond)
		if err := a.HandlePacket(now, linkLocal(n+2), packet); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, now, a, nil)
	if a.Known() != discovery.MaxKnown || len(a.heard) != discovery.MaxKnown+5 {
		t.Errorf("%d kept, %d heard", a.Known(), len(a.heard))
	}
	for range 10 {
		now = now.Add(time.Minute)
		a.HandleTimeout(now)
	}
	if a.Known() != 0 {
		t.Errorf("%d kept after ten silent minutes", a.Known())
	}
}

func TestBeaconsThatSayNothingAreNotSent(t *testing.T) {
	for _, b := range []discovery.Beacon{{}, {ID: addr.NodeIDFromUint64(1), Port: 1}, {ID: addr.NodeIDFromUint64(1), Static: [32]byte{1}}} {
		if _, err := key(t, 1).Seal(rand.Reader, linkLocal(1), b); !errors.Is(err, discovery.ErrMalformed) {
			t.Errorf("%+v: %v, want ErrMalformed", b, err)
		}
	}
}
