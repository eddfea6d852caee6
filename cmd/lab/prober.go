package lab

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"re6st/hw/netns"
)

// Pace of the echoes.
const (
	// convergeEvery is how often an echo goes to a pair that has not answered yet.
	convergeEvery = 100 * time.Millisecond
	// While a scenario watches all pairs they share wholeRate echoes a second, each
	// pair between every wholeFastest and wholeSlowest.
	wholeRate    = 4000
	wholeFastest = 20 * time.Millisecond
	wholeSlowest = 50 * time.Millisecond
	// catchUp is how many echoes go out at once after some were late, at most one such burst
	// in an interval: what had no processor shall not fill the queues of what has one.
	catchUp = 4
	// echoGrace is how long a reply may take before its echo counts as lost.
	echoGrace = 500 * time.Millisecond
)

// prober sends echoes between nodes and keeps the books. Its methods may be called
// from any goroutine.
type prober struct {
	start time.Time

	mu       sync.Mutex
	stations map[string]*station
	trains   []*train           // a train's id is its index here
	waits    []*wait            // those of await
	senders  sync.WaitGroup     // one for each running pace
	stop     context.CancelFunc // ends them
	ctx      context.Context
}

func newProber() *prober {
	p := &prober{start: time.Now(), stations: map[string]*station{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// now is the time that trains count in.
func (p *prober) now() time.Duration { return time.Since(p.start) }

// open gives a node its station, or another one if its address has changed.
func (p *prober) open(name string, ns *netns.NS, addr netip.Addr) error {
	p.mu.Lock()
	old := p.stations[name]
	p.mu.Unlock()
	if old != nil && old.addr == addr {
		return nil
	}
	s, err := openStation(ns, addr, p.heard)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.stations[name] = s
	p.mu.Unlock()
	if old != nil {
		old.close()
	}
	return nil
}

// close ends all sending and closes the stations.
func (p *prober) close() {
	p.stop()
	p.senders.Wait()
	p.mu.Lock()
	stations := p.stations
	p.stations = map[string]*station{}
	p.mu.Unlock()
	for _, s := range stations { // without the lock, which a reader may want
		s.close()
	}
}

func (p *prober) heard(e echo, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if uint64(e.train) >= uint64(len(p.trains)) {
		return
	}
	t := p.trains[e.train]
	if !t.heard(e.number, at.Sub(p.start)) {
		return
	}
	for _, w := range p.waits {
		w.heard(t, t.echoes[e.number])
	}
}

// wait is what an await waits for. The prober's lock guards it.
type wait struct {
	from    time.Duration
	missing map[*train]bool
	last    time.Duration // when the latest of the answers came
	done    chan struct{} // closed when none is missing
}

func (w *wait) heard(t *train, f fate) {
	if f.sent < w.from || !w.missing[t] {
		return
	}
	delete(w.missing, t)
	w.last = max(w.last, f.answered)
	if len(w.missing) == 0 {
		close(w.done)
	}
}

// newTrain starts the books of a pair; nothing is sent yet.
func (p *prober) newTrain(pair Pair) *train {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &train{id: uint32(len(p.trains)), pair: pair}
	p.trains = append(p.trains, t)
	return t
}

// pairOf is the pair of a train that there is.
func (p *prober) pairOf(train uint32) (Pair, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if uint64(train) >= uint64(len(p.trains)) {
		return Pair{}, false
	}
	return p.trains[train].pair, true
}

// pace sends an echo on each of the trains that wanted accepts, at once and then
// every so often, until ctx or the prober ends. wanted runs under the lock.
func (p *prober) pace(ctx context.Context, every time.Duration, trains []*train, wanted func(*train) bool) {
	p.senders.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			for _, t := range trains {
				p.send(t, wanted)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			case <-p.ctx.Done():
				return
			}
		}
	})
}

// steady sends echoes of one train so far apart on average, until ctx or the prober ends:
// who wakes late catches up, a few at a time, so that no queue has to hold them all.
func (p *prober) steady(ctx context.Context, every time.Duration, t *train) {
	p.senders.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.ctx, cancel)()
		tempo := tempo{start: p.now(), every: every}
		for {
			for range min(tempo.owed(p.now()), catchUp) {
				p.mu.Lock()
				t.keep(&tempo, p.now())
				p.mu.Unlock()
				p.send(t, nil)
			}
			if sleep(ctx, tempo.pause(p.now())) != nil {
				return
			}
		}
	})
}

// send sends one echo, if both ends have an address.
func (p *prober) send(t *train, wanted func(*train) bool) {
	p.mu.Lock()
	from, to := p.stations[t.pair.From], p.stations[t.pair.To]
	if from == nil || to == nil || wanted != nil && !wanted(t) {
		p.mu.Unlock()
		return
	}
	number := t.next(p.now())
	p.mu.Unlock()
	from.send(to.addr, echo{kind: echoRequest, train: t.id, number: number})
}

// await waits until every one of the trains has an answer to an echo sent at or after
// from, and returns when the last of these came. When ctx ends first it returns the
// pairs that have none, in order.
func (p *prober) await(ctx context.Context, trains []*train, from time.Duration) (last time.Duration, missing []Pair) {
	w := &wait{from: from, missing: map[*train]bool{}, done: make(chan struct{})}
	p.mu.Lock()
	for _, t := range trains {
		if at, ok := t.firstAnswer(from); ok {
			w.last = max(w.last, at)
		} else {
			w.missing[t] = true
		}
	}
	if len(w.missing) == 0 {
		p.mu.Unlock()
		return w.last, nil
	}
	p.waits = append(p.waits, w)
	p.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waits = slices.DeleteFunc(p.waits, func(other *wait) bool { return other == w })
	for t := range w.missing {
		missing = append(missing, t.pair)
	}
	slices.SortFunc(missing, Pair.compare)
	return w.last, missing
}

// losses counts what a train lost between two times.
func (p *prober) losses(t *train, from, to time.Duration) loss {
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.between(from, to)
}

// reportOf is what came by end of a train that steady sent.
func (p *prober) reportOf(t *train, every, end time.Duration) PingReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := t.between(0, end)
	return PingReport{
		From: t.pair.From, To: t.pair.To, EveryS: every.Seconds(), Sent: l.Sent, Rate: t.rate(), Late: t.late,
		Latest: seconds(t.latest), Lost: l.Lost, Outage: seconds(l.Outage),
	}
}

// converge sends to every pair until it has answered once. It returns when the last
// answer came, or the pairs that have none when ctx ends. Stations may be opened
// meanwhile.
func (p *prober) converge(ctx context.Context, names []string) (time.Time, []Pair) {
	var trains []*train
	for _, pair := range allPairs(names) {
		trains = append(trains, p.newTrain(pair))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.pace(ctx, convergeEvery, trains, func(t *train) bool {
		_, answered := t.firstAnswer(0)
		return !answered
	})
	last, missing := p.await(ctx, trains, 0)
	return p.start.Add(last), missing
}

// wholePace is the interval of each pair's echoes where pairs of them are watched.
func wholePace(pairs int) time.Duration {
	return min(max(time.Duration(pairs)*time.Second/wholeRate, wholeFastest), wholeSlowest)
}
