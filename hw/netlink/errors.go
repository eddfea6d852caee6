package netlink

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that callers tell apart; each comes wrapped with what was being done.
var (
	// ErrForeign: a route of another protocol has the same destination, source and
	// metric. It was left as it is; choose another metric or table.
	ErrForeign = errors.New("netlink: a route of another protocol is in this place")
	// ErrNoLink: no link with that name or index in this namespace.
	ErrNoLink = errors.New("netlink: no such link")
	// ErrNotOnLink: the address is behind a router, or nothing leads there.
	ErrNotOnLink = errors.New("netlink: not on a link of this machine")
	// ErrLinkDown: the link is there and does not run.
	ErrLinkDown = errors.New("netlink: the link is down")
	// ErrOwnAddress: the address is one of this machine.
	ErrOwnAddress = errors.New("netlink: an address of this machine itself")
	// ErrRoute: the route cannot be expressed in the kernel's table.
	ErrRoute = errors.New("netlink: invalid route")
	// ErrClaimed: another process of this namespace manages routes under that number.
	ErrClaimed = errors.New("netlink: another process uses this route protocol number")
	// ErrUnanswered: the kernel's answer was lost, and what was asked for may be done or
	// not. The next Reconcile finds out.
	ErrUnanswered = errors.New("netlink: the kernel's answer was lost")
	// ErrNoRoom: the kernel takes no more routes.
	ErrNoRoom = errors.New("netlink: the kernel has no room for more routes; raise net.ipv6.route.max_size with sysctl, or give the machine more memory")
	// ErrBySource: the kernel refused a route that has a source.
	ErrBySource = errors.New("netlink: no route by source; re6st doctor tells whether this kernel has them (CONFIG_IPV6_SUBTREES)")
	// ErrMessage: the kernel sent what we cannot decode.
	ErrMessage = errors.New("netlink: malformed message")
)

// RouteError says which route failed and at what.
type RouteError struct {
	Op    string // set or remove
	Route Route
	Err   error
}

func (e *RouteError) Error() string {
	return fmt.Sprintf("netlink: cannot %s route %v: %v", e.Op, e.Route, e.Err)
}

// Unwrap gives the cause, for errors.Is.
func (e *RouteError) Unwrap() error { return e.Err }

// written is how many of many errors are written out.
const written = 8

// Failures are the errors of several routes. Error names the first, and counts the rest.
type Failures []error

func (f Failures) Error() string {
	var lines []string
	for _, err := range f[:min(len(f), written)] {
		lines = append(lines, err.Error())
	}
	if more := len(f) - written; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives all of them, for errors.Is and errors.As.
func (f Failures) Unwrap() []error { return f }

// failures are those of errs that are any; nil where there is none.
func failures(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return Failures(errs)
}
