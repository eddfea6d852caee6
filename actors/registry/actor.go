package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/clock"
	"re6st/protocols/registry"
)

// Config is how the registry serves.
type Config struct {
	Dir       string             // where Create was
	Listen    string             // ADDRESS:PORT, TCP
	Advertise *registry.HostPort // nil: what the database says, else the address bound
	Limits    Limits             // zero: DefaultLimits
	Emit      func(Event)        // nil: nobody listens
}

const (
	// housekeeping is how often what expired is forgotten.
	housekeeping = time.Hour
	// shutdownTimeout is how long calls at hand may take when the service ends.
	shutdownTimeout = 2 * time.Second
)

// Spec makes the registry's actor. It cannot be done without: it escalates.
func Spec(cfg Config) system.Spec[Message] {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits
	}
	if cfg.Emit == nil {
		cfg.Emit = func(Event) {}
	}
	return system.Spec[Message]{
		Kind:     "registry",
		New:      func() system.Handler[Message] { return &handler{cfg: cfg} },
		OnBudget: system.Escalate,
	}
}

// handler counts what its pumps report. The store belongs to the pump that
// serves: opening it may wait for another process, and so must not be in Start.
type handler struct {
	cfg    Config
	status Status
}

// Start starts the pumps.
func (h *handler) Start(ctx *system.Context[Message]) error {
	opened, watched := make(chan *service, 1), make(chan *service, 1)
	serve := &serving{
		cfg: h.cfg, log: ctx.Log(), clock: ctx.Clock(), first: ctx.Number() == 1,
		opened: []chan<- *service{opened, watched},
		sample: mathrand.New(mathrand.NewPCG(ctx.Rand().Uint64(), ctx.Rand().Uint64())),
	}
	ctx.Pump("serve", serve.run)
	ctx.Pump("housekeeping", func(ctx context.Context, p *system.Pump[Message]) error {
		select {
		case s := <-opened:
			return keepHouse(ctx, s, serve.clock, p)
		case <-ctx.Done():
			return nil
		}
	})
	ctx.Pump("watch", func(ctx context.Context, _ *system.Pump[Message]) error {
		select {
		case s := <-watched:
			watch(ctx, s, serve.clock)
		case <-ctx.Done():
		}
		return nil
	})
	return nil
}

// Handle counts an event and passes it on.
func (h *handler) Handle(ctx *system.Context[Message], m Message) error {
	switch e := m.(happened).event.(type) {
	case Listening:
		h.status.Network, h.status.Address, h.status.Advertise = e.Network, e.Address, e.Advertise
		ctx.Event("listening", fmt.Sprintf("%s, as %s", e.Address, e.Advertise))
	case Joined:
		h.status.Joined++
		ctx.Event("joined", fmt.Sprintf("%s %s, from %s", e.Prefix.CN(), e.ID, e.From))
	case Renewed:
		h.status.Renewed++
		ctx.Event("renewed", fmt.Sprintf("%s %s, from %s", e.Prefix.CN(), e.ID, e.From))
	case Refused:
		h.status.Refused++
		h.status.LastError = e.Error.Detail
	case Unsaved:
		h.status.LastError = e.Error.Error()
	case Expired:
		ctx.Event("expired", fmt.Sprintf("%d nodes", len(e.Nodes)))
	}
	ctx.Publish(h.status)
	h.cfg.Emit(m.(happened).event)
	return nil
}

// Stop has nothing left to do: the pumps close what they open.
func (h *handler) Stop(*system.Context[Message]) {}

// watch has the service see what other processes change.
func watch(ctx context.Context, s *service, c clock.Clock) {
	var seen int64
	for clock.Sleep(ctx, c, watchEvery) == nil {
		generation, err := s.store.Generation(ctx)
		if err == nil && generation != seen {
			seen = generation
			s.refresh(ctx)
		}
	}
}

func keepHouse(ctx context.Context, s *service, c clock.Clock, p *system.Pump[Message]) error {
	for {
		gone, err := s.expire(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			p.Offer(happened{Unsaved{err}})
		case len(gone) > 0:
			p.Offer(happened{Expired{gone}})
		}
		if clock.Sleep(ctx, c, housekeeping) != nil {
			return nil
		}
	}
}

// serving is one life of the service.
type serving struct {
	cfg    Config
	log    *slog.Logger
	clock  clock.Clock
	first  bool // nothing has worked yet: a wrong address is the operator's
	opened []chan<- *service
	sample *mathrand.Rand
}

// run serves until ctx ends. Calls at hand are joined before it returns.
func (s *serving) run(ctx context.Context, p *system.Pump[Message]) error {
	store, err := Open(ctx, s.cfg.Dir)
	if err != nil {
		return config("open", err, errors.Is(err, ErrNoRegistry) || errors.Is(err, ErrNewer))
	}
	defer store.Close()
	if now, start := s.clock.Now(), store.Authority().Certificate.NotBefore; now.Before(start) {
		return config("start", fmt.Errorf("%w: this machine says %s, but its CA was made after %s; set the clock",
			registry.ErrClock, now.UTC().Format(time.RFC3339), start.Format(time.RFC3339)), true)
	}
	if s.cfg.Advertise != nil {
		// First, so that who finds the port open finds the address in the database.
		s.keep(ctx, store, *s.cfg.Advertise)
	}
	listener, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return config("listen", err, s.first)
	}
	defer listener.Close() // a second time where Serve has
	bound := listener.Addr().(*net.TCPAddr).AddrPort()
	advertise, err := s.advertise(ctx, store, bound)
	if err != nil {
		return config("advertise", err, true)
	}
	service, err := newService(ctx, store, rand.Reader, s.sample, s.clock.Now)
	if err != nil {
		return err
	}
	for _, opened := range s.opened {
		opened <- service
	}
	if err := p.Deliver(happened{Listening{bound, advertise, store.Authority().Network}}); err != nil {
		return nil
	}
	certificate := &serverCertificate{issuer: store.issuer, host: advertise.Host, now: s.clock.Now}
	server := newServer(service, s.cfg.Limits, s.log, report(p))
	bounded := &boundedListener{
		Listener: listener, total: s.cfg.Limits.Connections, perSource: s.cfg.Limits.PerSource, bySource: map[netip.Prefix]int{},
	}
	return serve(ctx, server, server.http(certificate.get), bounded)
}

// advertise is where nodes reach the service.
func (s *serving) advertise(ctx context.Context, store *Store, bound netip.AddrPort) (registry.HostPort, error) {
	if s.cfg.Advertise != nil {
		return *s.cfg.Advertise, nil
	}
	told, err := store.Advertise(ctx)
	if !errors.Is(err, ErrNoAdvertise) || bound.Addr().IsUnspecified() {
		return told, err
	}
	told = registry.HostPort{Host: bound.Addr().Unmap().WithZone("").String(), Port: bound.Port()}
	s.keep(ctx, store, told)
	return told, nil
}

// keep stores the address for later tokens; without it the service still works.
func (s *serving) keep(ctx context.Context, store *Store, h registry.HostPort) {
	if err := store.SetAdvertise(ctx, h); err != nil {
		s.log.Error("the address for join lines cannot be saved", "error", err)
	}
}

// serve runs the HTTP server until ctx ends, and joins its calls.
func serve(ctx context.Context, s *server, h *http.Server, l net.Listener) error {
	down := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(down)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if h.Shutdown(limit) != nil {
			h.Close()
		}
	})
	err := h.ServeTLS(l, "", "")
	if !cancel() {
		<-down
		err = nil
	}
	h.Close()
	s.calls.Done()
	s.calls.Wait()
	return err
}

// report sends events to the actor; of those that strangers can cause in any
// number, only as many as it can take.
func report(p *system.Pump[Message]) func(Event) {
	return func(e Event) {
		if _, flood := e.(Refused); flood {
			p.Offer(happened{e})
			return
		}
		if err := p.Deliver(happened{e}); err != nil {
			return // the actor ends, and with it the count
		}
	}
}

// config makes an error that only the operator can mend one that is not retried.
func config(op string, err error, operators bool) error {
	if !operators {
		return err
	}
	return &system.Fault{Op: op, Kind: system.BadConfig, Err: err}
}
