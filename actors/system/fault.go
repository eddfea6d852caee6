package system

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
)

// Errors of Spawn and Inject.
var (
	ErrName     = errors.New("an actor's name is one path element: not empty, without '/'")
	ErrExists   = errors.New("an actor of this path is alive")
	ErrStopping = errors.New("the parent is stopping")
	ErrNoActor  = errors.New("no actor of this path is alive")
)

// Kind says what a supervisor may do about a Fault.
type Kind uint8

const (
	Transient Kind = iota // the world failed (a peer, a socket, the kernel): restart with backoff
	BadConfig             // the operator must act: no restart; stop and report
	Bug                   // our code failed: restart with backoff, for a panic may be rare
)

func (k Kind) String() string { return [...]string{"transient", "config", "bug"}[k] }

// Fault is why an actor failed. A handler or pump returns one to choose the Kind; any other error is
// taken as Transient, a panic as Bug.
type Fault struct {
	Op    string // what was being done: "start", "handle tunnel.Opened", "pump reader"
	Kind  Kind
	Err   error
	Stack []byte // where it panicked; nil for an error
}

func (f *Fault) Error() string { return f.Op + ": " + f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// classify makes a Fault of what a handler or pump returned; op is used where err names none.
func classify(op string, err error) *Fault {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return &Fault{Op: op, Kind: Transient, Err: err}
	}
	return &Fault{Op: cmp.Or(f.Op, op), Kind: f.Kind, Err: f.Err, Stack: f.Stack}
}

// attempt calls f and turns a panic of it into a Bug.
func attempt(f func() error) (err error) {
	defer rescue(&err)
	return f()
}

// rescue, deferred, turns a panic into a Bug without an Op.
func rescue(err *error) {
	if r := recover(); r != nil {
		*err = panicked(r)
	}
}

func panicked(r any) *Fault {
	err, ok := r.(error)
	if !ok {
		err = fmt.Errorf("%v", r)
	}
	return &Fault{Kind: Bug, Err: fmt.Errorf("panic: %w", err), Stack: debug.Stack()}
}
