package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
)

func TestWatchThatIsInterruptedBeforeTheFirstAnswerIsNoError(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "node.sock")
	busy, err := net.Listen("unix", socket) // which answers nobody
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan error, 1)
	root := rootCommand()
	root.SetArgs([]string{"status", "--watch", "--socket", socket})
	go func() { done <- root.ExecuteContext(ctx) }()
	asked, err := busy.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	interrupt()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
