package tunnel

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	kernel "re6st/hw/ktunnel"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
)

// said is what a peer says that offers GRE at an address, or no more where that is not valid.
func said(t *testing.T, at netip.Addr) (body []byte) {
	m := ktunnel.New(ktunnel.Config{Self: addr.NodeIDFromUint64(1), Peer: addr.NodeIDFromUint64(2)})
	o := ktunnel.Offer{Address: at, MTU: 1500}
	if at.IsValid() {
		o.Kinds = []ktunnel.Kind{ktunnel.GRE}
	}
	m.HandleOwn(o)
	m.Drain(func(e ktunnel.Event) { body = e.(ktunnel.Say).Body })
	return body
}

func TestAPeerIsHeededWhereItIsSeen(t *testing.T) {
	seen, other := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.9")
	var o offers
	now := time.Now()
	if body, again := o.due(now, seen); body != nil || again != 0 {
		t.Errorf("nothing was said: % x, %v", body, again)
	}
	o.newest = said(t, other)
	if body, again := o.due(now, seen); body != nil || again != heedEvery {
		t.Errorf("a tunnel to another: % x, %v", body, again)
	}
	if body, again := o.due(now.Add(heedEvery), other); body == nil || again != 0 {
		t.Errorf("it is seen there now, and is not heeded: %v", again)
	}
	for _, body := range [][]byte{said(t, seen), said(t, netip.Addr{}), {9, 9}} { // the last is for the machine to refuse
		o = offers{newest: body}
		if got, _ := o.due(now, seen); got == nil || o.newest != nil {
			t.Errorf("% x is not heeded", body)
		}
	}
}

func TestOfAPeersOffersOneASecondIsHeeded(t *testing.T) {
	tunnelled(t, []ktunnel.Kind{ktunnel.GRE, ktunnel.FOU}, asTheyAre, func(w *world, a, b *testNode) {
		made, wanted := a.kernel.added(), ktunnel.FOU
		const changes = 200
		for range changes {
			b.ref.Tell(TunnelsWanted{Wanted{Kinds: []ktunnel.Kind{wanted}}})
			wanted = ktunnel.GRE + ktunnel.FOU - wanted
			time.Sleep(5 * time.Second / changes)
		}
		time.Sleep(3 * heedEvery)
		if got := a.kernel.added() - made; got == 0 || got > 5+3 {
			t.Errorf("%d tunnels were made", got)
		}
		if x, y := a.kernel.only(t), b.kernel.only(t); x.Kind != ktunnel.GRE+ktunnel.FOU-wanted || y.Kind != x.Kind {
			t.Errorf("%v and %v after all", &x, &y)
		}
	})
}

func TestWithoutAPortWhatNeedsNoneIsOffered(t *testing.T) {
	portless := func(a, _ *testNode) { a.kernel.portless = true }
	tunnelled(t, []ktunnel.Kind{ktunnel.FOU, ktunnel.GRE}, portless, func(w *world, a, b *testNode) {
		if x, y := a.kernel.only(t), b.kernel.only(t); x.Kind != ktunnel.GRE || y.Kind != ktunnel.GRE {
			t.Errorf("%v and %v", &x, &y)
		}
		for range 3 {
			b.ref.Tell(TunnelsWanted{})
			a.ref.Tell(TunnelsWanted{})
			time.Sleep(5 * time.Second)
			a.ref.Tell(TunnelsWanted{Wanted{Kinds: []ktunnel.Kind{ktunnel.FOU}}})
			time.Sleep(5 * time.Second)
		}
		told := 0
		for _, e := range a.sys.Events() {
			if strings.Contains(e.Text, kernel.ErrPorts.Error()) {
				told++
			}
		}
		if told != 1 {
			t.Errorf("it is told %d times", told)
		}
	})
}
