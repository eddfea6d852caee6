package netlink

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Claim reserves a protocol number for this process in its network namespace, until it
// is closed or the process ends: two that manage routes under one number would remove
// each other's. It fails with ErrClaimed where another has it.
func Claim(protocol uint8) (io.Closer, error) {
	// An abstract name lives in the network namespace, and ends with its socket.
	name := fmt.Sprintf("@re6st-route-protocol-%d", protocol)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("netlink: claim protocol number %d: %w", protocol, err)
	}
	held := os.NewFile(uintptr(fd), name)
	switch err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); {
	case err == nil:
		return held, nil
	case errors.Is(err, unix.EADDRINUSE):
		err = fmt.Errorf("%w: %d", ErrClaimed, protocol)
		return nil, errors.Join(err, held.Close())
	default:
		return nil, errors.Join(fmt.Errorf("netlink: claim protocol number %d: %w", protocol, err), held.Close())
	}
}
