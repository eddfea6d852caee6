package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/netlink"
)

// Bounds of what chaos does at a time, and its patience.
const (
	maxNodesOut = 2 // killed, unplugged or mute at a time
	maxEdgesCut = 4
	// faultsPerMinute is how many faults one actor is given: below its budget, which is
	// for strikeExhaust to spend.
	faultsPerMinute = 3
	budget          = 6 // faults within a minute that spend it
	// initWait is how long an init waits before it starts a node again that ended: the
	// units' RestartSec.
	initWait = time.Second
	// quarantineWait is a quarantine with its end: who has less time left must not begin one.
	quarantineWait = 75 * time.Second
	askPatience    = 2 * time.Second
	upPatience     = 20 * time.Second // for a node that was started to answer
	longStall      = 6 * time.Second  // a stall that must be noticed
	stallGrace     = 2 * time.Second  // for it to be noticed
	interfaceName  = "re6st0"
)

// chaos hurts a lab by a plan, and keeps the books.
type chaos struct {
	lab    *Lab
	began  time.Duration // in the prober's time
	until  time.Duration
	trains []*train
	doing  sync.WaitGroup // strikes

	mu        sync.Mutex // guards what follows
	ground    *underfoot
	report    *ChaosReport
	busy      map[string]bool            // nodes that are killed, unplugged or mute
	registry  bool                       // it is killed
	faults    map[string][]time.Duration // of actors, by node and path: when
	endings   map[string]bool            // nodes whose own end was caused on purpose
	strikes   []struck
	findings  []moment // of inquests
	unplanned []string // what must not have happened
	over      bool     // nothing is started again any more
}

// struck is a strike that hit.
type struck struct {
	at, until time.Duration
	text      string
}

func newChaos(l *Lab, report *ChaosReport) *chaos {
	now := l.prober.now()
	return &chaos{
		lab: l, began: now, until: now + time.Duration(report.DurationS*float64(time.Second)), report: report,
		ground: newUnderfoot(l.names, l.edges, now),
		busy:   map[string]bool{}, faults: map[string][]time.Duration{}, endings: map[string]bool{},
	}
}

// run strikes by the plan until it ends; then all is healed, and it returns when
// everything that was started has come to its end.
func (c *chaos) run(ctx context.Context, plan []strike) {
	strikes, stop := context.WithCancel(ctx)
	defer c.doing.Wait()
	defer stop() // each strike undoes what it did
	c.lab.onDeath(c.died)
	for _, s := range plan {
		if sleep(ctx, c.began+s.at-c.lab.prober.now()) != nil {
			return
		}
		c.doing.Go(func() { c.strike(strikes, s) })
	}
	_ = sleep(ctx, c.until-c.lab.prober.now()) // its end is the end of all
}

// strike does one, and undoes it when its time is over or ctx ends.
func (c *chaos) strike(ctx context.Context, s strike) {
	var what string
	var err error
	switch s.kind {
	case strikePanic, strikeError, strikePumpPanic, strikePumpError, strikeStall:
		what, err = c.failActor(ctx, s)
	case strikeExhaust:
		what, err = c.exhaust(ctx, s)
	case strikeCall, strikeMute:
		what, err = c.failCall(ctx, s)
	case strikeCut, strikeReject:
		what, err = c.cutEdge(ctx, s)
	case strikeKill:
		what, err = c.kill(ctx, s)
	case strikeUnplug:
		what, err = c.unplug(ctx, s)
	case strikeTUN:
		what, err = c.downTUN(ctx, s)
	case strikeRegistry:
		what, err = c.killRegistry(ctx, s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && what != "":
		c.report.Faults[string(s.kind)]++
		c.report.Strikes++
	case err == nil:
		c.report.Skipped++
	default:
		c.report.Missed++
		c.lab.say("chaos: %s: %v", s.kind, err)
	}
}

// hit notes a strike for the report on outages.
func (c *chaos) hit(span time.Duration, format string, args ...any) string {
	now, text := c.lab.prober.now(), fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strikes = append(c.strikes, struck{now, now + span, text})
	return text
}

// change changes the ground.
func (c *chaos) change(do func(u *underfoot, now time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do(c.ground, c.lab.prober.now())
}

// take reserves a node, from s.node on the first that nothing is done to; "" where
// there is none, or where enough are out already.
func (c *chaos) take(s strike) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.busy) >= maxNodesOut {
		return ""
	}
	for i := range c.lab.names {
		name := c.lab.names[(s.node+i)%len(c.lab.names)]
		if !c.busy[name] {
			c.busy[name] = true
			return name
		}
	}
	return ""
}

func (c *chaos) release(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, name)
}

// running is the first node from s.node on that nothing is done to.
func (c *chaos) running(s strike) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.lab.names {
		if name := c.lab.names[(s.node+i)%len(c.lab.names)]; !c.busy[name] {
			return name
		}
	}
	return ""
}

// kill ends a node by SIGKILL, and starts it again.
func (c *chaos) kill(ctx context.Context, s strike) (string, error) {
	name := c.take(s)
	if name == "" {
		return "", nil
	}
	defer c.release(name)
	what := c.hit(s.span, "%s %s for %v", s.kind, name, s.span.Round(time.Millisecond))
	c.change(func(u *underfoot, now time.Duration) { u.lose(name, now) })
	defer c.change(func(u *underfoot, now time.Duration) { u.regain(name, now) })
	if err := ignore(ErrState, c.lab.halt(c.lab.members[name], 0)); err != nil {
		return "", err
	}
	_ = sleep(ctx, s.span)
	return what, c.start(name)
}

// start starts a node that does not run, and waits until it answers.
func (c *chaos) start(name string) error {
	ctx, cancel := context.WithTimeout(c.lab.ctx, upPatience)
	defer cancel()
	m := c.lab.members[name]
	if err := ignore(ErrState, c.lab.launch(m)); err != nil {
		return err
	}
	return c.lab.locate(ctx, m)
}

// died starts a node again that ended by itself, as an init does. That it ended is a
// failure, unless a strike was to have it end.
func (c *chaos) died(name string, err error) {
	c.mu.Lock()
	over, wanted := c.over, c.endings[name]
	delete(c.endings, name)
	if wanted {
		c.report.Escalations++
	} else if !over {
		c.unplanned = append(c.unplanned, err.Error())
	}
	if !over {
		c.ground.lose(name, c.lab.prober.now())
	}
	c.mu.Unlock()
	if over {
		return
	}
	c.lab.background.Go(func() {
		defer c.change(func(u *underfoot, now time.Duration) { u.regain(name, now) })
		if sleep(c.lab.ctx, initWait) != nil {
			return
		}
		if err := c.start(name); err != nil {
			c.fail("%s was started again: %v", name, err)
		}
	})
}

// fail notes what must not have happened.
func (c *chaos) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unplanned = append(c.unplanned, fmt.Sprintf(format, args...))
}

// killRegistry ends the registry by SIGKILL, and starts it again.
func (c *chaos) killRegistry(ctx context.Context, s strike) (string, error) {
	c.mu.Lock()
	taken := c.registry
	c.registry = true
	c.mu.Unlock()
	if taken {
		return "", nil
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.registry = false
	}()
	m := c.lab.members[registryName]
	if err := c.lab.halt(m, 0); err != nil {
		return "", err
	}
	what := c.hit(s.span, "%s for %v", s.kind, s.span.Round(time.Millisecond))
	_ = sleep(ctx, s.span)
	return what, c.lab.launch(m)
}

// cutEdge has nothing pass between two nodes.
func (c *chaos) cutEdge(ctx context.Context, s strike) (string, error) {
	e := choose(c.lab.edges, &s.pick)
	how := Silent
	if s.kind == strikeReject {
		how = Reject
	}
	c.mu.Lock()
	full := c.ground.edgesCut() >= maxEdgesCut || c.ground.cut[e] > 0
	if !full {
		c.ground.close(e, c.lab.prober.now())
	}
	c.mu.Unlock()
	if full {
		return "", nil
	}
	defer c.change(func(u *underfoot, now time.Duration) { u.open(e, now) })
	what := c.hit(s.span, "%s %s for %v", s.kind, e, s.span.Round(time.Millisecond))
	if err := c.lab.Do(c.lab.ctx, Action{Verb: verbCut, A: e.A, B: e.B, How: how}); err != nil {
		return "", err
	}
	_ = sleep(ctx, s.span)
	return what, c.lab.Do(c.lab.ctx, Action{Verb: verbHeal, A: e.A, B: e.B})
}

// unplug sets a node's underlay interface down, and gives it back all that it had.
func (c *chaos) unplug(ctx context.Context, s strike) (string, error) {
	name := c.take(s)
	if name == "" {
		return "", nil
	}
	defer c.release(name)
	what := c.hit(s.span, "%s %s for %v", s.kind, name, s.span.Round(time.Millisecond))
	c.change(func(u *underfoot, now time.Duration) { u.lose(name, now) })
	defer c.change(func(u *underfoot, now time.Duration) { u.regain(name, now) })
	ns, p := c.lab.under.members[name], c.lab.under.places[name]
	if err := withNetlink(ns, func(conn *netlink.Conn) error { return conn.SetUp(uplink, false) }); err != nil {
		return "", err
	}
	_ = sleep(ctx, s.span)
	err := withNetlink(ns, func(conn *netlink.Conn) error { return conn.SetUp(uplink, true) })
	return what, errors.Join(err, settle(ns, p))
}

// downTUN sets a node's TUN down, as somebody might: the node has it up again.
func (c *chaos) downTUN(ctx context.Context, s strike) (string, error) {
	name := c.running(s)
	if name == "" {
		return "", nil
	}
	d, err := c.debug(ctx, name)
	if err != nil {
		return "", err
	}
	keeps := func(a monitor.DebugActor) bool { return a.Kind == "keeper" && a.State == "running" }
	if !slices.ContainsFunc(d.Actors, keeps) {
		return "", nil
	}
	what := c.hit(0, "%s %s", s.kind, name)
	err = withNetlink(c.lab.under.members[name], func(conn *netlink.Conn) error { return conn.SetUp(interfaceName, false) })
	if errors.Is(err, netlink.ErrNoLink) { // the node has ended meanwhile
		return "", nil
	}
	return what, err
}

// debug asks a node what it is made of. Its monitor may be between two lives.
func (c *chaos) debug(ctx context.Context, name string) (d monitor.Debug, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	for {
		if d, err = c.lab.program.debug(ctx, c.lab.members[name].dir); err == nil || sleep(ctx, askEvery) != nil {
			return d, err
		}
	}
}
