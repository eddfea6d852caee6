package subnet

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/system"
	"re6st/hw/netlink"
	"re6st/hw/netns"
	"re6st/hw/netns/netnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	protocol = 206
	patience = 60 * time.Second
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a namespace, and what the actor in it tells.
type world struct {
	t      *testing.T
	ns     *netns.NS
	conn   *netlink.Conn
	events chan Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	group := netnstest.NewGroup(t)
	var err error
	w := &world{t: t, events: make(chan Event, 16)}
	w.ns, err = group.Create("n1")
	check(t, err)
	w.conn, err = w.ns.Netlink()
	check(t, err)
	t.Cleanup(w.conn.Close)
	return w
}

// run has an actor keep the subnets; stop ends it.
func (w *world) run(subnets ...Subnet) (stop func()) {
	w.t.Helper()
	sys := system.New(system.Config{Logger: slog.New(slog.NewTextHandler(w.t.Output(), nil))})
	_, err := Spawn(sys, Config{Subnets: subnets, Protocol: protocol, Emit: func(e Event) { w.events <- e }, Open: w.ns.Netlink})
	check(w.t, err)
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		limit, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		check(w.t, sys.Stop(limit))
	}
	w.t.Cleanup(stop)
	return stop
}

// until waits for the addresses of an interface that are not link-local to be these.
func (w *world) until(name string, want ...string) {
	w.t.Helper()
	link, err := w.conn.Link(name)
	check(w.t, err)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		addrs, err := w.conn.Addresses()
		check(w.t, err)
		var got []string
		for _, a := range addrs {
			if a.Link == link.Index && !a.Prefix.Addr().IsLinkLocalUnicast() {
				got = append(got, a.Prefix.String())
			}
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s has %v, want %v", name, got, want)
		}
	}
}

func (w *world) expect(want Event) {
	w.t.Helper()
	select {
	case got := <-w.events:
		if got != want {
			w.t.Fatalf("%#v, want %#v", got, want)
		}
	case <-time.After(patience):
		w.t.Fatalf("%#v was not told", want)
	}
}

func TestASubnetComesAndGoesWithItsInterface(t *testing.T) {
	w := newWorld(t)
	part := netip.MustParsePrefix("2001:db8:42:1:1::/80")
	stop := w.run(Subnet{"br0", part})
	check(t, w.conn.AddBridge("br0"))
	check(t, w.conn.SetUp("br0", true))
	link, err := w.conn.Link("br0")
	check(t, err)
	w.expect(Attached{part, link.Index})
	w.until("br0", "2001:db8:42:1:1::1/80")

	check(t, w.conn.RemoveAddress("br0", netip.MustParsePrefix("2001:db8:42:1:1::1/80")))
	w.until("br0", "2001:db8:42:1:1::1/80") // it is needed

	check(t, w.conn.SetUp("br0", false))
	w.expect(Detached{part})
	check(t, w.conn.SetUp("br0", true))
	w.expect(Attached{part, link.Index})
	w.until("br0", "2001:db8:42:1:1::1/80")

	stop()
	w.until("br0")
}

func TestOnlyOurOwnLeftoversAreTakenAway(t *testing.T) {
	w := newWorld(t)
	check(t, w.conn.AddBridge("br0"))
	check(t, w.conn.SetUp("br0", true))
	check(t, w.conn.SetAddress("br0", netip.MustParsePrefix("2001:db8:42:1:5::1/80"), false)) // the operator's
	check(t, w.conn.SetPart("br0", netip.MustParsePrefix("2001:db8:42:1:6::1/80"), protocol+1))
	check(t, w.conn.SetPart("br0", netip.MustParsePrefix("2001:db8:42:1:7::1/80"), protocol))
	stop := w.run()
	w.until("br0", "2001:db8:42:1:5::1/80", "2001:db8:42:1:6::1/80")
	stop()
	w.until("br0", "2001:db8:42:1:5::1/80", "2001:db8:42:1:6::1/80")
}
