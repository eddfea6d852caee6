package process

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped is a new file of pages that are mapped and were read. Where it is changed, its first
// page differs from the file; then it is no longer to be written to.
func mapped(t *testing.T, pages int, changed bool) (name string, view []byte) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, bytes.Repeat([]byte{1}, pages*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	view, err = unix.Mmap(int(f.Fd()), 0, pages*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(view) })
	if changed {
		view[0] = 2
	}
	if err := unix.Mprotect(view, unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(view, []byte{1}); n < len(view)-1 {
		t.Fatalf("the file was not read: %d of %d bytes", n, len(view))
	}
	return name, view
}

// resident is how many pages of a mapping the process has itself (proc_pid_pagemap(5)).
func resident(t *testing.T, view []byte) (pages int) {
	t.Helper()
	const entry, present = 8, 1 << 7 // bytes; a bit of the last of these
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries := make([]byte, len(view)/os.Getpagesize()*entry)
	at := int64(uintptr(unsafe.Pointer(&view[0]))) / int64(os.Getpagesize()) * entry
	if _, err := f.ReadAt(entries, at); err != nil {
		t.Fatal(err)
	}
	for ; len(entries) > 0; entries = entries[entry:] {
		if entries[entry-1]&present != 0 {
			pages++
		}
	}
	return pages
}

func TestTheCleanPagesOfAFileAreReleased(t *testing.T) {
	const pages = 64
	name, view := mapped(t, pages, false)
	if n := resident(t, view); n == 0 {
		t.Fatalf("none of %d pages is there at first", pages)
	}
	if err := release(name); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, view); n != 0 {
		t.Errorf("%d of %d pages are still there", n, pages)
	}
	if n := bytes.Count(view, []byte{1}); n != len(view) {
		t.Errorf("%d of %d bytes are the file's", n, len(view))
	}
}

func TestPagesThatDifferFromTheFileStay(t *testing.T) {
	name, view := mapped(t, 4, true)
	if err := release(name); err != nil {
		t.Fatal(err)
	}
	if view[0] != 2 {
		t.Error("what was written is lost")
	}
}

func TestTheProcessOutlivesTheReleaseOfItsImage(t *testing.T) {
	for range 3 {
		if err := ReleaseImage(); err != nil {
			t.Fatal(err)
		}
	}
}
