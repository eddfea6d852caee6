package registry

import (
	"errors"
	"net/netip"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/registry"
)

func TestPollsAreBounded(t *testing.T) {
	p := newPolls(3, 2)
	here, there := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64")
	begin := func(n uint64, from netip.Prefix, want bool) (done func()) {
		t.Helper()
		_, done, err := p.begin(addr.NodeIDFromUint64(n), from)
		if want != (err == nil) || err != nil && !errors.Is(err, registry.ErrRateLimited) {
			t.Errorf("node %d from %s: %v", n, from, err)
		}
		return done
	}
	first := begin(1, here, true)
	begin(2, here, true)
	begin(3, here, false)
	begin(4, there, true)
	begin(5, there, false)
	first()
	begin(5, there, true)
	if p.total != 3 || p.bySource[here] != 1 || p.bySource[there] != 2 {
		t.Errorf("%d wait: %v", p.total, p.bySource)
	}
}

func TestAPollDisplacesTheNodesFormerOne(t *testing.T) {
	p := newPolls(3, 3)
	id, from := addr.NodeIDFromUint64(1), netip.MustParsePrefix("192.0.2.1/32")
	first, done, err := p.begin(id, from)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := p.begin(id, from)
	if err != nil || first.Err() == nil || second.Err() != nil {
		t.Fatalf("%v: the first waits: %t", err, first.Err() == nil)
	}
	done() // the first one's end is not the second one's
	if p.byNode[id] == nil || p.total != 1 {
		t.Errorf("%d wait", p.total)
	}
	p.close()
	if second.Err() == nil {
		t.Error("it waits though all is closed")
	}
	if late, _, err := p.begin(id, from); err != nil || late.Err() == nil {
		t.Errorf("one that came after that waits: %v", err)
	}
}
