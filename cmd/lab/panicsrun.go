package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"re6st/actors/monitor"
)

// PanicsReport is what `re6st lab panics --json` prints.
type PanicsReport struct {
	Version    int            `json:"version"`
	Nodes      int            `json:"nodes"`
	Panics     int            `json:"panics"`
	P50        float64        `json:"restart_p50_ms"` // of all: from the fault to the actor at work again
	P99        float64        `json:"restart_p99_ms"`
	Most       float64        `json:"restart_max_ms"`
	Echoes     int            `json:"echoes_others"` // that went by links which the actor that failed had no part in
	LostOthers int            `json:"lost_others"`   // of these
	LostOwn    int            `json:"lost_own"`      // by the links of the actor that failed
	Kinds      []PanicsOfKind `json:"kinds"`
	Leaks      []string       `json:"leaks"`
	OK         bool           `json:"ok"`
}

// PanicsOfKind is what came of the panics of one kind of actor.
type PanicsOfKind struct {
	Kind       string  `json:"kind"`
	Panics     int     `json:"panics"`
	P50        float64 `json:"restart_p50_ms"`
	P99        float64 `json:"restart_p99_ms"`
	Most       float64 `json:"restart_max_ms"`
	LostOthers int     `json:"lost_others"`
	LostOwn    int     `json:"lost_own"`
}

// write writes the summary.
func (r *PanicsReport) write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tPANICS\tRESTART p50\tp99\tMAX\tLOST ON OTHER LINKS\tON ITS OWN")
	for _, k := range r.Kinds {
		fmt.Fprintf(t, "%s\t%d\t%.2f ms\t%.2f ms\t%.2f ms\t%d\t%d\n", k.Kind, k.Panics, k.P50, k.P99, k.Most, k.LostOthers, k.LostOwn)
	}
	t.Flush()
	fmt.Fprintf(w, "%d injected panics over %d kinds of actors on one of %d nodes: restart p50 %.2f ms, p99 %.2f ms\n",
		r.Panics, len(r.Kinds), r.Nodes, r.P50, r.P99)
	fmt.Fprintf(w, "other links' packets lost: %d of %d\n", r.LostOthers, r.Echoes)
	list(w, "leaks", r.Leaks)
	fmt.Fprintf(w, "panics %s\n", okText[r.OK])
}

// panics has the actors of one node panic, and keeps the books.
type panics struct {
	lab    *Lab
	trains []*train
	shots  []shot
}

// shot is one panic and its window: until the next one.
type shot struct {
	kind     string
	took     time.Duration
	from, to time.Duration // in the prober's time
	own      map[Pair]bool // pairs whose packets go by a link of the actor, there or back
}

// errGone is an actor that went before it could be hit: a link that ended.
var errGone = errors.New("lab: the actor is gone")

func newPanics(l *Lab) *panics { return &panics{lab: l} }

func (p *panics) pingAll(ctx context.Context) {
	for _, pair := range allPairs(p.lab.names) {
		p.trains = append(p.trains, p.lab.prober.newTrain(pair))
	}
	p.lab.prober.pace(ctx, panicsEvery, p.trains, nil)
}

func (p *panics) dir() string { return p.lab.members[panicsHub].dir }

// next is whose turn it is: each kind in turn, and within a kind each actor.
func (p *panics) next(ctx context.Context, turn int) (monitor.DebugActor, error) {
	d, err := retried(ctx, func() (monitor.Debug, error) { return p.lab.program.debug(ctx, p.dir()) })
	if err != nil {
		return monitor.DebugActor{}, err
	}
	byKind := map[string][]monitor.DebugActor{}
	for _, a := range d.Actors {
		if a.State == "running" {
			byKind[a.Kind] = append(byKind[a.Kind], a)
		}
	}
	kinds := slices.Sorted(maps.Keys(byKind))
	of := byKind[kinds[turn%len(kinds)]]
	return of[turn/len(kinds)%len(of)], nil
}

// retried asks until there is an answer: the monitor may be between two lives.
func retried[T any](ctx context.Context, ask func() (T, error)) (answer T, err error) {
	ctx, cancel := context.WithTimeout(ctx, panicsWithin)
	defer cancel()
	for {
		if answer, err = ask(); err == nil || errors.Is(err, monitor.ErrRequest) || sleep(ctx, askEvery) != nil {
			return answer, err
		}
	}
}

// one has an actor panic, waits until it runs again and the mesh is whole, and notes
// what it took.
func (p *panics) one(ctx context.Context, a monitor.DebugActor) error {
	before, err := retried(ctx, func() (hops, error) { return p.lab.hops(ctx) })
	if err != nil {
		return err
	}
	events, err := p.events(ctx)
	if err != nil {
		return err
	}
	last := uint64(0)
	if n := len(events); n > 0 {
		last = events[n-1].Seq
	}
	s := shot{kind: a.Kind, own: map[Pair]bool{}, from: p.lab.prober.now()}
	_, err = retried(ctx, func() (bool, error) {
		return true, p.lab.program.fault(ctx, p.dir(), monitor.FaultRequest{Actor: a.Path, How: "panic"})
	})
	if errors.Is(err, monitor.ErrRequest) {
		return errGone
	}
	if err != nil {
		return err
	}
	if s.took, err = p.awaitRestart(ctx, a.Path, last); err != nil {
		return err
	}
	if err := sleep(ctx, panicsPause); err != nil {
		return err
	}
	if err := p.awaitWhole(ctx, a); err != nil {
		return err
	}
	s.to = p.lab.prober.now()
	after, err := retried(ctx, func() (hops, error) { return p.lab.hops(ctx) })
	if err != nil {
		return err
	}
	links := p.links(a)
	for _, h := range []hops{before, after} {
		maps.Copy(s.own, ownPairs(h, p.lab.names, links))
	}
	if endsLinks(a) {
		p.addMovable(s.own)
	}
	p.shots = append(p.shots, s)
	return nil
}

// endsLinks tells whether all links of the node end with an actor, and come anew.
func endsLinks(a monitor.DebugActor) bool { return a.Kind == "node" || a.Kind == "tunnels" }

// addMovable adds the pairs that have no link of their own: where links end and come
// anew their packets may move to the hub's, for a moment that no look at the routes
// catches.
func (p *panics) addMovable(own map[Pair]bool) {
	for _, pair := range allPairs(p.lab.names) {
		if e := newEdge(pair.From, pair.To); !slices.Contains(p.lab.edges, e) {
			own[pair] = true
		}
	}
}

// links are those that an actor has a part in.
func (p *panics) links(a monitor.DebugActor) func(Edge) bool {
	switch a.Kind {
	case "node", "tunnels":
		return func(e Edge) bool { return e.A == panicsHub || e.B == panicsHub }
	case "tunnel", "neighbor":
		id, _, _ := strings.Cut(a.Path[strings.LastIndex(a.Path, "/")+1:], ".")
		for _, s := range p.lab.snapshot() {
			if s.who.id.String() == id {
				return func(e Edge) bool { return e == newEdge(panicsHub, s.name) }
			}
		}
	}
	return func(Edge) bool { return false }
}

// ownPairs are the pairs whose packets go by one of the links, there or back, as the
// routes are now. Where they make no path the pair is taken for one.
func ownPairs(h hops, names []string, links func(Edge) bool) map[Pair]bool {
	own := map[Pair]bool{}
	for _, pair := range allPairs(names) {
		path, err := h.path(pair.From, pair.To)
		uses := err != nil
		for i := range max(0, len(path)-1) {
			uses = uses || links(newEdge(path[i], path[i+1]))
		}
		if uses {
			own[pair], own[Pair{pair.To, pair.From}] = true, true
		}
	}
	return own
}

// events are the last of the node's.
func (p *panics) events(ctx context.Context) ([]monitor.Event, error) {
	return retried(ctx, func() (events []monitor.Event, err error) {
		return events, p.lab.program.events(ctx, p.dir(), func(e monitor.Event) { events = append(events, e) })
	})
}

// awaitRestart waits for the events that an actor failed and that it runs again.
func (p *panics) awaitRestart(ctx context.Context, path string, after uint64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, panicsWithin)
	defer cancel()
	for {
		events, err := p.events(ctx)
		if err != nil {
			return 0, fmt.Errorf("lab: %s after its panic: %w", path, err)
		}
		var faulted time.Time
		for _, e := range events {
			switch {
			case e.Seq <= after || e.Actor != path:
			case e.Kind == "faulted":
				faulted = e.Time
			case !faulted.IsZero() && (e.Kind == "restarted" || e.Kind == "started"):
				return e.Time.Sub(faulted), nil
			}
		}
		if err := sleep(ctx, panicsPause/10); err != nil {
			return 0, fmt.Errorf("lab: %s does not run again %v after a panic", path, panicsWithin)
		}
	}
}

// awaitWhole waits until all pairs answer and, where the links ended with the actor,
// all of them are up again.
func (p *panics) awaitWhole(ctx context.Context, a monitor.DebugActor) error {
	ctx, cancel := context.WithTimeout(ctx, panicsWithin)
	defer cancel()
	for endsLinks(a) {
		n, err := p.lab.program.links(ctx, p.dir())
		if err == nil && n == len(p.lab.names)-1 {
			break
		}
		if err := sleep(ctx, askEvery); err != nil {
			return fmt.Errorf("lab: %s has not all its links again %v after a panic of %s", panicsHub, panicsWithin, a.Path)
		}
	}
	if _, missing := p.lab.prober.await(ctx, p.trains, p.lab.prober.now()); len(missing) > 0 {
		return fmt.Errorf("lab: %d pairs do not answer %v after a panic of %s, first of all %v", len(missing), panicsWithin, a.Path, missing[0])
	}
	return nil
}

// settle counts what was lost, once the last replies had their time.
func (p *panics) settle(r *PanicsReport) {
	time.Sleep(echoGrace)
	byKind := map[string]*PanicsOfKind{}
	times := map[string][]time.Duration{}
	var all []time.Duration
	for _, s := range p.shots {
		k := byKind[s.kind]
		if k == nil {
			k = &PanicsOfKind{Kind: s.kind}
			byKind[s.kind] = k
		}
		k.Panics++
		times[s.kind], all = append(times[s.kind], s.took), append(all, s.took)
		for _, t := range p.trains {
			switch l := p.lab.prober.losses(t, s.from, s.to); {
			case s.own[t.pair]:
				k.LostOwn += l.Lost
			default:
				k.LostOthers += l.Lost
				r.Echoes += l.Sent
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byKind)) {
		k := byKind[name]
		k.P50, k.P99, k.Most = spread(times[name])
		r.Kinds = append(r.Kinds, *k)
		r.Panics, r.LostOthers, r.LostOwn = r.Panics+k.Panics, r.LostOthers+k.LostOthers, r.LostOwn+k.LostOwn
	}
	r.P50, r.P99, r.Most = spread(all)
}
