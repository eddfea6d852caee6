package terminal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty is a pseudo terminal of a size; what is written to slave comes out of master.
func pty(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// shows checks the next bytes of a terminal, which may hand over one write in parts.
func shows(t *testing.T, master *os.File, want string) {
	t.Helper()
	raw := strings.ReplaceAll(want, "\r\n", "\r\r\n") // the terminal's onlcr
	b := make([]byte, len(raw))
	if n, err := io.ReadFull(master, b); err != nil {
		t.Fatalf("%q, then %v", b[:n], err)
	}
	if string(b) != raw {
		t.Errorf("%q, want %q", b, raw)
	}
}

func TestATerminalsFrameFitsItsWindow(t *testing.T) {
	master, slave := pty(t, 10, 4)
	s := NewScreen(slave)
	if err := s.Draw([]byte("one\n0123456789abc\nünïcödé lïne\nfour\nfive\n")); err != nil {
		t.Fatal(err)
	}
	shows(t, master, "\x1b[?25l\x1b[Hone\x1b[K\r\n012345678\x1b[K\r\n... 3 mor\x1b[K\r\n\x1b[J")
	if err := s.Draw([]byte("one\nünïcödé lïne\n")); err != nil {
		t.Fatal(err)
	}
	shows(t, master, "\x1b[?25l\x1b[Hone\x1b[K\r\nünïcödé l\x1b[K\r\n\x1b[J")
	if err := s.Note("gone"); err != nil {
		t.Fatal(err)
	}
	shows(t, master, "\x1b[?25l\x1b[Hgone\x1b[K\r\n\x1b[K\r\n... 2 mor\x1b[K\r\n\x1b[J")
	s.Close()
	shows(t, master, showCursor)
}

func TestAFileGetsFramesAsTheyAre(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := NewScreen(f)
	for range 2 {
		if err := s.Draw([]byte("a long line\n")); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	got, err := os.ReadFile(f.Name())
	if err != nil || string(got) != "a long line\n\na long line\n" {
		t.Errorf("%q, %v", got, err)
	}
}
