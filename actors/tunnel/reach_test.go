package tunnel

import (
	"net/netip"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
)

func at(network string) []fabric.Uplink {
	return []fabric.Uplink{{OnLink: netip.MustParsePrefix(network), Default: true}}
}

func TestADialBeginsWithWhatWorkedFromThisNetwork(t *testing.T) {
	var r reaches
	id, cafe, home := addr.NodeIDFromUint64(5), at("192.0.2.0/24"), at("198.51.100.0/24")
	r.note(id, cafe, fabric.TLS)
	r.note(id, home, fabric.UDP)
	if got := r.of(fabric.AllCarriers, id, 0, cafe); got != (fabric.Reach{Carriers: fabric.AllCarriers, TLSPort: 443, First: fabric.TLS}) {
		t.Errorf("%+v", got)
	}
	if got := r.of(fabric.AllCarriers, id, 0, home); got.First != fabric.UDP {
		t.Errorf("%+v", got)
	}
}

func TestAPeerIsDialledByTLSWhereOthersSayThatItServesIt(t *testing.T) {
	var r reaches
	id := addr.NodeIDFromUint64(5)
	if got := r.of(fabric.AllCarriers, id, 8443, nil); got != (fabric.Reach{Carriers: fabric.AllCarriers, TLSPort: 8443}) {
		t.Errorf("%+v", got)
	}
}

func TestAPeerIsReachedByWhatBothEndsHave(t *testing.T) {
	var r reaches
	id := addr.NodeIDFromUint64(5)
	for _, c := range []struct {
		own   fabric.CarrierSet
		hello peer.Hello
		want  fabric.Reach
	}{
		{fabric.AllCarriers, peer.Hello{Carriers: 1<<fabric.UDP | 1<<fabric.TLS, TLSPort: 8443}, fabric.Reach{Carriers: 1<<fabric.UDP | 1<<fabric.TLS, TLSPort: 8443}},
		{1 << fabric.UDP, peer.Hello{Carriers: 7, TLSPort: 443}, fabric.Reach{Carriers: 1 << fabric.UDP, TLSPort: 443}},
		{fabric.AllCarriers, peer.Hello{}, fabric.Reach{Carriers: 1 << fabric.UDP}}, // an older node
	} {
		r.hear(id, c.hello)
		if got := r.of(c.own, id, 2083, nil); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.hello, got, c.want)
		}
	}
}

func TestCarriersOfPeersKeptInMindAreBounded(t *testing.T) {
	var r reaches
	for i := range uint64(3 * MaxReaches) {
		r.hear(addr.NodeIDFromUint64(i), peer.Hello{})
		r.note(addr.NodeIDFromUint64(i), nil, fabric.TLS)
	}
	if len(r.said) > MaxReaches || len(r.worked) > MaxReaches {
		t.Errorf("%d and %d", len(r.said), len(r.worked))
	}
}
