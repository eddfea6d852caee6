package dataplane

import (
	"encoding/binary"
	"strings"
	"testing"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/protocols/fabric"
)

// narrow is a Conn whose interface takes datagrams of so many bytes.
type narrow struct {
	*hwtest.Conn
	most int
}

func (n *narrow) WriteBatch(packets []sock.Packet) (sent int, err error) {
	for i := range packets {
		p := &packets[i]
		if p.TooBig = len(p.Data) > n.most && (p.Segment == 0 || p.Segment > n.most); p.TooBig {
			continue
		}
		m, err := n.Conn.WriteBatch(packets[i : i+1])
		if sent += m; err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// tooBigSaid waits for an ICMPv6 Packet Too Big, and tells its MTU.
func tooBigSaid(t *testing.T, x *node, about []byte) int {
	t.Helper()
	e := out(t, x)
	if e[6] != protocolICMPv6 || e[40] != icmpTooBig || string(e[48:48+60]) != string(about[:60]) {
		t.Fatalf("said %x", e)
	}
	if got := binary.BigEndian.Uint16(e[42:]); got != icmpChecksum(append(append([]byte{}, e[:42]...), append([]byte{0, 0}, e[44:]...)...)) {
		t.Errorf("checksum %#x", got)
	}
	return int(binary.BigEndian.Uint32(e[44:]))
}

// RFC 8201 section 3, where the first link is the narrow one and nobody told of it.
func TestAnInterfaceThatRefusesLowersTheLinkAtOnce(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, b := newNode(t, net, 1), newNode(t, net, 2)
	a.conns[0] = &narrow{a.conn, 1400}
	join(a, b)
	route(a, 2, 2)
	meet(a, b)
	run(t, a)
	p := packet(host(general, 1), host(general, 2), strings.Repeat("x", 1340))
	a.tun.Inject(p)
	if mtu := tooBigSaid(t, a, p); mtu != fabric.PLPMTUBelow(len(p)+fabric.Overhead)-fabric.Overhead {
		t.Errorf("MTU %d named", mtu)
	}
	if err := a.SendControl(2, fabric.ControlMTUProbe, make([]byte, 1400)); err == nil || a.SendControl(2, fabric.ControlMTUProbe, make([]byte, 1200)) != nil {
		t.Errorf("a control frame that does not fit: %v", err)
	}
}

func TestWhoSentLongPacketsLatelyHearsThatTheLinkGotNarrower(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, b := newNode(t, net, 1), newNode(t, net, 2)
	join(a, b)
	route(a, 2, 2)
	meet(a, b)
	run(t, a)
	p := packet(host(general, 1), host(general, 2), strings.Repeat("x", 1340))
	a.tun.Inject(p)
	eventually(t, "sent", func() bool { return a.Stats().Ingress.Packets == 1 })
	a.SetLinkMTU(2, 1472)
	a.SetLinkMTU(2, 1392)
	if mtu := tooBigSaid(t, a, p); mtu != 1392-fabric.Overhead {
		t.Errorf("MTU %d named", mtu)
	}
	a.SetLinkMTU(2, 1212) // he knows already
	a.tun.Inject(p)
	if mtu := tooBigSaid(t, a, p); mtu != ipv6MinMTU {
		t.Errorf("MTU %d named", mtu)
	}
	eventually(t, "two errors", func() bool { return a.Stats().ICMP == 2 })
}

func TestLongFramesAreNotedNowAndThen(t *testing.T) {
	net := hwtest.NewNetwork(1)
	a, b := newNode(t, net, 1), newNode(t, net, 2)
	join(a, b)
	w := a.newWorker(maxBatch)
	l := a.links.Load().byID[2]
	for i := range uint8(255) {
		for range noteEvery {
			w.note(l, 1452, &fabric.HopHeader{Flow: i, Egress: b.id}, false, make([]byte, 1380))
		}
	}
	for i, r := range w.recent.all {
		if r.link != l || r.length != recentHead {
			t.Errorf("place %d of %d: %d bytes", i, maxRecent, r.length)
		}
	}
	if n := testing.AllocsPerRun(100, func() { w.note(l, 1452, &fabric.HopHeader{}, false, make([]byte, recentHead)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	a.SetLinkMTU(2, 1272)
	for _, r := range w.recent.all {
		if r.link != nil {
			t.Error("one is kept that its sender was told of")
		}
	}
}
