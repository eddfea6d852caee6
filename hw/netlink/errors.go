package netlink

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart; each comes wrapped with what was being done.
var (
	// ErrForeign: a route of another protocol has the same destination, source and
	// metric. It was left as it is; choose another metric or table.
	ErrForeign = errors.New("netlink: a route of another protocol is in this place")
	// ErrNoLink: no link with that name or index in this namespace.
	ErrNoLink = errors.New("netlink: no such link")
	// ErrRoute: the route cannot be expressed in the kernel's table.
	ErrRoute = errors.New("netlink: invalid route")
	// ErrClaimed: another process of this namespace manages routes under that number.
	ErrClaimed = errors.New("netlink: another process uses this route protocol number")
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
