package netlink_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"re6st/hw/netlink"
)

// watching runs Watch and hands over its events one by one.
func (l *lab) watching() (next func() netlink.Event) {
	ctx, cancel := context.WithCancel(l.t.Context())
	events, ended := make(chan netlink.Event), make(chan error, 1)
	go func() {
		ended <- l.conn.Watch(ctx, func(e netlink.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
	}()
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			l.t.Errorf("Watch ended with %v", err)
		}
	})
	return func() netlink.Event {
		select {
		case e := <-events:
			return e
		case err := <-ended:
			ended <- err
			l.t.Fatalf("Watch ended: %v", err)
			return nil
		}
	}
}

// until reads events up to the first that ok accepts.
func until(next func() netlink.Event, ok func(netlink.Event) bool) netlink.Event {
	for {
		if e := next(); ok(e) {
			return e
		}
	}
}

func TestWatchDefaultTellsOfTheMachinesOwn(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan bool, 16), make(chan error, 1)
	go func() { ended <- l.conn.WatchDefault(ctx, protocol, func(there bool) { told <- there }) }()
	for i, c := range []struct {
		do   []string // ip -6 route
		want bool
	}{
		{nil, false},
		{[]string{"add", "default", "dev", "v0", "metric", "7"}, true},
		{[]string{"add", "default", "dev", "v1", "metric", "8"}, true},
		{[]string{"del", "default", "metric", "7"}, true},
		{[]string{"del", "default", "metric", "8"}, false},
		{[]string{"add", "default", "dev", "v0", "proto", fmt.Sprint(protocol)}, false}, // ours
		{[]string{"add", "default", "dev", "v0", "table", "77"}, false},
		{[]string{"add", "unreachable", "default", "metric", "9"}, false},
		{[]string{"add", "default", "dev", "v0", "metric", "7"}, true},
	} {
		if c.do != nil {
			l.ip(append([]string{"-6", "route"}, c.do...)...)
		}
		if i == 2 || i == 3 || i > 4 && !c.want {
			continue // no change: what is told next shows that
		}
		select {
		case got := <-told:
			if got != c.want {
				t.Fatalf("after %v: %v", c.do, got)
			}
		case err := <-ended:
			t.Fatalf("after %v: %v", c.do, err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if len(told) != 0 {
		t.Errorf("%d more were told", len(told))
	}
}

func TestWatchTellsWhatIsAndThenWhatChanges(t *testing.T) {
	l := newLab(t)
	next := l.watching()
	until(next, func(e netlink.Event) bool {
		c, ok := e.(netlink.LinkChanged)
		return ok && c.Link.Name == "v0" && c.Link.Running
	})
	p := prefix("2001:db8:1::1/64")
	if err := l.conn.SetAddress("v0", p, false); err != nil {
		t.Fatal(err)
	}
	until(next, func(e netlink.Event) bool {
		return e == netlink.AddrChanged{Addr: netlink.Addr{Link: l.link, Prefix: p}}
	})
	if err := l.conn.SetUp("v1", false); err != nil { // v0 loses its carrier
		t.Fatal(err)
	}
	until(next, func(e netlink.Event) bool {
		c, ok := e.(netlink.LinkChanged)
		return ok && c.Link.Name == "v0" && c.Link.Up && !c.Link.Running
	})
	if err := l.conn.DeleteLink("v0"); err != nil {
		t.Fatal(err)
	}
	addrGone := false
	until(next, func(e netlink.Event) bool {
		if g, ok := e.(netlink.AddrGone); ok && g.Addr.Prefix == p {
			addrGone = true
		}
		g, ok := e.(netlink.LinkGone)
		return ok && g.Link.Name == "v0"
	})
	if !addrGone {
		t.Error("the link went without its address")
	}
}

func TestAnAddressThatWentBeforeItWasToldOfIsToldOfAsGone(t *testing.T) {
	l := newLab(t)
	if err := l.conn.SetUp("v0", false); err != nil { // the kernel tells of no new address of a link that is down
		t.Fatal(err)
	}
	next := l.watching()
	until(next, func(e netlink.Event) bool {
		c, ok := e.(netlink.LinkChanged)
		return ok && c.Link.Name == "v0" && !c.Link.Up
	})
	p := prefix("2001:db8:1::1/64")
	if err := l.conn.SetAddress("v0", p, false); err != nil {
		t.Fatal(err)
	}
	if err := l.conn.RemoveAddress("v0", p); err != nil {
		t.Fatal(err)
	}
	l.ip("link", "set", "v0", "mtu", "1400")
	gone := false
	until(next, func(e netlink.Event) bool {
		if g, ok := e.(netlink.AddrGone); ok && g.Addr.Prefix == p {
			gone = true
		}
		c, ok := e.(netlink.LinkChanged)
		return ok && c.Link.Name == "v0" && c.Link.MTU == 1400
	})
	if !gone {
		t.Error("nothing tells that the address is gone")
	}
}

func TestWatchIsRightAfterAnOverflow(t *testing.T) {
	l := newLab(t)
	next := l.watching()
	next()                 // Watch is now blocked in its first report
	const addresses = 1000 // four times what the default receive buffer holds
	var batch strings.Builder
	for i := range addresses {
		fmt.Fprintf(&batch, "addr add 2001:db8:1::%x/64 dev v0\n", i+1)
	}
	batch.WriteString("link set v0 mtu 1400\n")
	file := t.TempDir() + "/batch"
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	l.ip("-batch", file)
	net := prefix("2001:db8:1::/64")
	seen, mtu := map[netip.Prefix]bool{}, 0
	for len(seen) < addresses || mtu != 1400 {
		switch e := next().(type) {
		case netlink.AddrChanged:
			if net.Contains(e.Addr.Prefix.Addr()) {
				seen[e.Addr.Prefix] = true
			}
		case netlink.LinkChanged:
			if e.Link.Name == "v0" {
				mtu = e.Link.MTU
			}
		}
	}
	l.ip("addr", "flush", "dev", "v0", "to", "2001:db8:1::/64")
	for len(seen) > 0 {
		if e, ok := next().(netlink.AddrGone); ok {
			delete(seen, e.Addr.Prefix)
		}
	}
}
