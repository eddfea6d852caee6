package registry

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers tell apart with errors.Is. Those that have a Code cross the
// wire: the client gets the one that the registry had.
var (
	ErrJoinLine = errors.New("not a join line")
	ErrParams   = errors.New("bad network parameters")
	ErrEndpoint = errors.New("unusable endpoint")
	ErrLength   = errors.New("prefix length out of range")

	ErrTokenUnknown = errors.New("unknown token")
	ErrTokenExpired = errors.New("expired token")
	ErrTokenUsed    = errors.New("token already used")
	ErrFull         = errors.New("no free prefix left")
	ErrClock        = errors.New("clocks disagree")
	ErrRateLimited  = errors.New("too many requests")
	ErrRequest      = errors.New("bad request")
	ErrRevoked      = errors.New("certificate revoked")
	ErrNotMember    = errors.New("not a member of this network")
	ErrUnavailable  = errors.New("registry cannot write to its database")
	ErrInternal     = errors.New("internal error of the registry")
)

// Code names an error on the wire. Codes are never changed or reused.
type Code string

// codes says, for each error that crosses the wire, its code, the HTTP status
// (RFC 9110 section 15) and what the person at the other end can do.
var codes = []struct {
	err    error
	code   Code
	status int
	hint   string
}{
	{ErrTokenUnknown, "token_unknown", 403, "copy the whole join line again, or ask the operator for a new one"},
	{ErrTokenExpired, "token_expired", 403, "ask the operator for a new join line"},
	{ErrTokenUsed, "token_used", 403, "a token is for one node; ask the operator for a new join line"},
	{ErrFull, "full", 507, "the operator has to free prefixes, or hand out longer ones (token --prefix-length)"},
	{ErrClock, "clock", 409, "set the clock of the machine that is wrong; join --no-clock is for a device without one"},
	{ErrRateLimited, "rate_limited", 429, "wait and try again"},
	{ErrRequest, "bad_request", 400, "use the same version of re6st on both sides"},
	{ErrNotMember, "not_a_member", 401, "join the network again"},
	{ErrRevoked, "revoked", 403, "this node is out of the network for good; the operator can let the machine in again with a new join line (join --force)"},
	{ErrUnavailable, "unavailable", 503, "the operator has to look at the registry's disk; try again later"},
	{ErrInternal, "internal", 500, "the operator has to look at the registry's log"},
}

// Error is an error as it crosses the wire. It is the sentinel of its code, for
// errors.Is.
type Error struct {
	Code   Code      `json:"error"`
	Detail string    `json:"detail"`
	Hint   string    `json:"hint"`
	Time   time.Time `json:"time"` // the registry's clock
}

// NewError makes what is sent for err at now, and the HTTP status. An error
// without a code is ErrInternal, and its text stays here.
func NewError(err error, now time.Time) (*Error, int) {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return &Error{c.code, err.Error(), c.hint, now.UTC()}, c.status
		}
	}
	return NewError(ErrInternal, now)
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return "registry: " + e.Detail
	}
	return fmt.Sprintf("registry: %s (%s)", e.Detail, e.Hint)
}

// Unwrap is the sentinel of the code, nil for a code of a later version.
func (e *Error) Unwrap() error {
	for _, c := range codes {
		if c.code == e.Code {
			return c.err
		}
	}
	return nil
}
