package tunnel

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
)

func at(network string) []fabric.Uplink {
	return []fabric.Uplink{{OnLink: netip.MustParsePrefix(network), Default: true}}
}

var epoch = time.Unix(1700000000, 0)

func TestADialBeginsWithWhatWorkedFromThisNetwork(t *testing.T) {
	var r reaches
	id, cafe, home := addr.NodeIDFromUint64(5), at("192.0.2.0/24"), at("198.51.100.0/24")
	r.note(epoch, id, cafe, fabric.TLS)
	r.note(epoch, id, home, fabric.UDP)
	if got := r.of(epoch, fabric.AllCarriers, id, 0, cafe); got != (fabric.Reach{Carriers: fabric.AllCarriers, TLSPort: 443, First: fabric.TLS}) {
		t.Errorf("%+v", got)
	}
	if got := r.of(epoch, fabric.AllCarriers, id, 0, home); got.First != fabric.UDP {
		t.Errorf("%+v", got)
	}
}

func TestAPeerIsDialledByTLSWhereOthersSayThatItServesIt(t *testing.T) {
	var r reaches
	id := addr.NodeIDFromUint64(5)
	if got := r.of(epoch, fabric.AllCarriers, id, 8443, nil); got != (fabric.Reach{Carriers: fabric.AllCarriers, TLSPort: 8443}) {
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
		if got := r.of(epoch, c.own, id, 2083, nil); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.hello, got, c.want)
		}
	}
}

func TestCarriersOfPeersKeptInMindAreBounded(t *testing.T) {
	var r reaches
	for i := range uint64(3 * MaxReaches) {
		r.hear(addr.NodeIDFromUint64(i), peer.Hello{})
		r.note(epoch.Add(time.Duration(i)), addr.NodeIDFromUint64(i), nil, fabric.TLS)
	}
	if len(r.said) > MaxReaches || len(r.worked) != MaxWorked || r.worked[0].Peer != addr.NodeIDFromUint64(3*MaxReaches-MaxWorked) {
		t.Errorf("%d and %d, from %+v on", len(r.said), len(r.worked), r.worked[:1])
	}
}

func TestWhatWorkedIsBelievedForATime(t *testing.T) {
	var r, next reaches
	id, cafe := addr.NodeIDFromUint64(5), at("192.0.2.0/24")
	first := func(after time.Duration) fabric.Carrier {
		return next.of(epoch.Add(after), fabric.AllCarriers, id, 0, cafe).First
	}
	if r.note(epoch, id, cafe, fabric.UDP) || !r.note(epoch, id, cafe, fabric.TLS) || r.note(epoch.Add(time.Hour), id, cafe, fabric.TLS) {
		t.Error("what has changed is stored, and nothing else")
	}
	next.restore(r.worked) // another run
	if by := first(WorkedLifetime - 1); by != fabric.TLS {
		t.Errorf("after a restart a dial begins with %s", by)
	}
	if by := first(WorkedLifetime); by != fabric.UDP {
		t.Errorf("an old word is believed: %s", by)
	}
	if !r.note(epoch.Add(25*time.Hour), id, cafe, fabric.TLS) || !r.note(epoch, id, cafe, fabric.UDP) || len(r.worked) != 0 {
		t.Errorf("what is old is stored again, what is over forgotten: %+v", r.worked)
	}
}
