package dataplane

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

func TestAControlFrameProvesByWhichConnectionItsSenderCame(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, relay, _ := line(t, net)
	var told []fabric.Path
	relay.proven = func(path fabric.Path, peer addr.NodeID) {
		if peer != a.self {
			t.Errorf("told of %s", peer)
		}
		told = append(told, path)
	}
	var sent []byte
	net.Tap(func(d hwtest.Datagram) { sent = bytes.Clone(d.Data) })
	w := relay.newWorker(maxFrame)
	arrive := func(by fabric.Carrier) {
		w.fromConn(&sock.Packet{Data: bytes.Clone(sent), Addr: a.at, Local: relay.at.Addr(), Carrier: by, At: time.Now()})
	}
	for by := range fabric.Carrier(fabric.Carriers) {
		if err := a.SendControl(2, fabric.ControlProbe, []byte("probe")); err != nil {
			t.Fatal(err)
		}
		arrive(by)
	}
	arrive(fabric.TLS) // again
	sent[len(sent)-1]++
	arrive(fabric.TLS)
	path := fabric.Path{Local: fabric.Local{Addr: relay.at.Addr()}, Remote: a.at, Carrier: fabric.QUIC}
	want := []fabric.Path{path, path}
	want[1].Carrier = fabric.TLS
	if !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}
