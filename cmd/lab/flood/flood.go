package flood

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The kinds of floods.
const (
	Garbage   = "garbage"
	Handshake = "handshake"
	Join      = "join"
	Routes    = "routes"
)

// Kinds lists them.
var Kinds = []string{Garbage, Handshake, Join, Routes}

// ErrTarget is a target outside of a lab.
var ErrTarget = errors.New("floods are for the addresses of a lab's underlay, in its namespaces")

// Spec says what to do to whom.
type Spec struct {
	Kind   string
	Target netip.AddrPort
	// Dir is a node's folder: of it the CA's certificate is read, and for Routes all of
	// its identity.
	Dir     string
	Sources netip.Prefix // whence: as many addresses of it as maxSources; of this namespace
	Rate    int          // datagrams, calls or updates a second
	For     time.Duration
}

// Result is what was done.
type Result struct {
	Sent     uint64  `json:"sent"`     // datagrams, calls, updates
	Answered uint64  `json:"answered"` // of them, those that were answered
	CPU      float64 `json:"cpu_s"`    // of this process
	For      float64 `json:"for_s"`
}

// Limits of a flood.
const (
	maxSources = 256
	tick       = 2 * time.Millisecond // between two bursts
)

// Check refuses what is not to be flooded: within are a lab's ranges.
func (s Spec) Check(within ...netip.Prefix) error {
	if !slices.ContainsFunc(within, func(p netip.Prefix) bool { return p.Contains(s.Target.Addr()) }) {
		return fmt.Errorf("%w: not %s", ErrTarget, s.Target)
	}
	if !slices.Contains(Kinds, s.Kind) {
		return fmt.Errorf("flood %q; it is one of %v", s.Kind, Kinds)
	}
	return nil
}

// flooder counts what it does.
type flooder struct {
	Spec
	sent, answered atomic.Uint64
}

// Run floods until the time is over, or ctx.
func Run(ctx context.Context, s Spec) (Result, error) {
	f := &flooder{Spec: s}
	began := time.Now()
	ctx, stop := context.WithTimeout(ctx, s.For)
	defer stop()
	err := map[string]func(context.Context) error{
		Garbage: f.garbage, Handshake: f.handshake, Join: f.join, Routes: f.routes,
	}[s.Kind](ctx)
	var use unix.Rusage
	if e := unix.Getrusage(unix.RUSAGE_SELF, &use); e != nil {
		err = errors.Join(err, e)
	}
	cpu := time.Duration(use.Utime.Nano() + use.Stime.Nano())
	return Result{f.sent.Load(), f.answered.Load(), cpu.Seconds(), time.Since(began).Seconds()}, err
}

// pace calls each so often that it is Rate times a second, in bursts.
func (f *flooder) pace(ctx context.Context, each func(i int)) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	began, done := time.Now(), 0
	for {
		for due := int(time.Since(began).Seconds() * float64(f.Rate)); done < due; done++ {
			each(done)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sources are the addresses to flood from.
func (f *flooder) sources() (all []netip.Addr) {
	for a := f.Sources.Addr().Next(); f.Sources.Contains(a) && len(all) < maxSources; a = a.Next() {
		all = append(all, a)
	}
	return all
}
