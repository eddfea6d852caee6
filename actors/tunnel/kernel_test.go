package tunnel

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"re6st/actors/system"
	kernel "re6st/hw/ktunnel"
	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
)

// fakeKernel is one host's, in which tunnels carry nothing.
type fakeKernel struct {
	lacks    []ktunnel.Kind
	portless bool          // no port is left
	stuck    int           // removals that fail
	foreign  string        // somebody else has a link of that name
	slow     time.Duration // that Add takes
	lost     int           // packets into tunnels that are gone
	open     bool          // it has no filters

	mu    sync.Mutex
	index int
	there map[string]kernel.Spec
	at    map[string]int
	ports map[uint16]bool
	led   map[string]netip.Addr // tunnels with packets of the two nodes, and the next hop
	fails error                 // of Lead
	count uint64                // packets that went by each
	mute  bool                  // tunnels carry nothing
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{there: map[string]kernel.Spec{}, at: map[string]int{}, ports: map[uint16]bool{}, led: map[string]netip.Addr{}}
}

func (f *fakeKernel) config() *Kernel {
	return &Kernel{
		Open: func() (KernelTunnels, error) { return f, nil }, Owner: "re206", Port: 4000, Made: new(atomic.Uint32), Public: [32]byte{1}, Private: [32]byte{2},
		TakePort: func() (uint16, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.portless {
				return 0, kernel.ErrPorts
			}
			port := uint16(5000 + len(f.ports))
			f.ports[port] = true
			return port, nil
		},
		GivePort: func(port uint16) { f.mu.Lock(); defer f.mu.Unlock(); delete(f.ports, port) },
		MTU:      func(int) (int, error) { return 1500, nil },
		Trust: func(peer addr.Bits) (t kernel.Trust, err error) {
			t.Peer, err = addr.Subnet(network, peer)
			return t, err
		},
	}
}

func (f *fakeKernel) Add(s kernel.Spec) error {
	f.mu.Lock()
	slow := f.slow
	f.mu.Unlock()
	time.Sleep(slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.lacks, s.Kind) {
		return fmt.Errorf("%w: %v", kernel.ErrUnsupported, s.Kind)
	}
	if f.open && (s.Trust != (kernel.Trust{}) && s.Kind != kernel.WireGuard || s.Port != 0 && !s.Unfiltered) {
		return fmt.Errorf("%w: no module", kernel.ErrUnfiltered)
	}
	f.index++
	f.there[s.Name], f.at[s.Name] = s, f.index
	return nil
}

// added is how many tunnels were made.
func (f *fakeKernel) added() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index
}

func (f *fakeKernel) Index(name string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at[name], nil
}

func (f *fakeKernel) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck > 0 {
		f.stuck--
		return errors.New("busy")
	}
	if f.foreign == name {
		return fmt.Errorf("%w: %s", kernel.ErrForeign, name)
	}
	delete(f.there, name)
	delete(f.at, name)
	delete(f.led, name)
	return nil
}

func (f *fakeKernel) Sweep(keep ...string) (swept []string, err error) {
	for _, name := range f.names() {
		if !slices.Contains(keep, name) {
			swept = append(swept, name)
			err = f.Remove(name)
		}
	}
	return swept, err
}

func (f *fakeKernel) Close() {}

func (f *fakeKernel) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.there))
}

// only is the one tunnel that is there.
func (f *fakeKernel) only(t *testing.T) kernel.Spec {
	t.Helper()
	names := f.names()
	if len(names) != 1 {
		t.Fatalf("tunnels %v, want one", names)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.there[names[0]]
}

// tunnelled is a pair whose ends want these kinds.
func tunnelled(t *testing.T, kinds []ktunnel.Kind, prepare func(a, b *testNode), test func(w *world, a, b *testNode)) {
	inWorld(t, 2, func(w *world) {
		a, b := w.nodes[0], w.nodes[1]
		for _, n := range w.nodes {
			n.kernel, n.wanted = newFakeKernel(), Wanted{Kinds: kinds}
		}
		prepare(a, b)
		b.start(limits(10, 10))
		a.start(limits(10, 10), b)
		time.Sleep(5 * time.Second)
		test(w, a, b)
	})
}

func asTheyAre(*testNode, *testNode) {}

func TestBothEndsOfALinkMakeOneTunnel(t *testing.T) {
	for _, kind := range []ktunnel.Kind{ktunnel.GRE, ktunnel.FOU, ktunnel.WireGuard} {
		t.Run(kind.String(), func(t *testing.T) {
			tunnelled(t, []ktunnel.Kind{kind}, asTheyAre, func(w *world, a, b *testNode) {
				x, y := a.kernel.only(t), b.kernel.only(t)
				if x.Kind != kind || y.Kind != kind || x.Local != y.Remote || x.Remote != y.Local || x.MTU != y.MTU || x.Key != y.Key ||
					x.Local.Addr() != a.at.Addr() || y.Local.Addr() != b.at.Addr() || x.LinkLocal != a.id().LinkLocal() {
					t.Errorf("%+v and %+v", x, y)
				}
				if kind := a.link().Tunnel; kind != "" {
					t.Errorf("the link goes by %s, where the tunnel carries nothing", kind)
				}
				b.end()
				time.Sleep(time.Minute)
				if left := append(a.kernel.names(), b.kernel.names()...); len(left) != 0 || len(a.kernel.ports) != 0 {
					t.Errorf("after the link's end there are %v, and ports %v", left, a.kernel.ports)
				}
			})
		})
	}
}

func TestAKindThatAKernelLacksGivesWayToTheNext(t *testing.T) {
	lacking := func(_, b *testNode) { b.kernel.lacks = []ktunnel.Kind{ktunnel.FOU} }
	tunnelled(t, []ktunnel.Kind{ktunnel.FOU, ktunnel.GRE}, lacking, func(w *world, a, b *testNode) {
		if x, y := a.kernel.only(t), b.kernel.only(t); x.Kind != ktunnel.GRE || y.Kind != ktunnel.GRE {
			t.Errorf("%v and %v", x.Kind, y.Kind)
		}
	})
}

func TestTunnelsFollowWhatIsWanted(t *testing.T) {
	tunnelled(t, []ktunnel.Kind{ktunnel.FOU}, asTheyAre, func(w *world, a, b *testNode) {
		a.kernel.only(t)
		for _, n := range w.nodes {
			n.ref.Tell(TunnelsWanted{Wanted{Kinds: []ktunnel.Kind{ktunnel.WireGuard}}})
		}
		time.Sleep(5 * time.Second)
		if x, y := a.kernel.only(t), b.kernel.only(t); x.Kind != ktunnel.WireGuard || y.Kind != ktunnel.WireGuard || x.Peer != b.kernel.config().Public {
			t.Errorf("%v and %v", &x, &y)
		}
		a.ref.Tell(TunnelsWanted{})
		time.Sleep(5 * time.Second)
		if left := append(a.kernel.names(), b.kernel.names()...); len(left) != 0 {
			t.Errorf("one end wants none any more, and there are %v", left)
		}
	})
}

func TestATunnelThatSomebodyRemovedIsMadeAgain(t *testing.T) {
	tunnelled(t, []ktunnel.Kind{ktunnel.GRE}, asTheyAre, func(w *world, a, b *testNode) {
		before := a.kernel.only(t)
		_ = a.kernel.Remove(before.Name)
		time.Sleep(2 * kernelCheck)
		if after := a.kernel.only(t); after.Name == before.Name || after.Remote != before.Remote {
			t.Errorf("%v, and then %v", &before, &after)
		}
	})
}

func TestATunnelThatIsNotRemovedAtOnceIsLater(t *testing.T) {
	tunnelled(t, []ktunnel.Kind{ktunnel.FOU}, asTheyAre, func(w *world, a, b *testNode) {
		for _, kinds := range [][]ktunnel.Kind{{ktunnel.GRE}, {ktunnel.WireGuard}, nil} {
			a.kernel.mu.Lock()
			a.kernel.stuck = 2 // by the message, and at the end of that incarnation
			a.kernel.mu.Unlock()
			for _, n := range w.nodes {
				n.ref.Tell(TunnelsWanted{Wanted{Kinds: kinds}})
			}
			time.Sleep(time.Minute)
			if len(kinds) == 0 {
				if left := append(a.kernel.names(), b.kernel.names()...); len(left) != 0 {
					t.Errorf("none is wanted, and there are %v", left)
				}
				continue
			}
			if x, y := a.kernel.names(), b.kernel.names(); len(x) != 1 || len(y) != 1 || a.kernel.only(t).Kind != kinds[0] {
				t.Errorf("%v is wanted, and there are %v and %v", kinds, x, y)
			}
		}
	})
}

// The word that a tunnel is there may come when the link has told to remove it already.
func TestATunnelThatCameTooLateIsNotTried(t *testing.T) {
	prepare := func(a, b *testNode) { a.through, b.through = b, a }
	tunnelled(t, []ktunnel.Kind{ktunnel.GRE}, prepare, func(w *world, a, b *testNode) {
		a.kernel.set(func(f *fakeKernel) { f.slow = 2 * time.Second })
		for _, n := range w.nodes {
			n.ref.Tell(TunnelsWanted{Wanted{Kinds: []ktunnel.Kind{ktunnel.FOU}}})
		}
		time.Sleep(time.Second)
		a.ref.Tell(TunnelsWanted{})
		time.Sleep(5 * time.Second)
		a.kernel.set(func(f *fakeKernel) { f.lost = 0 })
		time.Sleep(10 * time.Minute)
		a.kernel.set(func(f *fakeKernel) {
			if f.lost > 0 || len(f.there) > 0 {
				t.Errorf("%d packets into %d tunnels", f.lost, len(f.there))
			}
		})
	})
}

func TestATunnelWhoseNameIsAnothersNowIsLeft(t *testing.T) {
	tunnelled(t, []ktunnel.Kind{ktunnel.FOU}, asTheyAre, func(w *world, a, b *testNode) {
		a.kernel.mu.Lock()
		for name := range a.kernel.there {
			a.kernel.foreign = name
		}
		a.kernel.mu.Unlock()
		for _, n := range w.nodes {
			n.ref.Tell(TunnelsWanted{Wanted{Kinds: []ktunnel.Kind{ktunnel.GRE}}})
		}
		time.Sleep(time.Minute)
		if x, y := a.kernel.names(), b.kernel.only(t); len(x) != 2 || y.Kind != ktunnel.GRE {
			t.Errorf("%v and %v", x, &y)
		}
	})
}

func TestATunnelsFaultsLeaveOneInTheKernel(t *testing.T) {
	tunnelled(t, []ktunnel.Kind{ktunnel.GRE}, asTheyAre, func(w *world, a, b *testNode) {
		for _, path := range []string{tunnelPath(a.link()) + "/kernel", tunnelPath(a.link())} {
			w.check(a.sys.Inject(path, system.InjectPanic))
			time.Sleep(20 * time.Second)
			if x, y := a.kernel.only(t), b.kernel.only(t); x.Key != y.Key {
				t.Errorf("after a fault of %s the keys differ: %v and %v", path, x.Key, y.Key)
			}
		}
	})
}

func TestWhatAnEarlierRunLeftIsSwept(t *testing.T) {
	left := func(a, _ *testNode) { _ = a.kernel.Add(kernel.Spec{Name: "re206-77", Kind: ktunnel.GRE}) }
	tunnelled(t, nil, left, func(w *world, a, b *testNode) {
		if names := a.kernel.names(); len(names) != 0 {
			t.Errorf("there are %v", names)
		}
		for _, e := range a.sys.Events() {
			if strings.Contains(e.Text, "re206-77") {
				return
			}
		}
		t.Error("no event tells of it")
	})
}
