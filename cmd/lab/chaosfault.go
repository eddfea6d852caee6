package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/system"
)

// failActor has an actor, or one of its pumps, fail: of each kind of actor as often.
func (c *chaos) failActor(ctx context.Context, s strike) (string, error) {
	name := c.running(s)
	if name == "" {
		return "", nil
	}
	d, err := c.debug(ctx, name)
	if err != nil {
		return "", err
	}
	request := monitor.FaultRequest{How: map[strikeKind]string{
		strikePanic: "panic", strikeError: "error", strikePumpPanic: "panic", strikePumpError: "error", strikeStall: "stall",
	}[s.kind]}
	onPump := s.kind == strikePumpPanic || s.kind == strikePumpError || s.kind == strikeStall
	a, ok := c.target(name, d.Actors, &s.pick, func(a monitor.DebugActor) bool { return !onPump || len(a.Pumps) > 0 })
	if !ok {
		return "", nil
	}
	request.Actor = a.Path
	if onPump {
		request.Pump = choose(a.Pumps, &s.pick)
	}
	if s.kind == strikeStall {
		request.For = s.span.Milliseconds()
	}
	if err := c.inject(ctx, name, request); err != nil {
		return "", unlessGone(err)
	}
	parts := []string{string(s.kind), name, a.Path}
	if onPump {
		parts = append(parts, request.Pump)
	}
	if s.span > 0 {
		parts = append(parts, "for "+s.span.Round(time.Millisecond).String())
	}
	what := c.hit(s.span, "%s", strings.Join(parts, " "))
	if s.span >= longStall {
		c.notice(ctx, name, request)
	}
	return what, nil
}

// target takes one of the actors that run and that have faults to spare.
func (c *chaos) target(node string, actors []monitor.DebugActor, pick *uint64, fits func(monitor.DebugActor) bool) (monitor.DebugActor, bool) {
	byKind := map[string][]monitor.DebugActor{}
	c.mu.Lock()
	for _, a := range actors {
		if a.State == "running" && fits(a) && c.spare(node, a.Path) {
			byKind[a.Kind] = append(byKind[a.Kind], a)
		}
	}
	c.mu.Unlock()
	if len(byKind) == 0 {
		return monitor.DebugActor{}, false
	}
	return choose(byKind[choose(slices.Sorted(maps.Keys(byKind)), pick)], pick), true
}

// spare tells whether an actor can fail without spending its budget. The caller holds mu.
func (c *chaos) spare(node, path string) bool {
	key, now := node+" "+path, c.lab.prober.now()
	c.faults[key] = slices.DeleteFunc(c.faults[key], func(at time.Duration) bool { return now-at > time.Minute })
	return len(c.faults[key]) < faultsPerMinute
}

// spent counts a fault of an actor.
func (c *chaos) spent(node, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[node+" "+path] = append(c.faults[node+" "+path], c.lab.prober.now())
}

// inject has a node do it.
func (c *chaos) inject(ctx context.Context, name string, r monitor.FaultRequest) error {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	if r.Actor != "" {
		c.spent(name, r.Actor)
	}
	return c.lab.program.fault(ctx, c.lab.members[name].dir, r)
}

// unlessGone drops the error of a node, an actor or a pump that ended in the meantime.
func unlessGone(err error) error {
	if errors.Is(err, monitor.ErrRequest) || errors.Is(err, monitor.ErrNotRunning) {
		return nil
	}
	return err
}

// notice sees whether a node tells of a pump that hangs. One that is killed meanwhile need not.
func (c *chaos) notice(ctx context.Context, name string, r monitor.FaultRequest) {
	began, m := c.lab.prober.now(), c.lab.members[name]
	pid := c.lab.pid(m)
	if sleep(ctx, system.StuckAfter+stallGrace) != nil || c.lab.pid(m) != pid {
		return
	}
	log, err := os.ReadFile(m.log)
	if err != nil {
		c.fail("the log of %s: %v", name, err)
		return
	}
	want := fmt.Sprintf("%s %s %s pump %s ", name, r.Actor, system.EventStuck, r.Pump)
	told := slices.ContainsFunc(momentsOf(name, log, c.lab.prober.start), func(t moment) bool {
		return t.at >= began && strings.HasPrefix(t.text, want)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.report.LongStalls++; told {
		c.report.StallsNoticed++
	}
}

// escalating are the kinds of actors that a node cannot live without.
var escalating = map[string]bool{"node": true, "router": true, "session": true, "tunnels": true}

// exhaust has an actor fail until its budget is spent, and sees that what follows does:
// a quarantine, the end of a tunnel, or the failure of the parent. Not the monitor's,
// by which all this is done.
func (c *chaos) exhaust(ctx context.Context, s strike) (string, error) {
	name := c.running(s)
	if name == "" {
		return "", nil
	}
	d, err := c.debug(ctx, name)
	if err != nil {
		return "", err
	}
	quarantines := c.until-c.lab.prober.now() > quarantineWait
	c.mu.Lock()
	root := c.spare(name, "node")
	c.mu.Unlock()
	a, ok := c.target(name, d.Actors, &s.pick, func(a monitor.DebugActor) bool {
		return a.Kind != "monitor" && (escalating[a.Kind] && root || !escalating[a.Kind] && quarantines)
	})
	if !ok {
		return "", nil
	}
	what := c.hit(3*time.Second, "%s %s %s", s.kind, name, a.Path)
	if escalating[a.Kind] { // the node is about to end, or to begin anew: it is out as if it was killed
		c.spent(name, "node")
		c.change(func(u *underfoot, now time.Duration) { u.lose(name, now) })
		defer c.change(func(u *underfoot, now time.Duration) { u.regain(name, now) })
	}
	if a.Kind == "node" {
		c.mu.Lock()
		c.endings[name] = true
		c.mu.Unlock()
	}
	for range budget {
		state, err := c.awaitState(ctx, name, a.Path, func(state string) bool { return state != "restarting" && state != "starting" })
		if err != nil || state != "running" {
			break
		}
		if err := c.inject(ctx, name, monitor.FaultRequest{Actor: a.Path, How: "panic"}); err != nil {
			break
		}
	}
	if state, err := c.awaitState(ctx, name, a.Path, func(state string) bool { return state != "restarting" }); err == nil && (state == "quarantined" || a.Kind == "tunnel" && state == "stopped") {
		c.mu.Lock()
		c.report.Quarantines++
		c.mu.Unlock()
		c.sitOut(ctx, name, a)
	}
	return what, nil
}

// awaitState asks until an actor is in a state that will do; that of one that is not
// there is "gone".
func (c *chaos) awaitState(ctx context.Context, name, path string, will func(string) bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, upPatience)
	defer cancel()
	for {
		d, err := c.debug(ctx, name)
		if err != nil {
			return "", err
		}
		state := "gone"
		if at := slices.IndexFunc(d.Actors, func(a monitor.DebugActor) bool { return a.Path == path }); at >= 0 {
			state = d.Actors[at].State
		}
		if will(state) {
			return state, nil
		}
		if err := sleep(ctx, askEvery); err != nil {
			return state, err
		}
	}
}

// sitOut waits for the end of a quarantine. No route goes by a neighbor meanwhile, and
// there is no link in place of a tunnel, so its edge is no path.
func (c *chaos) sitOut(ctx context.Context, name string, a monitor.DebugActor) {
	if peer := c.peerOf(a); peer != "" {
		e := newEdge(name, peer)
		c.change(func(u *underfoot, now time.Duration) { u.close(e, now) })
		defer c.change(func(u *underfoot, now time.Duration) { u.open(e, now) })
	}
	ctx, cancel := context.WithTimeout(ctx, quarantineWait)
	defer cancel()
	for sleep(ctx, 20*askEvery) == nil {
		if a.Kind == "tunnel" {
			if c.linked(ctx, name, peerID(a)) {
				return
			}
			continue
		}
		state, err := c.awaitState(ctx, name, a.Path, func(string) bool { return true })
		if err == nil && state != "quarantined" {
			return
		}
	}
}

// linked tells whether a node has a link with another one.
func (c *chaos) linked(ctx context.Context, name, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	tunnels, err := c.lab.program.tunnels(ctx, c.lab.members[name].dir)
	return err == nil && slices.ContainsFunc(tunnels, func(t monitor.Tunnel) bool { return t.Node.String() == id && t.State == "up" })
}

// peerID is the node at the other end of a neighbor or a tunnel, whose name is ID.LINK.
func peerID(a monitor.DebugActor) string {
	if a.Kind != "neighbor" && a.Kind != "tunnel" {
		return ""
	}
	id, _, _ := strings.Cut(a.Path[strings.LastIndex(a.Path, "/")+1:], ".")
	return id
}

// peerOf is its name.
func (c *chaos) peerOf(a monitor.DebugActor) string {
	for _, s := range c.lab.snapshot() {
		if s.who.id.String() == peerID(a) {
			return s.name
		}
	}
	return ""
}

// burst bounds a row of failures: a node that calls rarely would be mute for long.
const burst = 300 * time.Millisecond

// failingCall is a sort of calls that fail.
type failingCall struct {
	call   string
	errnos []string // with what
	most   uint64   // in a row
	mute   bool     // without them the node is deaf or mute
}

var failing = []failingCall{
	{"sock.send", []string{"ENOBUFS", "EAGAIN", "EPERM", "ENETUNREACH", "EIO"}, 100, true},
	{"sock.receive", []string{"ENOBUFS", "EAGAIN", "ENOMEM"}, 50, true},
	{"tun.read", []string{"ENOMEM", "EAGAIN", "EIO"}, 20, true},
	{"tun.write", []string{"EIO", "ENOBUFS", "ENOMEM"}, 50, true},
	{"netlink.route", []string{"EBUSY", "ENOBUFS", "EPERM"}, 5, false},
	{"netlink.link", []string{"EBUSY", "ENOBUFS"}, 4, false},
	{"netlink.address", []string{"EBUSY", "ENOBUFS"}, 4, false},
	{"netlink.watch", []string{"ENOBUFS", "ENOMEM"}, 3, false},
	{"nodedir.write", []string{"ENOSPC", "EROFS", "EIO"}, 10, false},
	{"nodedir.read", []string{"EIO", "EMFILE"}, 4, false},
}

// failCall has some calls of the kernel fail, or all of one sort for a time.
func (c *chaos) failCall(ctx context.Context, s strike) (string, error) {
	calls := slices.Clone(failing)
	name := c.running(s)
	if s.kind == strikeMute {
		calls = slices.DeleteFunc(calls, func(f failingCall) bool { return !f.mute })
		if name = c.take(s); name != "" {
			defer c.release(name)
		}
	}
	if name == "" {
		return "", nil
	}
	f := choose(calls, &s.pick)
	r := monitor.FaultRequest{Call: f.call, Errno: choose(f.errnos, &s.pick)}
	if s.kind == strikeCall {
		r.Count, r.For = 1+s.pick%f.most, burst.Milliseconds()
	} else {
		r.For = max(1, s.span.Milliseconds())
		c.change(func(u *underfoot, now time.Duration) { u.lose(name, now) })
		defer c.change(func(u *underfoot, now time.Duration) { u.regain(name, now) })
	}
	if err := c.inject(ctx, name, r); err != nil {
		return "", unlessGone(err)
	}
	much := s.span.Round(time.Millisecond).String()
	if r.Count > 0 {
		much = fmt.Sprintf("%d times", r.Count)
	}
	what := c.hit(s.span, "%s %s %s %s, %s", s.kind, name, f.call, r.Errno, much)
	_ = sleep(ctx, s.span) // a chaos that ends clears all
	return what, nil
}
