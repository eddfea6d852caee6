package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
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

// WatchdogInterval is how long the service manager waits for a "WATCHDOG=1" before it
// ends this process (sd_watchdog_enabled(3)); 0 where it does not watch.
func WatchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 || us > int64(maxWatchdog/time.Microsecond) {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// maxWatchdog is the longest interval that is believed.
const maxWatchdog = 24 * time.Hour
