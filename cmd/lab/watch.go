package lab

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"re6st/actors/monitor"
)

// Of the watch over a lab.
const (
	viewAge      = 250 * time.Millisecond // within which all who ask get the same View
	viewPatience = time.Second            // with a node
	viewAtOnce   = 8                      // nodes that are asked at a time
	listenAgain  = 300 * time.Millisecond // to a node whose events ended
	maxHistory   = 200                    // events
)

// history is the last events of all nodes, and of the lab.
type history struct {
	mu     sync.Mutex
	seq    uint64
	events []EventView // oldest first
}

func (h *history) add(e EventView) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.Seq = h.seq
	if len(h.events) == maxHistory {
		out := max(0, slices.IndexFunc(h.events, EventView.minor))
		h.events = slices.Delete(h.events, out, out+1)
	}
	h.events = append(h.events, e)
}

// minor is the first to be forgotten: an actor that came or went, as tunnels do with
// each dial.
func (e EventView) minor() bool { return e.Actor != "" && (e.Kind == "started" || e.Kind == "stopped") }

func (h *history) all() []EventView {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]EventView{}, h.events...) // [] in JSON, not null
}

// note adds what the lab did, or saw.
func (l *Lab) note(kind, text string) {
	l.history.add(EventView{Time: time.Now().UTC(), Node: "lab", Kind: kind, Text: text})
}

// watch asks the nodes when somebody wants to know, and hears their events. Nothing
// of it takes the lock of the actions: it shows what a restart of all looks like.
type watch struct {
	lab *Lab

	mu   sync.Mutex // held while the nodes are asked: who comes meanwhile gets that answer
	view View
}

// newWatch hears events until the lab ends.
func newWatch(l *Lab) *watch {
	for _, name := range l.names {
		l.background.Go(func() { l.hear(l.members[name]) })
	}
	return &watch{lab: l}
}

// hear follows the events of a node through its restarts.
func (l *Lab) hear(m *member) {
	client := monitor.NewClient(l.program.socket(m.dir))
	last, pid := uint64(0), 0
	for sleep(l.ctx, listenAgain) == nil {
		if now := l.pid(m); now != pid {
			pid, last = now, 0 // another process begins at 1
		}
		if pid == 0 {
			continue
		}
		// An error says that the node does not listen yet, or has gone.
		_ = monitor.Lines(l.ctx, client, http.MethodGet, "events?follow=1", nil, func(e monitor.Event) error {
			if e.Seq > last {
				last = e.Seq
				l.history.add(EventView{Time: e.Time.UTC(), Node: m.name, Actor: e.Actor, Kind: e.Kind, Text: e.Text})
			}
			return nil
		})
	}
}

func (l *Lab) pid(m *member) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.state().pid
}

// now is the lab as it is, at most viewAge ago.
func (w *watch) now(ctx context.Context) View {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := time.Now(); at.Sub(w.view.Now) < viewAge && !at.Before(w.view.Now) {
		return w.view
	}
	v := View{
		Now: time.Now().UTC(), ID: w.lab.ID(), Topology: w.lab.options.Topology, Registry: stateDead,
		Edges: *w.lab.under.shown.Load(), Events: w.lab.history.all(),
	}
	if w.lab.pid(w.lab.members[registryName]) != 0 {
		v.Registry = stateRunning
	}
	v = v.of(w.lab.reports(ctx))
	if ctx.Err() == nil {
		w.view = v
	}
	return v
}

// reports asks all nodes.
func (l *Lab) reports(ctx context.Context) []report {
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	states := l.snapshot()
	all := make([]report, len(states))
	var asking sync.WaitGroup
	slots := make(chan struct{}, viewAtOnce)
	for i, s := range states {
		all[i].member = s
		if s.pid == 0 {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			all[i].ask(ctx, l.program)
			<-slots
		})
	}
	asking.Wait()
	return all
}

// ask fills in what a node says; where it does not answer it was not heard.
func (r *report) ask(ctx context.Context, p program) {
	r.memory, _ = residentMemory(r.member.pid)
	client := monitor.NewClient(p.socket(r.member.dir))
	var tunnels monitor.Tunnels
	var actors monitor.Actors
	if client.Get(ctx, "status", &r.status) != nil || client.Get(ctx, "tunnels", &tunnels) != nil || client.Get(ctx, "actors", &actors) != nil {
		return
	}
	r.heard, r.tunnels, r.actors = true, tunnels.Tunnels, slices.Clip(actors.Actors)
}
