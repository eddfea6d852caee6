package sock

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Mark is a net.Dialer's Control that puts a mark (SO_MARK) on all that the
// connection sends, such as the one to the registry. It needs CAP_NET_ADMIN.
func Mark(mark uint32) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("sock: set SO_MARK to %#x: %w", mark, err)
		}
		return nil
	}
}
