package process_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"re6st/hw/process"
)

func TestNotifyReachesTheServiceManager(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	if err := process.Notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := manager.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

func TestNotifyWithoutAManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := process.Notify("READY=1"); err != nil {
		t.Errorf("nobody asked: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	if err := process.Notify("READY=1"); !errors.Is(err, process.ErrNotify) {
		t.Errorf("a manager that is gone: %v", err)
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		pid, usec string
		want      time.Duration
	}{
		{"", "", 0},
		{"", "30000000", 30 * time.Second},
		{strconv.Itoa(os.Getpid()), "500000", 500 * time.Millisecond},
		{"1", "30000000", 0}, // another process is watched
		{"", "soon", 0},
		{"", "-1", 0},
		{"", "9223372036854775807", 0},
	} {
		t.Setenv("WATCHDOG_PID", c.pid)
		t.Setenv("WATCHDOG_USEC", c.usec)
		if got := process.WatchdogInterval(); got != c.want {
			t.Errorf("WATCHDOG_PID %q, WATCHDOG_USEC %q: %v, want %v", c.pid, c.usec, got, c.want)
		}
	}
}
