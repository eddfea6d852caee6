package fault

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Call names one sort of system call.
type Call string

// The calls that can fail.
const (
	SockSend       Call = "sock.send"
	SockReceive    Call = "sock.receive"
	TUNRead        Call = "tun.read"
	TUNWrite       Call = "tun.write"
	NetlinkLink    Call = "netlink.link"
	NetlinkAddress Call = "netlink.address"
	NetlinkRoute   Call = "netlink.route"
	NetlinkWatch   Call = "netlink.watch"
	NodedirRead    Call = "nodedir.read"
	NodedirWrite   Call = "nodedir.write"
)

// description is what a call is, for people.
type description struct {
	call Call
	what string
}

// calls lists all of them.
var calls = []description{
	{SockSend, "send a datagram on the underlay"},
	{SockReceive, "receive a datagram from the underlay"},
	{TUNRead, "take a packet from the kernel"},
	{TUNWrite, "give a packet to the kernel"},
	{NetlinkLink, "look up or change an interface"},
	{NetlinkAddress, "list or change addresses"},
	{NetlinkRoute, "list or change routes"},
	{NetlinkWatch, "hear of changes of interfaces and addresses"},
	{NodedirRead, "read a file of the node's folder"},
	{NodedirWrite, "write a file of the node's folder"},
}

// Limits of a Rule.
const (
	MaxCount = 1_000_000
	MaxFor   = 10 * time.Minute
)

// Errors of Fail and ParseErrno.
var (
	ErrCall  = errors.New("no such call")
	ErrErrno = errors.New("no such error of the kernel")
	ErrRule  = errors.New("a rule without end")
)

// Rule says how a call fails. Count or For must be there; where both are, what comes
// first ends it.
type Rule struct {
	Call  Call
	Errno syscall.Errno
	Count uint64        // so many calls, at most MaxCount; 0: any number
	For   time.Duration // from now on, at most MaxFor; 0: until Count is spent
}

// Injected is the error of a call that failed on purpose.
type Injected struct {
	Call  Call
	Errno syscall.Errno
}

func (e *Injected) Error() string { return fmt.Sprintf("%s: injected: %v", e.Call, e.Errno) }

// Unwrap is the errno, for errors.Is.
func (e *Injected) Unwrap() error { return e.Errno }

// Timeout and Temporary are those of the errno, as of a real error of the net package.
func (e *Injected) Timeout() bool { return e.Errno.Timeout() }

// Temporary is deprecated in net, and still asked by some.
func (e *Injected) Temporary() bool { return e.Errno.Temporary() }

// Table is the rules in force. Its methods may be called from any goroutine, and
// Check on a nil Table.
type Table struct {
	now   func() time.Time
	cells map[Call]*cell // of all calls; the map is never changed
}

// cell is what becomes of one call. No rule: nil.
type cell struct {
	rule   atomic.Pointer[rule]
	failed atomic.Uint64
}

// rule is a Rule in force.
type rule struct {
	Rule
	until time.Time    // zero: no end
	left  atomic.Int64 // of Count
}

// New makes a table without rules; now is the clock.
func New(now func() time.Time) *Table {
	t := &Table{now: now, cells: make(map[Call]*cell, len(calls))}
	for _, c := range calls {
		t.cells[c.call] = &cell{}
	}
	return t
}

// Check is called in place of a system call: with an error the call has failed.
func (t *Table) Check(c Call) error {
	if t == nil {
		return nil
	}
	return t.check(c)
}

func (t *Table) check(c Call) error {
	cell := t.cells[c]
	r := cell.rule.Load()
	switch {
	case r == nil:
		return nil
	case !r.until.IsZero() && !t.now().Before(r.until), r.Count > 0 && r.left.Add(-1) < 0:
		cell.rule.CompareAndSwap(r, nil)
		return nil
	}
	cell.failed.Add(1)
	return &Injected{c, r.Errno}
}

// Fail puts a rule in force, in place of the one that its call had. The errors are
// ErrCall, ErrErrno and ErrRule, wrapped.
func (t *Table) Fail(r Rule) error {
	cell := t.cells[r.Call]
	switch {
	case cell == nil:
		return fmt.Errorf("%w: %q", ErrCall, r.Call)
	case unix.ErrnoName(r.Errno) == "":
		return fmt.Errorf("%w: %d", ErrErrno, int(r.Errno))
	case r.Count == 0 && r.For == 0:
		return fmt.Errorf("%w: say how often, or how long", ErrRule)
	case r.Count > MaxCount, r.For < 0, r.For > MaxFor:
		return fmt.Errorf("%w: at most %d times and %v", ErrRule, MaxCount, MaxFor)
	}
	in := &rule{Rule: r}
	in.left.Store(int64(r.Count))
	if r.For > 0 {
		in.until = t.now().Add(r.For)
	}
	cell.rule.Store(in)
	return nil
}

// Clear takes all rules away.
func (t *Table) Clear() {
	for _, cell := range t.cells {
		cell.rule.Store(nil)
	}
}

// State is a call that can fail, and the rule that it has.
type State struct {
	Call   Call
	What   string // for people
	Failed uint64 // so far, on purpose
	Errno  syscall.Errno
	Left   uint64        // calls yet to fail; 0: no such limit, or no rule
	For    time.Duration // left; 0: no such limit, or no rule
}

// Armed tells whether the call fails now.
func (s State) Armed() bool { return s.Errno != 0 }

// List returns all calls, in the order of the path of packets.
func (t *Table) List() []State {
	all := make([]State, 0, len(calls))
	for _, c := range calls {
		cell := t.cells[c.call]
		s := State{Call: c.call, What: c.what, Failed: cell.failed.Load()}
		if r := cell.rule.Load(); r != nil {
			left, rest := max(0, r.left.Load()), time.Duration(0)
			if !r.until.IsZero() {
				rest = max(0, r.until.Sub(t.now()))
			}
			if left > 0 || rest > 0 {
				s.Errno, s.Left, s.For = r.Errno, uint64(left), rest
			}
		}
		all = append(all, s)
	}
	return all
}

// IsCall tells whether a name is that of a call.
func IsCall(name string) bool {
	return slices.ContainsFunc(calls, func(d description) bool { return string(d.call) == name })
}

// maxErrno is the last errno of Linux (asm-generic/errno.h).
const maxErrno = 133

// ParseErrno finds the errno of a name such as ENOBUFS. The error is ErrErrno, wrapped.
func ParseErrno(name string) (syscall.Errno, error) {
	for e := syscall.Errno(1); e <= maxErrno; e++ {
		if name != "" && unix.ErrnoName(e) == name {
			return e, nil
		}
	}
	return 0, fmt.Errorf("%w: %q; write one such as ENOBUFS, EPERM or EIO", ErrErrno, name)
}
