package registry

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"re6st/actors/system"
	"re6st/hw/clock"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// Pauses of a watcher.
const (
	// pollPauseMin and pollPauseMax are between calls for updates that fail,
	// doubling; pollSpread keeps nodes whose calls ended together from coming back
	// together.
	pollPauseMin = time.Second
	pollPauseMax = time.Minute
	pollSpread   = time.Second
	// barredPause is between the calls of a node that the registry refuses as
	// revoked: for it nothing will change.
	barredPause = time.Hour
	// renewalLook is how often the clock is looked at, which may have been set.
	renewalLook = time.Hour
)

// WatcherConfig is what the actor that waits for the registry's news works with. Its
// functions are called by pumps; Renew may block.
type WatcherConfig struct {
	Client *Client
	Held   func() registry.Held // the documents that this node has
	Dates  func() (notBefore, notAfter time.Time)
	// Early tells that another certificate is wanted now, which CallAgain has looked at; nil:
	// never.
	Early func() bool
	// Renew gets another certificate.
	Renew func(context.Context) error
	Now   func() time.Time
	Emit  func(WatcherEvent)
}

// WatcherMessage is what the actor takes.
//
//sumtype:decl
type WatcherMessage interface{ watcherMessage() }

// CallAgain has the registry called anew, where a call waits for it, and the dates
// looked at: the node has another certificate to show.
type CallAgain struct{}

// noted is what a pump reports.
type noted struct{ event WatcherEvent }

func (CallAgain) watcherMessage() {}
func (noted) watcherMessage()     {}

// WatcherEvent is what came from the registry.
//
//sumtype:decl
type WatcherEvent interface{ watcherEvent() }

// Updated brings newer documents, verified; nil for one that is not newer.
type Updated struct{ Updates }

// Barred says that the registry refuses this node's certificate as revoked.
type Barred struct{ Err error }

// RenewalFailed says why there is no new certificate yet, and when it is tried again.
type RenewalFailed struct {
	Err  error
	Next time.Time
}

func (Updated) watcherEvent()       {}
func (Barred) watcherEvent()        {}
func (RenewalFailed) watcherEvent() {}

// SpawnWatcher starts the actor. A node lives without it.
func SpawnWatcher(parent system.Parent, cfg WatcherConfig) (system.Ref[WatcherMessage], error) {
	return system.Spawn(parent, "updates", system.Spec[WatcherMessage]{
		Kind: "watcher",
		New: func() system.Handler[WatcherMessage] {
			return &watcher{cfg: cfg, call: new(waiting), look: new(waiting)}
		},
	})
}

type watcher struct {
	cfg  WatcherConfig
	call *waiting // for the registry
	look *waiting // for the time to renew
}

// waiting is a wait that can be cut short.
type waiting struct {
	cancel atomic.Pointer[context.CancelFunc]
}

// begin is the context of the next wait.
func (w *waiting) begin(stop context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(stop)
	w.cancel.Store(&cancel)
	return ctx, cancel
}

func (w *waiting) cutShort() {
	if cancel := w.cancel.Load(); cancel != nil {
		(*cancel)()
	}
}

// Start starts the pumps: one waits for the registry, the other for the time to
// renew.
func (w *watcher) Start(ctx *system.Context[WatcherMessage]) error {
	cfg, call, look := w.cfg, w.call, w.look
	random := func() *rand.Rand { return rand.New(rand.NewPCG(ctx.Rand().Uint64(), ctx.Rand().Uint64())) }
	polls, renews := random(), random()
	c := ctx.Clock()
	ctx.Pump("poll", func(stop context.Context, p *system.Pump[WatcherMessage]) error {
		return cfg.poll(stop, c, call, polls, p)
	}, system.WithTurn())
	ctx.Pump("renewal", func(stop context.Context, p *system.Pump[WatcherMessage]) error {
		return cfg.renewals(stop, c, look, renews, p)
	}, system.WithTurn())
	return nil
}

// Handle passes on what a pump reports, or has one call again.
func (w *watcher) Handle(ctx *system.Context[WatcherMessage], m WatcherMessage) error {
	note, ok := m.(noted)
	if !ok {
		w.call.cutShort()
		w.look.cutShort()
		return nil
	}
	switch e := note.event.(type) {
	case Updated:
	case Barred:
		ctx.Event("revoked", e.Err.Error())
	case RenewalFailed:
		ctx.Event("renewal", e.Err.Error()+"; again at "+e.Next.UTC().Format(time.RFC3339))
	}
	w.cfg.Emit(note.event)
	return nil
}

// Stop has nothing to close: the pumps were joined.
func (w *watcher) Stop(*system.Context[WatcherMessage]) {}

// poll waits for updates, again and again.
func (cfg WatcherConfig) poll(stop context.Context, c clock.Clock, call *waiting, r *rand.Rand, p *system.Pump[WatcherMessage]) error {
	pause := pollPauseMin
	var told registry.Held // what was passed on, and may not be in force yet
	for {
		held := cfg.Held()
		held.Params, held.CRL = max(held.Params, told.Params), max(held.CRL, told.CRL)
		ctx, cancel := call.begin(stop)
		u, err := cfg.Client.Updates(ctx, held)
		again := ctx.Err() != nil
		cancel()
		wait := time.Duration(r.Int64N(int64(pollSpread)))
		switch {
		case stop.Err() != nil:
			return nil
		case again:
			wait = 0
		case err != nil:
			if wait, err = cfg.failed(err, pause, r, p); err != nil {
				return nil
			}
			pause = min(2*pause, pollPauseMax)
		default:
			pause = pollPauseMin
			if u.Params != nil || u.CRL != nil {
				told = registry.Held{Params: max(told.Params, numberOf(u.Params)), CRL: max(told.CRL, cert.NumberOf(u.CRL))}
				if p.Deliver(noted{Updated{u}}) != nil {
					return nil
				}
				wait = 0
			}
		}
		if clock.Sleep(stop, c, wait) != nil {
			return nil
		}
	}
}

func numberOf(p *registry.SignedParams) uint64 {
	if p == nil {
		return 0
	}
	return p.Number
}

// failed is how long to wait after a call that failed.
func (cfg WatcherConfig) failed(err error, pause time.Duration, r *rand.Rand, p *system.Pump[WatcherMessage]) (time.Duration, error) {
	var busy *busyError
	switch {
	case errors.Is(err, registry.ErrRevoked):
		return barredPause, p.Deliver(noted{Barred{err}})
	case errors.As(err, &busy):
		pause = max(pause, busy.wait)
	}
	return pause - pause/4 + time.Duration(r.Int64N(int64(pause/2))), nil
}

// renewals renews the certificate each time that it is due.
func (cfg WatcherConfig) renewals(stop context.Context, c clock.Clock, look *waiting, r *rand.Rand, p *system.Pump[WatcherMessage]) error {
	for {
		notBefore, notAfter := cfg.Dates()
		due := registry.RenewalTime(notBefore, notAfter, r)
		isRenewed := func() bool { _, end := cfg.Dates(); return !end.Equal(notAfter) } // by command
		for now := cfg.Now(); now.Before(due) && !isRenewed() && !cfg.early(); now = cfg.Now() {
			ctx, cancel := look.begin(stop)
			if !isRenewed() && !cfg.early() { // or it was before this could be cut short
				_ = clock.Sleep(ctx, c, min(due.Sub(now), renewalLook))
			}
			cancel()
			if stop.Err() != nil {
				return nil
			}
		}
		if isRenewed() {
			continue
		}
		if err := cfg.renewOne(stop, c, r, p); err != nil {
			return nil
		}
	}
}

func (cfg WatcherConfig) early() bool { return cfg.Early != nil && cfg.Early() }

// renewOne tries until the certificate is renewed; an error says that stop ended.
func (cfg WatcherConfig) renewOne(stop context.Context, c clock.Clock, r *rand.Rand, p *system.Pump[WatcherMessage]) error {
	for failures := 1; ; failures++ {
		err := cfg.Renew(stop)
		switch {
		case stop.Err() != nil:
			return stop.Err()
		case err == nil:
			return nil
		}
		now := cfg.Now()
		_, notAfter := cfg.Dates()
		pause := registry.RenewalRetry(now, notAfter, failures, r)
		if errors.Is(err, registry.ErrRevoked) {
			pause = barredPause
		}
		if err := p.Deliver(noted{RenewalFailed{err, now.Add(pause)}}); err != nil {
			return err
		}
		if err := clock.Sleep(stop, c, pause); err != nil {
			return err
		}
	}
}
