package babel_test

import (
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// bench is one Router whose neighbors are played by the test: what they say and
// what it answers are packets.
type bench struct {
	t         *testing.T
	now       time.Time
	router    *babel.Router
	cfgs      map[babel.InterfaceID]babel.Interface
	costs     map[babel.InterfaceID]babel.LinkCost // wired, unless said
	neighbors map[babel.NeighborKey]*babel.Neighbor
	sent      []sent
	routes    map[rib.Key]rib.Route
	refused   map[babel.Reason]int
	upto      uint16
	hellos    uint16
}

// sent is one TLV of the Router; to is the zero Addr for the group.
type sent struct {
	on  babel.InterfaceID
	to  netip.Addr
	tlv babel.TLV
}

var (
	selfID = babel.RouterID{0xee, 7: 0xee}
	farID  = babel.RouterID{0xfa, 7: 1}
	far    = rib.Key{Prefix: netip.MustParsePrefix("2001:db8:fa::/48")}
)

// newBench has Hellos of 4 s, so Updates of 16 s.
func newBench(t *testing.T) *bench { return newBenchWith(t, nil) }

// newBenchWith is a bench that judges origins.
func newBenchWith(t *testing.T, origins func(babel.Announcement) babel.Standing) *bench {
	return newBenchConfig(t, babel.Config{Origins: origins})
}

// newBenchConfig is a bench whose router has more of a configuration than others.
func newBenchConfig(t *testing.T, c babel.Config) *bench {
	b := &bench{
		t: t, now: epoch, cfgs: map[babel.InterfaceID]babel.Interface{}, costs: map[babel.InterfaceID]babel.LinkCost{}, neighbors: map[babel.NeighborKey]*babel.Neighbor{},
		routes: map[rib.Key]rib.Route{}, refused: map[babel.Reason]int{},
	}
	c.Self, c.RouterID, c.Seqno, c.Locators, c.Rand, c.Epoch = nodeID(0), selfID, 1000, locators, rand.New(rand.NewSource(1)), epoch.Add(-time.Hour)
	r, err := babel.NewRouter(c)
	if err != nil {
		t.Fatal(err)
	}
	b.router = r
	b.settle()
	return b
}

// lan and fabric add an interface; neighbors on a lan are at 96 once they said
// enough, on the fabric from the start.
func (b *bench) lan(id babel.InterfaceID) {
	b.add(id, babel.Interface{Ifindex: int(id), Local: selfLL, Multicast: true})
}

func (b *bench) fabric(id babel.InterfaceID, topologies ...rib.Topology) {
	b.add(id, babel.Interface{Fabric: true, Link: rib.LinkID(id), Local: nodeID(0).LinkLocal(), Topologies: topologies})
}

func (b *bench) add(id babel.InterfaceID, cfg babel.Interface) {
	b.t.Helper()
	if err := b.router.AddInterface(b.now, id, cfg); err != nil {
		b.t.Fatal(err)
	}
	b.cfgs[id] = cfg
	b.settle()
}

// silent is neighbor i on an interface, of which nothing was heard.
func (b *bench) silent(id babel.InterfaceID, i int) babel.NeighborKey {
	b.t.Helper()
	key := babel.NeighborKey{Interface: id, Addr: nodeID(i).LinkLocal()}
	cfg := b.cfgs[id]
	n, err := babel.NewNeighbor(babel.NeighborConfig{Addr: key.Addr, Local: cfg.Local, Fabric: cfg.Fabric, Peer: nodeID(i), Locators: locators, Cost: b.costs[id], Epoch: epoch.Add(-time.Hour)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.neighbors[key] = n
	if err := b.router.AddNeighbor(b.now, key); err != nil {
		b.t.Fatal(err)
	}
	b.settle()
	return key
}

// neighbor is neighbor i on an interface, with a link that lives and costs 96,
// and the Router's greeting read and put aside.
func (b *bench) neighbor(id babel.InterfaceID, i int) babel.NeighborKey {
	b.t.Helper()
	key := b.silent(id, i)
	if b.cfgs[id].Fabric {
		b.neighbors[key].HandleLink(b.now, true, 0)
		b.settle()
	} else {
		b.hello(key)
		b.hello(key)
	}
	b.take()
	return key
}

// hello is a Hello and an IHU of a neighbor that hears us, good for hours.
func (b *bench) hello(key babel.NeighborKey) {
	b.hellos++
	b.say(key, babel.Hello{Seqno: b.hellos, Interval: 10 * time.Minute}, babel.IHU{Address: selfLL, Rxcost: 96, Interval: 10 * time.Minute})
}

// say sends what a neighbor says.
func (b *bench) say(key babel.NeighborKey, tlvs ...babel.TLV) {
	b.t.Helper()
	for _, p := range (babel.Encoder{From: key.Addr, Fabric: b.cfgs[key.Interface].Fabric, Max: 1232}).Encode(tlvs) {
		if err := b.neighbors[key].HandlePacket(b.now, key.Addr, p); err != nil {
			b.t.Fatal(err)
		}
	}
	b.settle()
}

// update is an Update of the far prefix by the far router.
func update(seqno, metric uint16) babel.Update {
	return babel.Update{Prefix: far.Prefix, RouterID: farID, Seqno: seqno, Metric: metric, Interval: 16 * time.Second, Egress: nodeID(77)}
}

func (b *bench) settle() {
	b.t.Helper()
	keys := make([]babel.NeighborKey, 0, len(b.neighbors))
	for k := range b.neighbors {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, babel.NeighborKey.Compare)
	for _, k := range keys {
		b.neighbors[k].Drain(func(e babel.NeighborEvent) {
			if _, ok := e.(babel.Expired); ok {
				delete(b.neighbors, k)
			}
			b.router.Handle(b.now, k, e)
		})
	}
	b.router.Drain(func(e babel.Event) {
		switch e := e.(type) {
		case babel.Send:
			tlvs, ignored, err := babel.Decode(e.Packet, b.cfgs[e.Interface].Local, b.cfgs[e.Interface].Fabric)
			if err != nil || ignored > 0 || len(e.Packet) > babel.DefaultPacket {
				b.t.Fatalf("sent %x: %d ignored, %v", e.Packet, ignored, err)
			}
			for _, tlv := range tlvs {
				b.sent = append(b.sent, sent{e.Interface, e.To, tlv})
			}
		case babel.RouteOffered:
			b.routes[e.Route.Key()] = e.Route
		case babel.RouteWithdrawn:
			if _, ok := b.routes[e.Key]; !ok {
				b.t.Errorf("%s withdrawn, but never offered", e.Key)
			}
			delete(b.routes, e.Key)
		case babel.ReserveSeqno:
			b.upto = e.Upto
		case babel.Refused:
			b.refused[e.Reason] += e.Count
		}
	})
}

// pass lets time pass.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); ; {
		next, ok := b.router.NextTimeout()
		for _, n := range b.neighbors {
			if t, tok := n.NextTimeout(); tok && (!ok || t.Before(next)) {
				next, ok = t, true
			}
		}
		if !ok || next.After(end) {
			b.now = end
			return
		}
		b.now = next
		for _, n := range b.neighbors {
			n.HandleTimeout(b.now)
		}
		b.router.HandleTimeout(b.now)
		b.settle()
	}
}

// take is what was sent since the last call.
func (b *bench) take() []sent {
	s := b.sent
	b.sent = nil
	return s
}

// of is the TLVs of type T among what was sent.
func of[T babel.TLV](all []sent) (ts []T) {
	for _, s := range all {
		if t, ok := s.tlv.(T); ok {
			ts = append(ts, t)
		}
	}
	return ts
}

// updatesOf is the Updates of a key on an interface.
func updatesOf(all []sent, on babel.InterfaceID, key rib.Key) (us []babel.Update) {
	for _, s := range all {
		if u, ok := s.tlv.(babel.Update); ok && s.on == on && u.Key() == key {
			us = append(us, u)
		}
	}
	return us
}

// seqnoRequests is the seqno requests, and to whom they went.
func seqnoRequests(all []sent) (to []netip.Addr, qs []babel.SeqnoRequest) {
	for _, s := range all {
		if q, ok := s.tlv.(babel.SeqnoRequest); ok {
			to, qs = append(to, s.to), append(qs, q)
		}
	}
	return to, qs
}

// want fails the test if the selected route to the far prefix is not by this
// neighbor at this metric.
func (b *bench) want(key babel.NeighborKey, metric uint16) {
	b.t.Helper()
	r, ok := b.routes[far]
	hop := rib.NextHop{Ifindex: int(key.Interface), Gateway: key.Addr}
	if b.cfgs[key.Interface].Fabric {
		hop = rib.NextHop{Link: rib.LinkID(key.Interface)}
	}
	if !ok || r.Unreachable || r.NextHop != hop || r.Metric != metric {
		b.t.Errorf("route %+v, %v; want by %v at %d", r, ok, key, metric)
	}
}

// wantNone fails the test if there is a way to the far prefix.
func (b *bench) wantNone() {
	b.t.Helper()
	if r, ok := b.routes[far]; ok && !r.Unreachable {
		b.t.Errorf("route %+v; want none", r)
	}
}
