package babel_test

import (
	"encoding/binary"
	"math/rand"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// A node of a mesh of 1,000 with 10 links: each neighbor tells it of the locator and
// the prefix of all of them.
const (
	hubLinks = 10
	hubNodes = 1000
)

// hub is one Router, and all that its neighbors say, as packets.
type hub struct {
	b         *testing.B
	now       time.Time
	router    *babel.Router
	neighbors []*babel.Neighbor
	said      [][][]byte // by each neighbor: its full update, acknowledged packet by packet
	heard     int        // updates that the router sent
	bytes     int
	acks      []babel.Send // what the neighbors answer
}

func hubKey(k int) babel.NeighborKey {
	return babel.NeighborKey{Interface: babel.InterfaceID(k + 1), Addr: nodeID(k + 1).LinkLocal()}
}

// newHub is a node whose links are up; interval is that of its neighbors' updates.
func newHub(b *testing.B, interval time.Duration) *hub {
	h := &hub{b: b, now: epoch}
	for k := range hubLinks {
		h.said = append(h.said, fullUpdate(k, interval))
	}
	h.restart()
	return h
}

// restart is a Router that knows of nothing.
func (h *hub) restart() {
	r, err := babel.NewRouter(babel.Config{Self: nodeID(0), RouterID: selfID, Locators: locators, Rand: rand.New(rand.NewSource(1)), Changes: 64})
	if err != nil {
		h.b.Fatal(err)
	}
	h.router, h.neighbors, h.acks = r, nil, nil
	for k := range hubLinks {
		key := hubKey(k)
		cfg := babel.Interface{Fabric: true, Link: rib.LinkID(key.Interface), Local: nodeID(0).LinkLocal()}
		n, err := babel.NewNeighbor(babel.NeighborConfig{Addr: key.Addr, Local: cfg.Local, Fabric: true, Peer: nodeID(k + 1), Locators: locators})
		if err != nil || r.AddInterface(h.now, key.Interface, cfg) != nil || r.AddNeighbor(h.now, key) != nil {
			h.b.Fatal(err)
		}
		h.neighbors = append(h.neighbors, n)
		h.link(k, true)
	}
}

// fullUpdate is the packets by which neighbor k tells of all nodes.
func fullUpdate(k int, interval time.Duration) (packets [][]byte) {
	var updates []babel.TLV
	rnd := rand.New(rand.NewSource(int64(k)))
	for i := range hubNodes {
		id := nodeID(100 + i)
		u := babel.Update{
			Prefix: netip.PrefixFrom(addr.Locator(locators, id), 128), RouterID: babel.RouterID(id), Egress: id,
			Seqno: 1, Metric: uint16(96 + 97*rnd.Intn(3)), Interval: interval,
		}
		updates = append(updates, u)
		u.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0x42, 5: 1, 6: byte(i >> 8), 7: byte(i)}), 64)
		updates = append(updates, u)
	}
	e := babel.Encoder{From: nodeID(k + 1).LinkLocal(), Fabric: true, Max: babel.DefaultPacket}
	for chunk := range slices.Chunk(updates, 16) {
		ack := babel.AckRequest{Opaque: uint16(len(packets)), Interval: time.Second}
		packets = append(packets, e.Encode(append(slices.Clip(chunk), ack))...)
	}
	return packets
}

// hear gives the router a packet of neighbor k.
func (h *hub) hear(k int, packet []byte) {
	if err := h.neighbors[k].HandlePacket(h.now, hubKey(k).Addr, packet); err != nil {
		h.b.Fatal(err)
	}
	h.up(k)
}

func (h *hub) link(k int, up bool) {
	h.neighbors[k].HandleLink(h.now, up, time.Millisecond)
	h.up(k)
}

func (h *hub) up(k int) {
	h.neighbors[k].Drain(func(e babel.NeighborEvent) { h.router.Handle(h.now, hubKey(k), e) })
	h.router.Drain(h.sent)
}

// sent counts the updates of a packet, and keeps it where it wants an answer.
func (h *hub) sent(e babel.Event) {
	s, ok := e.(babel.Send)
	if !ok {
		return
	}
	h.bytes += len(s.Packet)
	for p := s.Packet[4:]; len(p) > 0; p = p[2+int(p[1]):] {
		switch p[0] {
		case 2: // AckRequest: its Opaque
			h.acks = append(h.acks, babel.Send{Interface: s.Interface, Packet: []byte{42, 2, 0, 4, 3, 2, p[4], p[5]}})
		case 8:
			h.heard++
		}
	}
}

// pass lets time pass, and the neighbors acknowledge what they heard.
func (h *hub) pass(d time.Duration) {
	end := h.now.Add(d)
	for {
		acks := h.acks
		h.acks = nil
		for _, a := range acks {
			h.hear(int(a.Interface)-1, a.Packet)
		}
		next, ok := h.router.NextTimeout()
		if !ok || next.After(end) {
			break
		}
		h.now = next
		h.router.HandleTimeout(next)
		h.router.Drain(h.sent)
	}
	h.now = end
}

// tell has all neighbors say all they know, a packet each in turn.
func (h *hub) tell() (updates int) {
	for i := range h.said[0] {
		for k := range hubLinks {
			h.hear(k, h.said[k][i])
		}
		h.pass(time.Millisecond)
	}
	h.pass(2 * time.Second)
	return hubLinks * hubNodes * 2
}

// report is the costs of one update: heard and judged, or packed and sent.
func (h *hub) report(updates int) {
	b := h.b
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(updates+h.heard), "ns/update")
	b.ReportMetric(float64(h.heard)/float64(updates), "sent/heard")
	if h.heard > 0 {
		b.ReportMetric(float64(h.bytes)/float64(h.heard), "bytes/sent")
	}
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkScaleColdStart is a router that hears of everything for the first time.
func BenchmarkScaleColdStart(b *testing.B) {
	h := newHub(b, 16*time.Second)
	updates := 0
	b.ReportAllocs()
	for b.Loop() {
		h.restart()
		updates += h.tell()
	}
	h.report(updates)
	h.router, h.neighbors = nil, nil
	before := liveHeap()
	h.restart()
	h.tell()
	routes := len(h.router.Status().Routes)
	b.ReportMetric(float64(liveHeap()-before)/float64(routes), "B/route")
	runtime.KeepAlive(h)
}

// BenchmarkScaleRefresh is a full update of each neighbor that changes nothing.
func BenchmarkScaleRefresh(b *testing.B) {
	h := newHub(b, 16*time.Second)
	h.tell()
	h.heard, h.bytes = 0, 0
	updates := 0
	b.ReportAllocs()
	for b.Loop() {
		updates += h.tell()
		h.pass(14 * time.Second)
	}
	h.report(updates)
}

// BenchmarkScaleNewSeqno is a full update of each neighbor with newer sequence numbers.
func BenchmarkScaleNewSeqno(b *testing.B) {
	h := newHub(b, 16*time.Second)
	updates := 0
	b.ReportAllocs()
	for b.Loop() {
		updates += h.tell()
		for _, packets := range h.said {
			for _, p := range packets {
				raiseSeqno(p)
			}
		}
	}
	h.report(updates)
}

// raiseSeqno adds one to the sequence number of each Update of a packet.
func raiseSeqno(packet []byte) {
	for p := packet[4:]; len(p) > 0; p = p[2+int(p[1]):] {
		if p[0] == 8 {
			binary.BigEndian.PutUint16(p[8:], binary.BigEndian.Uint16(p[8:])+1)
		}
	}
}

// BenchmarkScaleLinkDies is a link with all its routes that dies and comes back.
func BenchmarkScaleLinkDies(b *testing.B) {
	h := newHub(b, 10*time.Minute)
	h.tell()
	h.heard, h.bytes = 0, 0
	links := 0
	b.ReportAllocs()
	for b.Loop() {
		if links%100 == 99 { // or the routes expire
			h.tell()
		}
		k := links % hubLinks
		h.link(k, false)
		h.pass(3 * time.Second)
		h.link(k, true)
		h.pass(3 * time.Second)
		links++
	}
	b.ReportMetric(float64(h.heard)/float64(links), "sent/link")
}
