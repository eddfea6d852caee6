package neighbor

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/hw/hwtest"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var locators = netip.MustParsePrefix("fd00:1::/64")

// bomb is a packet that the machine of the neighbor which gets it does not survive.
const bomb = "bomb"

// fragile is a machine that a bomb kills.
type fragile struct{ machine }

func (f fragile) HandleReceived(now, received time.Time, from netip.Addr, packet []byte) error {
	if string(packet) == bomb {
		panic(bomb)
	}
	return f.machine.HandleReceived(now, received, from, packet)
}

// world is some routers in virtual time, and the links between them.
type world struct {
	t       *testing.T
	routers []*testRouter
	guard   sync.RWMutex
	ends    map[[2]rib.LinkID]int // (link, router): the router at the other end
	delay   atomic.Int64          // of packets, beside a millisecond
}

// testRouter is one router with what it is driven by.
type testRouter struct {
	*world
	index  int
	id     addr.NodeID
	prefix netip.Prefix
	sys    *system.System
	ref    system.Ref[Message]
	links  *Links
	routes *hwtest.Routes
	judge  atomic.Pointer[func(babel.Announcement) (babel.Standing, Objection)] // nil: all may

	mu     sync.Mutex
	views  []*rib.View
	seqno  uint16
	full   error // what Persist fails with
	reach  Reachable
	ways   []addr.NodeID // out of the mesh
	stored int
}

// inWorld runs a test with n routers that have fragile neighbors.
func inWorld(t *testing.T, n int, trusted []string, test func(*world)) {
	made := newMachine
	newMachine = func(cfg babel.NeighborConfig) (machine, error) {
		m, err := made(cfg)
		return fragile{m}, err
	}
	defer func() { newMachine = made }()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, ends: map[[2]rib.LinkID]int{}}
		for i := range n {
			w.routers = append(w.routers, w.spawn(i, trusted))
		}
		test(w)
		for _, r := range w.routers {
			r.sys.Quit()
			<-r.sys.Done()
		}
		time.Sleep(2 * time.Second) // protoactor counts dead letters for a moment
	})
}

func (w *world) spawn(i int, trustedNames []string) *testRouter {
	w.t.Helper()
	var speakers []Speaker
	for _, name := range trustedNames {
		speakers = append(speakers, Speaker{Name: name})
	}
	r := &testRouter{
		world: w, index: i, id: addr.NodeIDFromUint64(uint64(i + 1)), sys: system.New(system.Config{Seed: 1}), links: NewLinks(),
		routes: new(hwtest.Routes), prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i + 1)}), 48),
	}
	r.routes.Reconcile(nil)
	var err error
	r.ref, err = Spawn(r.sys, Config{
		Self: r.id, RouterID: babel.RouterID{1, byte(i)}, Locators: locators, Own: []netip.Prefix{r.prefix}, Links: r.links,
		Seqno: func() uint16 { return 1 }, Send: r.send, SetView: r.setView, Persist: r.persist,
		Emit:        func(e Event) { r.mu.Lock(); defer r.mu.Unlock(); r.reach = e.(Reachable) },
		SetGateways: func(ids []addr.NodeID) { r.mu.Lock(); defer r.mu.Unlock(); r.ways = ids },
		Kernel:      &Kernel{Routes: r.routes, TUN: 7, Speakers: speakers},
		Judge: func(_ addr.NodeID, a babel.Announcement) (babel.Standing, Objection) {
			if judge := r.judge.Load(); judge != nil {
				return (*judge)(a)
			}
			return babel.Claimed, Objection{}
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (r *testRouter) setView(v *rib.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.views = append(r.views, v)
}

func (r *testRouter) gateways() []addr.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ways
}

func (r *testRouter) persist(seqno uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full == nil {
		r.seqno, r.stored = seqno, r.stored+1
	}
	return r.full
}

// send brings a packet to the other end of a link.
func (r *testRouter) send(id rib.LinkID, packet []byte) error {
	r.guard.RLock()
	defer r.guard.RUnlock()
	j, ok := r.ends[[2]rib.LinkID{id, rib.LinkID(r.index)}]
	if !ok {
		return errors.New("no such link")
	}
	packet = slices.Clone(packet)
	time.AfterFunc(time.Millisecond+time.Duration(r.delay.Load()), func() { r.routers[j].links.Deliver(id, time.Now(), packet) })
	return nil
}

// link joins two routers.
func (w *world) link(id rib.LinkID, i, j int) {
	w.guard.Lock()
	w.ends[[2]rib.LinkID{id, rib.LinkID(i)}], w.ends[[2]rib.LinkID{id, rib.LinkID(j)}] = j, i
	w.guard.Unlock()
	w.routers[i].links.Set(Link{ID: id, Peer: w.routers[j].id, RTT: time.Millisecond})
	w.routers[j].links.Set(Link{ID: id, Peer: w.routers[i].id, RTT: time.Millisecond})
}

// unlink ends the link of two routers.
func (w *world) unlink(id rib.LinkID, i, j int) {
	w.guard.Lock()
	delete(w.ends, [2]rib.LinkID{id, rib.LinkID(i)})
	delete(w.ends, [2]rib.LinkID{id, rib.LinkID(j)})
	w.guard.Unlock()
	w.routers[i].links.Remove(id)
	w.routers[j].links.Remove(id)
}

// drop has a bomb come from the other end of a link.
func (r *testRouter) drop(id rib.LinkID) {
	r.links.Deliver(id, time.Now(), []byte(bomb))
	synctest.Wait()
}

func (r *testRouter) view() *rib.View {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.views[len(r.views)-1]
}

// route is this router's to what another one announces.
func (r *testRouter) route(to *testRouter) (rib.Route, bool) {
	route, ok := r.view().Get(rib.Key{Prefix: to.prefix})
	return route, ok && !route.Unreachable
}

func (r *testRouter) mustReach(to *testRouter) rib.Route {
	r.t.Helper()
	route, ok := r.route(to)
	if !ok {
		r.t.Fatalf("router %d has no route to router %d", r.index, to.index)
	}
	return route
}

// alwaysReached tells whether every view since the first one with a route to a
// router had one.
func (r *testRouter) alwaysReached(to *testRouter) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := false
	for _, v := range r.views {
		route, ok := v.Get(rib.Key{Prefix: to.prefix})
		if ok = ok && !route.Unreachable; had && !ok {
			return false
		}
		had = had || ok
	}
	return had
}

// record is that of the neighbor's actor at a router.
func (r *testRouter) record(of *testRouter) system.Record {
	synctest.Wait()
	for _, a := range r.sys.Actors() {
		if a.Kind == "neighbor" && slices.Contains([]string{"router/" + of.id.String() + ".1", "router/" + of.id.String() + ".2"}, a.Path) {
			return a
		}
	}
	return system.Record{}
}

// events counts those of a kind.
func (r *testRouter) events(kind system.EventKind) (n int) {
	for _, e := range r.sys.Events() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// star is router 0 with links 1 and 2 to routers 1 and 2, once it has routes.
func star(t *testing.T, test func(w *world, hub, a, b *testRouter)) {
	inWorld(t, 3, nil, func(w *world) {
		w.link(1, 0, 1)
		w.link(2, 0, 2)
		time.Sleep(3 * time.Second)
		hub, a, b := w.routers[0], w.routers[1], w.routers[2]
		hub.mustReach(a)
		hub.mustReach(b)
		a.mustReach(b)
		test(w, hub, a, b)
	})
}
