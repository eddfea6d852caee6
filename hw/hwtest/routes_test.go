package hwtest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"re6st/hw/netlink"
)

func TestRoutesCountsAsTheKernelDoes(t *testing.T) {
	var f Routes
	a := netlink.Route{Dst: netip.MustParsePrefix("2001:db8:1::/64"), Link: 1}
	b := netlink.Route{Dst: netip.MustParsePrefix("2001:db8:2::/64"), Link: 1}
	moved := b
	moved.Link = 2
	for _, step := range []struct {
		desired []netlink.Route
		want    netlink.Changes
	}{
		{[]netlink.Route{a, b}, netlink.Changes{Added: 2}},
		{[]netlink.Route{a, moved}, netlink.Changes{Kept: 1, Replaced: 1}},
		{nil, netlink.Changes{Removed: 2}},
	} {
		if got, err := f.Reconcile(step.desired); err != nil || got != step.want {
			t.Errorf("Reconcile(%v) = %+v, %v, want %+v", step.desired, got, err, step.want)
		}
	}
	if err := f.Apply([]netlink.Route{a, b, moved}, []netlink.Route{a}); err != nil {
		t.Fatal(err)
	}
	if got := f.Held(); !slices.Equal(got, []netlink.Route{moved}) {
		t.Errorf("held %v, want %v", got, moved)
	}
}

func TestRoutesFailsWhenTold(t *testing.T) {
	var f Routes
	broken := errors.New("broken")
	f.Fail(broken)
	if err := f.Apply([]netlink.Route{{Link: 1}}, nil); !errors.Is(err, broken) || len(f.Held()) != 0 {
		t.Errorf("Apply: %v, held %v", err, f.Held())
	}
}
