package nodedir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
	"re6st/hw/nodedir"
)

// small is a folder on a disk of its own, of 128 KiB.
func small(t *testing.T) nodedir.Dir {
	t.Helper()
	path := t.TempDir()
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("a disk of its own takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d, err := nodedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill leaves no byte, and returns what makes place again.
func fill(t *testing.T, d nodedir.Dir) (free func()) {
	t.Helper()
	path := d.Path("ballast")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func wants(t *testing.T, d nodedir.Dir, name, content string) {
	t.Helper()
	if got, err := d.Read(name); err != nil || string(got) != content {
		t.Errorf("%s holds %.20q, %v; want %.20q", name, got, err, content)
	}
}

func TestWhatAFullDiskDoesNotTakeIsWrittenLater(t *testing.T) {
	d := small(t)
	old, newer := "old", strings.Repeat("newer", 10)
	if err := d.Keep("peers", []byte(old), nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if err := d.Problem(); err != nil {
		t.Errorf("a problem without one: %v", err)
	}
	free := fill(t, d)
	if err := d.Keep("peers", []byte("lost"), nodedir.Public); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("written to a full disk: %v", err)
	}
	if err := d.Keep("peers", []byte(newer), nodedir.Public); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("written to a full disk: %v", err)
	}
	if err := d.Problem(); !errors.Is(err, nodedir.ErrFull) || !strings.Contains(err.Error(), filepath.Dir(d.Path("peers"))) {
		t.Errorf("the problem is %v", err)
	}
	if err := d.Retry(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("retried with %v", err)
	}
	wants(t, d, "peers", old)
	free()
	if err := d.Retry(); err != nil {
		t.Error(err)
	}
	wants(t, d, "peers", newer)
	if err := d.Problem(); err != nil {
		t.Errorf("there is place again, and still: %v", err)
	}
}

func TestAReadOnlyDiskIsToldApart(t *testing.T) {
	d := small(t)
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", d.Path(""), "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	if err := d.Keep("peers", []byte("x"), nodedir.Public); !errors.Is(err, unix.EROFS) {
		t.Errorf("written: %v", err)
	}
	if err := d.Problem(); !errors.Is(err, nodedir.ErrReadOnly) {
		t.Errorf("the problem is %v", err)
	}
	remount(0)
	if err := d.Retry(); err != nil {
		t.Error(err)
	}
	wants(t, d, "peers", "x")
}

// A file whose writing is not repeated stays a problem until somebody writes it.
func TestAFileThatWasNotWrittenIsAProblemUntilItIs(t *testing.T) {
	d := create(t)
	if err := os.Mkdir(d.Path("cert"), 0o700); err != nil { // cannot be replaced by a file
		t.Fatal(err)
	}
	if err := d.Write("cert", []byte("x"), nodedir.Public); err == nil {
		t.Fatal("written over a folder")
	}
	if err := d.Problem(); err == nil || !strings.Contains(err.Error(), "cert") {
		t.Errorf("the problem is %v", err)
	}
	if err := os.Remove(d.Path("cert")); err != nil {
		t.Fatal(err)
	}
	if err := d.Retry(); err != nil || d.Has("cert") {
		t.Errorf("written again by itself, %v", err)
	}
	if err := d.Write("cert", []byte("x"), nodedir.Public); err != nil {
		t.Fatal(err)
	}
	if err := d.Problem(); err != nil {
		t.Error(err)
	}
}

// failing is a folder of which the next write fails.
func failing(t *testing.T) nodedir.Dir {
	t.Helper()
	faults := fault.New(time.Now)
	if err := faults.Fail(fault.Rule{Call: fault.NodedirWrite, Errno: unix.ENOSPC, Count: 1}); err != nil {
		t.Fatal(err)
	}
	return create(t).WithFaults(faults)
}

func TestWhatIsWrittenMeanwhileIsNotReplacedByWhatWasKept(t *testing.T) {
	for range 50 {
		d := failing(t)
		if err := d.Keep("peers", []byte("old"), nodedir.Public); err == nil {
			t.Fatal("it does not fail")
		}
		var both sync.WaitGroup
		both.Go(func() {
			if err := d.Retry(); err != nil {
				t.Error(err)
			}
		})
		if err := d.Keep("peers", []byte("new"), nodedir.Public); err != nil {
			t.Error(err)
		}
		both.Wait()
		wants(t, d, "peers", "new")
	}
}

func TestWhatWasKeptGoesWithItsFile(t *testing.T) {
	d := failing(t)
	if err := d.Keep("peers", []byte("x"), nodedir.Public); err == nil {
		t.Fatal("it does not fail")
	}
	for _, err := range []error{d.Remove("peers"), d.Problem(), d.Retry()} {
		if err != nil {
			t.Error(err)
		}
	}
	if d.Has("peers") {
		t.Error("it is there again")
	}
}
