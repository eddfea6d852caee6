package node

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"re6st/hw/nodedir"
)

func TestAProblemOfTheDiskIsToldOnceAndItsEndToo(t *testing.T) {
	dir, err := nodedir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	block := dir.Path("peers.json")
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := storePeers(dir, nil); err == nil {
		t.Fatal("written over a folder")
	}
	ctx, stop := context.WithCancel(t.Context())
	told, ended := make(chan error, 9), make(chan error)
	go func() {
		ended <- watchDisk(ctx, dir, dir.Retry, time.Millisecond, func(problem error) { told <- problem })
	}()
	if problem := <-told; problem == nil {
		t.Error("no problem told")
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	if problem := <-told; problem != nil {
		t.Errorf("told %v, want the end of the problem", problem)
	}
	if !dir.Has("peers.json") {
		t.Error("the peers were not written again")
	}
	stop()
	if err := errors.Join(<-ended); err != nil || len(told) > 0 {
		t.Errorf("ended with %v, told %d times more", err, len(told))
	}
}
