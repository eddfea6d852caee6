package netlink_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"re6st/hw/netlink"
	"re6st/hw/netns"
)

func TestUplinksAreWatched(t *testing.T) {
	l := newLab(t)
	if err := netns.Veth(l.ns, "u0", l.ns, "u1"); err != nil {
		t.Fatal(err)
	}
	l.ip("addr", "add", "198.51.100.2/24", "dev", "u0")
	l.ip("route", "add", "default", "via", "198.51.100.1", "metric", "200")
	seen := make(chan []netlink.Uplink, 64)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.conn.WatchUplinks(ctx, func(u []netlink.Uplink) { seen <- u }) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	var last []netlink.Uplink
	until := func(what string, ok func() bool) {
		t.Helper()
		for timeout := time.After(time.Minute); !ok(); {
			select {
			case last = <-seen:
			case <-timeout:
				t.Fatalf("%s: not yet; %+v", what, last)
			}
		}
	}
	first := func(prefix string) func() bool {
		return func() bool {
			return len(last) > 0 && last[0].Prefix == netip.MustParsePrefix(prefix) && last[0].Default
		}
	}
	until("as it is", first("198.51.100.2/24"))
	l.ip("addr", "add", "192.0.2.2/24", "dev", "v0")
	l.ip("route", "add", "default", "via", "192.0.2.1", "metric", "100")
	until("a better default route", first("192.0.2.2/24"))
	l.ip("addr", "del", "192.0.2.2/24", "dev", "v0")
	l.ip("addr", "add", "192.0.2.3/24", "dev", "v0")
	l.ip("route", "replace", "default", "via", "192.0.2.1", "metric", "100")
	until("another address", first("192.0.2.3/24"))
	l.ip("link", "set", "v1", "down") // no carrier
	until("the other interface", func() bool { return len(last) == 1 && first("198.51.100.2/24")() })
	l.ip("link", "set", "u0", "group", "7326")
	until("that is of a mesh", func() bool { return len(last) == 0 })
}
