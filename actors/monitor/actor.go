package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"re6st/actors/monitor/web"
	"re6st/actors/system"
	"re6st/hw/fault"
	"re6st/hw/nodedir"
)

// Sources are the last snapshots of the actors. All are required. See the
// package's duties. They need not fill in a Header, nor
// Status.PID and Build.
type Sources struct {
	Status  func() Status
	Peers   func() []Peer
	Tunnels func() []Tunnel
	Routes  func() []Route
	Claims  func() []Claim
	Vitals  func() Vitals
}

// System is what the monitor needs of the actor system; *system.System has it.
type System interface {
	Actors() []system.Record
	Events() []system.Event
	Tallies() []system.Tally
	Subscribe(size int) *system.Subscription
	Inject(path string, how system.Injection) error
	InjectPump(path, pump string, how system.Injection, stall time.Duration) error
}

// Config is what the monitor serves, and where.
type Config struct {
	Dir           string  // of the node; it is locked
	ControlDir    string  // where the sockets lie, made if need be; "": ControlDir(Dir)
	ReadOnlyGroup int     // who may use the read-only socket, beside the owner; -1: the process's group
	System        System  // required
	Sources       Sources // required
	Build         Build   // zero: ReadBuild
	// Block has the node drop a carrier's traffic, or no more, and tells what is blocked. It
	// is called from several goroutines. nil: the call is refused.
	Block func(carrier string, off bool) ([]string, error)
	// Reload has the node read its configuration again and tells what changed. It is
	// called from several goroutines. nil: the call is refused.
	Reload func() ([]Change, error)
	// Renew gets the node another certificate, with new keys where wanted. It is called
	// from several goroutines, and takes as long as the registry does. nil: the call is
	// refused.
	Renew func(ctx context.Context, newKey bool) (Certificate, error)
	// Trace finds the way to a destination: it hands a Start and the Hops to each, until
	// the end, an error, or that of ctx. It is called from several goroutines. nil: the
	// call is refused.
	Trace func(ctx context.Context, q TraceQuery, each func(TraceLine)) (TraceEnd, error)
	// Explain tells why the routes to a prefix, or to those around it, are what they are.
	// It is called from several goroutines. nil: the call is refused.
	Explain func(ctx context.Context, dest netip.Prefix) ([]Destination, error)
	// Faults are the system calls to fail on purpose; nil: none can.
	Faults *fault.Table
	// Served is called by each incarnation once it takes calls, or cannot: who then says that
	// the node is at work is not asked in vain. nil: nobody needs to know.
	Served func()
}

// Limits of the sockets.
const (
	maxBody      = 4 << 10
	streamBuffer = 256 // events that a slow reader may be behind
)

// Message is what the monitor's actors take: nothing but what they tell themselves.
//
//sumtype:decl
type Message interface{ isMonitorMessage() }

// Spec makes the monitor's actor. A node lives without it: it is quarantined when
// it fails too often.
func Spec(cfg Config) system.Spec[Message] {
	if cfg.Build == (Build{}) {
		cfg.Build = ReadBuild()
	}
	if cfg.ControlDir == "" {
		cfg.ControlDir = ControlDir(cfg.Dir)
	}
	return system.Spec[Message]{
		Kind:     "monitor",
		New:      func() system.Handler[Message] { return &handler{cfg: cfg} },
		OnBudget: system.Quarantine,
	}
}

type handler struct {
	cfg  Config
	lock *lock
}

// Start takes the folder and serves both sockets. That another process has it is
// a fault of the configuration.
func (h *handler) Start(ctx *system.Context[Message]) error {
	if h.cfg.Served != nil {
		defer h.cfg.Served()
	}
	var err error
	if h.lock, err = takeLock(h.cfg.Dir); err != nil {
		if errors.Is(err, ErrInUse) {
			return &system.Fault{Op: "start", Kind: system.BadConfig, Err: err}
		}
		return err
	}
	at := h.cfg.ControlDir
	sockets, err := listenIn(at)
	if takesNothing(err) {
		refused := err
		at = SpareDir(h.cfg.Dir)
		if sockets, err = listenIn(at); err != nil {
			return fmt.Errorf("no place for the control sockets: %w; nor for now: %w", refused, err)
		}
		ctx.Event("sockets", fmt.Sprintf("the control sockets lie in %s: %v", at, refused))
	}
	if err != nil {
		return err
	}
	if err := giveTo(h.cfg.ReadOnlyGroup, filepath.Join(at, ReadOnlySocketName)); err != nil { // those of the process's own group can do with it
		ctx.Log().Warn("the read-only socket is not for its group: run the node as a member of that", "error", err)
	}
	h.serve(ctx, SocketName, sockets[0], true)
	h.serve(ctx, ReadOnlySocketName, sockets[1], false)
	return nil
}

// listenIn makes both sockets in a folder, which is made if need be; or none.
func listenIn(dir string) (sockets [2]net.Listener, err error) {
	if err := nodedir.Share(dir); err != nil {
		return sockets, err
	}
	if sockets[0], err = listen(filepath.Join(dir, SocketName), socketMode); err != nil {
		return sockets, err
	}
	if sockets[1], err = listen(filepath.Join(dir, ReadOnlySocketName), readOnlySocketMode); err != nil {
		return sockets, errors.Join(err, sockets[0].Close())
	}
	return sockets, nil
}

func (h *handler) serve(ctx *system.Context[Message], name string, l net.Listener, writable bool) {
	api, log := (&server{h.cfg, ctx.Clock(), writable}).handler(), ctx.Log()
	ctx.Pump(name, func(ctx context.Context, _ *system.Pump[Message]) error {
		return web.Serve(ctx, l, api, log)
	}, system.WithCloser(l))
}

// Handle has nothing to do.
func (h *handler) Handle(*system.Context[Message], Message) error { return nil }

// Stop lets the folder go; the pumps have removed their sockets.
func (h *handler) Stop(ctx *system.Context[Message]) {
	_ = os.Remove(SpareDir(h.cfg.Dir)) // most likely it is not there
	if h.lock != nil {
		if err := h.lock.Close(); err != nil {
			ctx.Log().Warn("release the lock", "error", err)
		}
	}
}
