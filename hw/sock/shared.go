package sock

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"re6st/protocols/limit"
)

// MaxShared is how many sockets have one port at most: each has a reader, and memory for it.
const MaxShared = 16

// ErrShared is what ListenShared returns, wrapped, for a number of sockets that is not to be had.
var ErrShared = errors.New("bad number of sockets")

// Limits are those of sockets, for `re6st limits`.
func Limits() []limit.Limit {
	return []limit.Limit{
		{Name: "sockets of the UDP port", Value: MaxShared, Unit: "sockets", Per: "node", Beyond: "refused", Test: "TestSocketsOfAPortAreBounded"},
	}
}

// ListenShared opens so many sockets of one port, 1 to MaxShared. It fails with ErrShared, and
// as Listen does: with EADDRINUSE where any other program has the port.
func ListenShared(c Config, count int) (all []*UDP, err error) {
	if count < 1 || count > MaxShared {
		return nil, fmt.Errorf("sock: %w: %d; want 1 to %d", ErrShared, count, MaxShared)
	}
	first, err := Listen(c)
	if err != nil {
		return nil, err
	}
	if all = append(all, first); count == 1 {
		return all, nil
	}
	defer func() {
		if err != nil {
			for _, u := range all {
				err = errors.Join(err, u.Close())
			}
			all = nil
		}
	}()
	if err := share(first.raw); err != nil {
		return all, fmt.Errorf("sock: share %s: %w", first.local, err)
	}
	c.Addr = netip.AddrPortFrom(c.Addr.Addr(), first.local.Port())
	c.shared = true
	for len(all) < count {
		u, err := Listen(c)
		if err != nil {
			return all, fmt.Errorf("%w; this was for one of %d sockets", err, count)
		}
		all = append(all, u)
	}
	return slices.Clip(all), nil
}

// share lets others of the same user bind the port of a socket that is bound already.
func share(raw syscall.RawConn) (err error) {
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}
