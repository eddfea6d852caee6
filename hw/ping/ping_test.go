package ping_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/hw/ping"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback, loopback4 = netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")

func config() ping.Config {
	return ping.Config{Source: loopback, Destination: loopback, Count: 3, Interval: ping.MinInterval, Timeout: 10 * time.Second}
}

func run(t *testing.T, c ping.Config) ([]ping.Reply, ping.Summary, error) {
	t.Helper()
	var got []ping.Reply
	s, err := ping.Run(t.Context(), c, func(r ping.Reply) { got = append(got, r) })
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("needs root or a ping_group_range: %v", err)
	}
	return got, s, err
}

func TestLoopbackAnswersEach(t *testing.T) {
	for _, size := range []int{0, 1000, 60000} {
		c := config()
		c.Size = size
		got, s, err := run(t, c)
		if err != nil || len(got) != 3 || s.Sent != 3 || s.Received != 3 {
			t.Fatalf("size %d: %v, %+v, %v", size, got, s, err)
		}
		for i, r := range got {
			if r.Lost || r.Sequence != i+1 || r.RTT <= 0 || r.RTT < s.Min || r.RTT > s.Max {
				t.Errorf("size %d: reply %+v of %+v", size, r, s)
			}
		}
	}
}

func TestIPv4AnswersEach(t *testing.T) {
	for _, size := range []int{0, 1001, 60000} {
		c := config()
		c.Source, c.Destination, c.Size = loopback4, loopback4, size
		if got, s, err := run(t, c); err != nil || len(got) != 3 || s.Sent != 3 || s.Received != 3 {
			t.Fatalf("size %d: %v, %+v, %v", size, got, s, err)
		}
	}
}

func TestTwoRunsDoNotHearEachOther(t *testing.T) {
	second := make(chan ping.Summary)
	go func() {
		s, _ := ping.Run(t.Context(), config(), func(ping.Reply) {})
		second <- s
	}()
	got, s, err := run(t, config())
	if other := <-second; err != nil || len(got) != 3 || s.Received != 3 || other.Received != 3 {
		t.Errorf("%+v and %+v, %v", s, other, err)
	}
}

func TestWithoutAWayEachIsLost(t *testing.T) {
	c := config()
	c.Destination = netip.MustParseAddr("100::1") // discard-only, RFC 6666: dropped, or no route
	c.Timeout = 20 * time.Millisecond
	got, s, err := run(t, c)
	if err != nil || len(got) != 3 || s.Sent != 3 || s.Received != 0 || s.Avg != 0 {
		t.Fatalf("%+v, %+v, %v", got, s, err)
	}
	for i, r := range got {
		if !r.Lost || r.Sequence != i+1 {
			t.Errorf("reply %+v", r)
		}
	}
}

func TestEndOfContextEndsTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := config()
	c.Count, c.Interval = ping.MaxCount, time.Hour
	s, err := ping.Run(ctx, c, func(ping.Reply) { cancel() })
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("needs root or a ping_group_range: %v", err)
	}
	if !errors.Is(err, context.Canceled) || s.Received != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for name, change := range map[string]func(*ping.Config){
		"families":    func(c *ping.Config) { c.Destination = netip.MustParseAddr("192.0.2.1") },
		"in disguise": func(c *ping.Config) { c.Destination = netip.MustParseAddr("::ffff:192.0.2.1") },
		"nowhere":     func(c *ping.Config) { c.Destination = netip.Addr{} },
		"no count":    func(c *ping.Config) { c.Count = 0 },
		"count":       func(c *ping.Config) { c.Count = ping.MaxCount + 1 },
		"flood":       func(c *ping.Config) { c.Interval = time.Millisecond },
		"no patience": func(c *ping.Config) { c.Timeout = 0 },
		"size":        func(c *ping.Config) { c.Size = ping.MaxSize + 1 },
	} {
		c := config()
		change(&c)
		if _, err := ping.Run(t.Context(), c, func(ping.Reply) {}); !errors.Is(err, ping.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
