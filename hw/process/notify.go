package process

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// ErrNotify is wrapped by every error of Notify.
var ErrNotify = errors.New("cannot notify the service manager")

// Notify tells the service manager the state of this process, such as
// "READY=1" or "STOPPING=1" (sd_notify(3)). Without a NOTIFY_SOCKET in the
// environment nobody asked, and nothing is sent.
func Notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotify, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotify, err)
	}
	return nil
}
