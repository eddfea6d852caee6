package fault

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestARuleFailsSoManyCalls(t *testing.T) {
	table := New(time.Now)
	if err := table.Fail(Rule{Call: SockSend, Errno: unix.ENOBUFS, Count: 2}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		err := table.Check(SockSend)
		if failed := errors.Is(err, unix.ENOBUFS); failed != (i < 2) {
			t.Errorf("call %d: %v", i, err)
		}
		if err := table.Check(SockReceive); err != nil {
			t.Errorf("another call: %v", err)
		}
	}
	if s := table.List()[0]; s.Call != SockSend || s.Failed != 2 || s.Armed() {
		t.Errorf("in the list: %+v", s)
	}
}

func TestARuleFailsForAWhile(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	table := New(func() time.Time { return now })
	if err := table.Fail(Rule{Call: TUNWrite, Errno: unix.EIO, For: time.Second}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := table.Check(TUNWrite); !errors.Is(err, unix.EIO) {
			t.Fatalf("within its time: %v", err)
		}
	}
	if s := table.List()[3]; !s.Armed() || s.For != time.Second || s.Left != 0 {
		t.Errorf("in the list: %+v", s)
	}
	now = now.Add(time.Second)
	if err := table.Check(TUNWrite); err != nil {
		t.Errorf("after its time: %v", err)
	}
}

func TestTheFirstLimitEndsARule(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	table := New(func() time.Time { return now })
	for _, r := range []Rule{{Count: 1, For: time.Hour / 10}, {Count: 100, For: time.Millisecond}} {
		r.Call, r.Errno = NodedirWrite, unix.ENOSPC
		if err := table.Fail(r); err != nil {
			t.Fatal(err)
		}
		if table.Check(NodedirWrite) == nil {
			t.Errorf("%+v fails nothing", r)
		}
		now = now.Add(time.Millisecond)
		if err := table.Check(NodedirWrite); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestClearEndsAllRules(t *testing.T) {
	table := New(time.Now)
	for _, s := range table.List() {
		if err := table.Fail(Rule{Call: s.Call, Errno: unix.EPERM, Count: MaxCount}); err != nil {
			t.Fatal(err)
		}
	}
	table.Clear()
	for _, s := range table.List() {
		if err := table.Check(s.Call); err != nil || s.Armed() {
			t.Errorf("%s: %v, %+v", s.Call, err, s)
		}
	}
}

func TestNoTableFailsNothing(t *testing.T) {
	var table *Table
	if err := table.Check(SockSend); err != nil {
		t.Error(err)
	}
}

func TestBadRulesAreNamed(t *testing.T) {
	table := New(time.Now)
	for _, c := range []struct {
		rule Rule
		want error
	}{
		{Rule{Call: "sock.paint", Errno: unix.EIO, Count: 1}, ErrCall},
		{Rule{Call: SockSend, Count: 1}, ErrErrno},
		{Rule{Call: SockSend, Errno: 4000, Count: 1}, ErrErrno},
		{Rule{Call: SockSend, Errno: unix.EIO}, ErrRule},
		{Rule{Call: SockSend, Errno: unix.EIO, Count: MaxCount + 1}, ErrRule},
		{Rule{Call: SockSend, Errno: unix.EIO, For: MaxFor + 1}, ErrRule},
		{Rule{Call: SockSend, Errno: unix.EIO, For: -1}, ErrRule},
	} {
		if err := table.Fail(c.rule); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.rule, err, c.want)
		}
	}
	if err := table.Check(SockSend); err != nil {
		t.Errorf("a bad rule is in force: %v", err)
	}
}

func TestErrnosHaveTheirNames(t *testing.T) {
	for name, want := range map[string]syscall.Errno{"EPERM": unix.EPERM, "ENOBUFS": unix.ENOBUFS, "EHWPOISON": unix.EHWPOISON} {
		if got, err := ParseErrno(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "enobufs", "EXTRA"} {
		if _, err := ParseErrno(name); !errors.Is(err, ErrErrno) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func BenchmarkCheckOff(b *testing.B) {
	var table *Table
	for b.Loop() {
		_ = table.Check(SockSend)
	}
}
