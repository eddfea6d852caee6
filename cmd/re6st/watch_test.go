package main

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
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

func TestWatchGoesOnWhereTheNodeEndsWhileItIsAsked(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "node.sock")
	node, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	done := make(chan error, 1)
	root := rootCommand()
	root.SetArgs([]string{"status", "--watch=100ms", "--json", "--socket", socket})
	go func() {
		done <- root.ExecuteContext(ctx)
		node.Close()
	}()
	for _, answer := range []string{"HTTP/1.0 200 OK\r\n\r\n{}", "", "HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{", ""} {
		asked, err := node.Accept()
		if err != nil {
			t.Fatalf("the watch ended: %v", <-done)
		}
		_, asking := http.ReadRequest(bufio.NewReader(asked))
		_, answering := asked.Write([]byte(answer))
		if err := errors.Join(asking, answering, asked.Close()); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
