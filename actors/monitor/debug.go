package monitor

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"re6st/actors/system"
	"re6st/hw/clock"
	"re6st/hw/fault"
)

// MaxStall is the longest that a pump may be stalled.
const MaxStall = time.Minute

// faults are the ways of FaultRequest.How.
var faults = map[string]system.Injection{
	"panic": system.InjectPanic,
	"error": system.InjectError,
	"pump":  system.InjectPumpPanic,
	"stall": system.InjectStall,
}

// errFaultsOff is why no system call can be made to fail.
var errFaultsOff = errors.New("system calls are not made to fail here; start the node with debug_faults = true in its configuration")

// fault has an actor, a pump or a system call fail.
func (s *server) fault(w http.ResponseWriter, r *http.Request) {
	var f FaultRequest
	if !s.mayBreak(w) || !body(w, r, &f) {
		return
	}
	inject := s.faultActor
	if f.Call != "" {
		inject = s.faultCall
	}
	if err := inject(f); err != nil {
		code := http.StatusBadRequest
		if errors.Is(err, system.ErrNoActor) || errors.Is(err, system.ErrNoPump) {
			code = http.StatusNotFound
		}
		refuse(w, code, err.Error())
		return
	}
	reply(w, http.StatusOK, FaultAnswer{s.header(), f})
}

// clear ends the faults of all system calls.
func (s *server) clear(w http.ResponseWriter, _ *http.Request) {
	if !s.mayBreak(w) {
		return
	}
	if s.cfg.Faults != nil {
		s.cfg.Faults.Clear()
	}
	reply(w, http.StatusOK, s.debug())
}

// jump has the wall clock of this process jump.
func (s *server) jump(w http.ResponseWriter, r *http.Request) {
	if !s.mayBreak(w) {
		return
	}
	var c ClockRequest
	if !body(w, r, &c) {
		return
	}
	clock.Jump(time.Duration(c.Shift) * time.Millisecond)
	reply(w, http.StatusOK, ClockAnswer{s.header(), c})
}

func (s *server) block(w http.ResponseWriter, r *http.Request) {
	if !s.mayBreak(w) {
		return
	}
	var b BlockRequest
	if !body(w, r, &b) {
		return
	}
	if s.cfg.Block == nil {
		refuse(w, http.StatusBadRequest, "this node has no carriers")
		return
	}
	blocked, err := s.cfg.Block(b.Carrier, b.Off)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, BlockAnswer{s.header(), list(blocked)})
}

// mayBreak refuses on the socket that is for reading.
func (s *server) mayBreak(w http.ResponseWriter) bool {
	if !s.writable {
		refuse(w, http.StatusForbidden, "this socket is read-only; faults are taken on "+SocketName)
	}
	return s.writable
}

func (s *server) faultActor(f FaultRequest) error {
	how, ok := faults[f.How]
	stall := time.Duration(f.For) * time.Millisecond
	switch {
	case !ok:
		return fmt.Errorf("how %q; it is panic, error, stall or pump", f.How)
	case f.Errno != "" || f.Count != 0:
		return errors.New("errno and count are for a system call")
	case how == system.InjectStall && (f.Pump == "" || stall <= 0 || stall > MaxStall):
		return fmt.Errorf("a stall needs a pump, and a time up to %v", MaxStall)
	case how != system.InjectStall && f.For != 0:
		return errors.New("only a stall has a time")
	case how == system.InjectPumpPanic && f.Pump != "":
		return errors.New("a named pump fails by panic, error or stall")
	case f.Pump != "":
		return s.cfg.System.InjectPump(f.Actor, f.Pump, how, stall)
	}
	return s.cfg.System.Inject(f.Actor, how)
}

func (s *server) faultCall(f FaultRequest) error {
	switch {
	case s.cfg.Faults == nil:
		return errFaultsOff
	case f.Actor != "" || f.How != "" || f.Pump != "":
		return errors.New("either an actor is to fail, or a system call")
	}
	errno, err := fault.ParseErrno(f.Errno)
	if err != nil {
		return err
	}
	return s.cfg.Faults.Fail(fault.Rule{
		Call: fault.Call(f.Call), Errno: errno, Count: f.Count, For: time.Duration(f.For) * time.Millisecond,
	})
}

// debug tells what can be made to fail.
func (s *server) debug() Debug {
	d := Debug{
		Header: s.header(), Goroutines: runtime.NumGoroutine(), Actors: []DebugActor{},
		Faults: s.cfg.Faults != nil, Calls: []DebugCall{},
	}
	for _, r := range s.cfg.System.Actors() {
		d.Actors = append(d.Actors, DebugActor{r.Path, r.Kind, r.State.String(), list(r.Pumps), r.Stuck})
	}
	if s.cfg.Faults == nil {
		return d
	}
	for _, c := range s.cfg.Faults.List() {
		call := DebugCall{Call: string(c.Call), What: c.What, Failed: c.Failed}
		if c.Armed() {
			call.Errno, call.Left, call.For = unix.ErrnoName(c.Errno), c.Left, c.For.Milliseconds()
		}
		d.Calls = append(d.Calls, call)
	}
	return d
}
