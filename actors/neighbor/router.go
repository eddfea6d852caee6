package neighbor

import (
	"fmt"
	"maps"
	"math/rand"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// router is the parent of the neighbors; it alone holds the Babel router and the
// routing table.
type router struct {
	cfg       Config
	kept      *memory
	ctx       *system.Context[Message]
	babel     *babel.Router
	epoch     time.Time // of Babel's timestamps
	table     *rib.Table
	timer     *system.Timer
	show      *system.Timer // the next time that the table is shown
	rests     time.Time     // not before
	links     map[babel.InterfaceID]Link
	kernel    map[babel.InterfaceID]*trusted
	children  map[babel.NeighborKey]*child
	judging   judging
	again     *system.Timer                 // when all routes are judged anew
	view      *rib.View                     // as the packet path has it
	plain     uint16                        // metric of the plain default route; babel.Infinity: none
	gateways  []addr.NodeID                 // as they were told of
	held      bool                          // a restarted router does not publish yet
	bridged   *rib.View                     // its own, when it bridged last; nil: a link went, or a neighbor had its say since
	waiting   map[rib.Key]babel.InterfaceID // while held: what the neighbors behind these have said nothing of yet
	answering map[babel.InterfaceID]bool    // while held: those that began to
	desired   chan desired                  // to the kernel's pump; holds the newest
	recheck   *atomic.Bool                  // the kernel may not hold what the pump believes
	seqnos    chan uint16                   // to the store's pump; holds the newest
}

// child is what the router knows of a neighbor's actor.
type child struct {
	ref    system.Ref[neighborMessage]
	path   string
	inbox  chan packet
	status babel.NeighborStatus
}

// Start begins to route over the links that are up.
func (r *router) Start(ctx *system.Context[Message]) error {
	r.ctx, r.epoch = ctx, ctx.Now()
	r.links = map[babel.InterfaceID]Link{}
	r.kernel = map[babel.InterfaceID]*trusted{}
	r.plain = babel.Infinity
	r.children = map[babel.NeighborKey]*child{}
	r.table = rib.NewTable(r.cfg.Locators)
	r.timer, r.show = ctx.NewTimer(routerTick{}), ctx.NewTimer(showAgain{})
	r.again = ctx.NewTimer(judgeAgain{})
	var err error
	r.babel, err = babel.NewRouter(babel.Config{
		Self: r.cfg.Self, RouterID: r.cfg.RouterID, Seqno: r.cfg.Seqno(), Locators: r.cfg.Locators,
		Rand: rand.New(randSource{ctx.Rand()}), Epoch: r.epoch, Origins: r.judge, FalseMetric: r.cfg.FalseMetric,
	})
	if err != nil {
		return &system.Fault{Op: "router", Kind: system.BadConfig, Err: err}
	}
	r.babel.SetRoutesPerNeighbor(r.kept.routes)
	r.babel.Revoke(ctx.Now(), r.kept.revoked)
	ctx.OnChild(func(e system.Event) Message { return childEvent{e} })
	r.startPumps()
	if err := r.originate(); err != nil {
		return err
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.kept.offers), rib.Key.Compare) {
		if err := r.offer(ctx.Now(), r.kept.offers[key]); err != nil {
			ctx.Event("refused", err.Error())
		}
	}
	r.openTrusted()
	r.startGateway()
	self := ctx.Self()
	r.cfg.Links.observe(func() { self.Tell(linksChanged{}) })
	r.syncLinks()
	if ctx.Number() > 1 {
		r.hold()
	}
	r.settle()
	return nil
}

// originate announces this node: its locator, and its prefix in each range.
func (r *router) originate() error {
	own := append([]netip.Prefix{netip.PrefixFrom(addr.Locator(r.cfg.Locators, r.cfg.Self), 128)}, r.cfg.Own...)
	for i, p := range own {
		if err := r.babel.Originate(r.ctx.Now(), rib.Key{Prefix: p}, 0); err != nil {
			return &system.Fault{Op: "announce " + p.String(), Kind: system.BadConfig, Err: err}
		}
		if i == 0 {
			continue // the packet path needs no route to itself
		}
		route := rib.Route{Prefix: p, Egress: r.cfg.Self}
		if _, _, err := r.table.Offer(r.ctx.Now(), rib.OriginLocal, route); err != nil {
			return err
		}
	}
	return nil
}

// Handle takes one message and then does all that came of it.
func (r *router) Handle(ctx *system.Context[Message], m Message) error {
	now := ctx.Now()
	switch m := m.(type) {
	case linksChanged:
		r.syncLinks()
	case checked:
		defer m.slots.release()
		if r.children[m.key] != m.from {
			break // the last words of one that was ended
		}
		m.from.status = m.status
		for _, e := range m.events {
			r.confirm(m.key.Interface, e)
			r.fromNeighbor(now, m.key, e)
		}
	case routerTick:
		r.babel.HandleTimeout(now)
	case publishView:
		clear(r.waiting)
	case hasAnswered:
		r.settled(m.by)
	case showAgain: // settle does
	case childEvent:
		r.childChanged(now, m.event)
	case Offer:
		r.kept.offers[m.Route.Key()] = m
		if err := r.offer(now, m); err != nil {
			ctx.Event("refused", err.Error())
		}
	case Withdraw:
		delete(r.kept.offers, m.Key)
		r.table.Withdraw(m.Origin, m.Key)
		r.babel.Withdraw(now, m.Key)
	case KernelLost:
		r.restoreKernel()
	case IPv4Changed:
		r.kept.ipv4 = m.Range
		r.programKernel()
	case Revoked:
		r.kept.revoked = m.Nodes
		r.babel.Revoke(now, m.Nodes)
	case OriginsChanged, judgeAgain:
		r.rejudge(now)
	case HelloChanged:
		r.kept.hello = m.Interval
		r.babel.SetHelloInterval(now, m.Interval)
	case RoutesLimited:
		r.kept.routes = m.Routes
		r.babel.SetRoutesPerNeighbor(m.Routes)
	case SpeakersChanged:
		if r.cfg.Kernel != nil {
			r.speak(m.Speakers)
		}
	case Explain:
		m.Into(r.choicesTo(m.Topology, m.Egress))
		return nil
	case ExplainRoute:
		m.Into(r.explain(now, m.Prefix))
		return nil
	case heardOnKernel:
		r.heard(m)
	case refusedThere:
		r.tellRefused(m.gate)
	case outside:
		if err := r.outside(m); err != nil {
			return err
		}
	case interfaceLost:
		r.lost(m)
	case openAgain:
		r.open(m.name)
	case kernelFailed:
		ctx.Event("kernel", m.err.Error())
	case notStored:
		ctx.Event("state", "sequence number not stored: "+m.err.Error())
	}
	r.settle()
	return nil
}

// Stop leaves the packet path its last table. Unless another incarnation
// follows, the neighbors are told that nothing is reached by this way any more.
func (r *router) Stop(ctx *system.Context[Message]) {
	r.cfg.Links.observe(nil)
	defer r.closeTrusted()
	if r.babel == nil || ctx.Restarting() {
		return
	}
	r.babel.Retract(ctx.Now())
	r.babel.Drain(func(e babel.Event) {
		if e, ok := e.(babel.Send); ok {
			r.send(e)
		}
	})
}

func (r *router) offer(now time.Time, o Offer) error {
	if _, _, err := r.table.Offer(now, o.Origin, o.Route); err != nil {
		return err
	}
	return r.babel.Originate(now, o.Route.Key(), o.Route.Metric)
}

// fromNeighbor passes up what a neighbor's machine has checked.
func (r *router) fromNeighbor(now time.Time, key babel.NeighborKey, e babel.NeighborEvent) {
	r.babel.Handle(now, key, e)
	if _, ok := e.(babel.Expired); ok {
		r.endChild(key)
	}
}

// settle carries out what the machine wants, and publishes what changed.
func (r *router) settle() {
	now := r.ctx.Now()
	if r.held && len(r.waiting) == 0 {
		r.letGo()
	}
	if r.drain(now); r.offerPlain(now) {
		r.drain(now)
	}
	r.timer.Rearm(r.babel.NextTimeout())
	if now.Before(r.rests) {
		r.show.Rearm(r.rests, true)
		return
	}
	r.publish()
	r.reportGateways()
	// To show a large table takes time, which routing needs too: a fifth of it at most.
	if took := r.ctx.Now().Sub(now); took > cheap {
		r.rests = r.ctx.Now().Add(4 * took)
	}
}

// drain carries out what the machine wants.
func (r *router) drain(now time.Time) {
	r.babel.Drain(func(e babel.Event) {
		switch e := e.(type) {
		case babel.Send:
			r.send(e)
		case babel.RouteOffered:
			if _, _, err := r.table.Offer(now, rib.OriginBabel, e.Route); err != nil {
				r.ctx.Event("refused", err.Error())
			}
		case babel.RouteWithdrawn:
			r.table.Withdraw(rib.OriginBabel, e.Key)
		case babel.ReserveSeqno:
			system.Replace(r.seqnos, e.Upto)
		case babel.Refused:
			if e.Reason == babel.RefusedOrigin {
				r.judging.barred += uint64(e.Count)
				return // judge has said whose it is
			}
			r.ctx.Event("refused", fmt.Sprintf("from %s: %s, %d times", e.Neighbor.Addr, e.Reason, e.Count))
		}
	})
}

// send puts a packet on its interface. What cannot be sent is lost as on any
// link: Babel sends again.
func (r *router) send(e babel.Send) {
	if t := r.kernel[e.Interface]; t != nil {
		r.sendTrusted(t, e)
		return
	}
	link, ok := r.links[e.Interface]
	if !ok {
		return
	}
	if err := r.cfg.Send(link.ID, e.Packet); err != nil {
		r.ctx.Log().Debug("babel packet not sent", "link", link.ID, "error", err)
	}
}

// cheap is how long it may take to show the table for it to be shown at once each time.
const cheap = time.Millisecond

// publish hands a changed table to the packet path, the kernel and the tunnels.
func (r *router) publish() {
	view := r.table.View()
	if r.held && view != r.bridged {
		r.bridged, r.kept.learned = view, view
		r.cfg.SetView(r.bridge(view))
	}
	if !r.held && view != r.view {
		r.view, r.kept.view = view, view
		r.cfg.SetView(view)
		r.programKernel()
		r.report(view)
	}
	if !r.held {
		r.ctx.Publish(r.snapshot())
	}
}

// report tells which links carry routes, and which nodes are reached.
func (r *router) report(view *rib.View) {
	reachable := Reachable{ByLink: map[rib.LinkID]LinkUse{}}
	choices := r.choices()
	for _, route := range view.Routes() {
		if route.Unreachable || route.NextHop.Link == 0 {
			continue
		}
		use := reachable.ByLink[route.NextHop.Link]
		use.Routes++
		if id, ok := addr.NodeIDFromLocator(r.cfg.Locators, route.Prefix.Addr()); ok {
			reachable.Nodes, reachable.Metric = append(reachable.Nodes, id), append(reachable.Metric, route.Metric)
			use.Nodes++
			if choices[route.Key()] == 1 {
				use.Sole++
			}
		}
		reachable.ByLink[route.NextHop.Link] = use
	}
	r.cfg.Emit(reachable)
}

// choices counts the feasible routes to each prefix.
func (r *router) choices() map[rib.Key]int {
	count := map[rib.Key]int{}
	for _, route := range r.babel.Status().Routes {
		if route.Feasible && route.Standing != babel.Barred && route.Metric != babel.Infinity {
			count[route.Key]++
		}
	}
	return count
}

func (r *router) snapshot() Snapshot {
	s := Snapshot{View: r.view, Dropped: r.cfg.Links.Dropped(), Barred: r.judging.barred}
	for _, key := range slices.SortedFunc(maps.Keys(r.children), babel.NeighborKey.Compare) {
		n := Adjacency{Interface: key.Interface, Addr: key.Addr, Status: r.children[key].status}
		if t := r.kernel[key.Interface]; t != nil {
			n.Ifindex = t.ifindex
			n.Key = t.gate.provenBy(r.ctx.Now(), key.Addr)
		} else {
			n.Link, n.Peer = r.links[key.Interface].ID, r.links[key.Interface].Peer
		}
		s.Neighbors = append(s.Neighbors, n)
	}
	s.Speakers = r.speakers()
	return s
}

// randSource is the actor's generator for what still takes math/rand's.
type randSource struct{ from interface{ Uint64() uint64 } }

func (s randSource) Uint64() uint64 { return s.from.Uint64() }
func (s randSource) Int63() int64   { return int64(s.from.Uint64() >> 1) }
func (s randSource) Seed(int64)     {}
