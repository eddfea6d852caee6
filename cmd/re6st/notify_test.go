package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// The unit of the registry is of type notify: without this systemd would kill it.
func TestTheRegistryTellsTheServiceManagerThatItServes(t *testing.T) {
	dir := t.TempDir()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", manager.LocalAddr().String())
	run := func(ctx context.Context, args ...string) error {
		root := rootCommand()
		root.SetArgs(append([]string{"registry"}, args...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		return root.ExecuteContext(ctx)
	}
	reg := filepath.Join(dir, "reg")
	if err := run(t.Context(), "init", "-d", reg, "--network", "2001:db8:42::/48"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "serve", "-d", reg, "--listen", "[::1]:0") }()
	b := make([]byte, 64)
	for _, want := range []string{readyState, stoppingState} {
		n, err := manager.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("told %q, %v; want %q", b[:n], err, want)
		}
		stop()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
