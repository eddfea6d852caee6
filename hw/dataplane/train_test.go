package dataplane

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/hw/hwtest"
	"re6st/hw/sock"
	"re6st/tsn/class"
)

// batches is a Conn that keeps the packets that it was given.
type batches struct {
	*hwtest.Conn
	packets []sock.Packet
	refuse  int // datagrams of each packet that the kernel does not take
}

func (b *batches) WriteBatch(packets []sock.Packet) (n int, err error) {
	for _, p := range packets {
		p.Data = bytes.Clone(p.Data)
		b.packets = append(b.packets, p)
		n += p.Datagrams() - b.refuse
	}
	return n, nil
}

// frames are the datagrams of all packets.
func (b *batches) frames() (all [][]byte) {
	for _, p := range b.packets {
		for rest, n := p.Data, p.Datagrams(); n > 0; n-- {
			frame := rest
			if n > 1 {
				frame, rest = rest[:p.Segment], rest[p.Segment:]
			}
			all = append(all, frame)
		}
	}
	return all
}

// catch has a node send into a batches.
func catch(x *node) *batches {
	b := &batches{Conn: x.conn}
	x.conns[0] = b
	return b
}

// together is packets as the kernel hands them over when they came at once.
func together(frames [][]byte) sock.Packet {
	p := sock.Packet{Addr: endpoint(1), At: time.Now(), Segment: len(frames[0])}
	for _, f := range frames {
		p.Data = append(p.Data, f...)
	}
	return p
}

// TestFramesOfOneLengthLeaveTogether is what a relay and an ingress do with packets of one
// length, a shorter one, one of another class, more than go at once, and a longer one.
func TestFramesOfOneLengthLeaveTogether(t *testing.T) {
	a, relay, b := metLine(t)
	entered, passed := catch(a), catch(relay)
	w := a.newWorker(maxBatch)
	var inners [][]byte
	add := func(c class.Class, count, size int) {
		for range count {
			p := packet(host(c, 1), host(c, 3), strings.Repeat("x", size))
			p[40] = byte(len(inners))
			inners = append(inners, p)
		}
	}
	add(general, 45, 1340)
	add(general, 10, 1340)
	add(general, 1, 100)
	add(general, 3, 1340)
	add(safety, 2, 1340)
	add(general, 70, 60)
	add(general, 1, 1340)
	for _, p := range inners {
		copy(w.room(len(p)), p)
		w.fromTUN(w.room(len(p)))
	}
	w.depart()
	want := []int{45, 11, 3, 2, sock.MaxSegments, 70 - sock.MaxSegments, 1}
	counts := func(x *batches) (all []int) {
		for _, p := range x.packets {
			all = append(all, p.Datagrams())
		}
		return all
	}
	if got := counts(entered); !slices.Equal(got, want) {
		t.Errorf("entered in calls of %v, want %v", got, want)
	}
	if s := a.Stats(); s.Ingress.Packets != uint64(len(inners)) {
		t.Errorf("counted %+v of %d", s.Ingress, len(inners))
	}

	r := relay.newWorker(maxFrame)
	bytesPassed := 0
	for _, p := range entered.packets {
		p.Addr, p.At = endpoint(1), time.Now()
		bytesPassed += len(p.Data)
		r.fromConn(&p)
		r.depart()
	}
	if got := counts(passed); !slices.Equal(got, want) {
		t.Errorf("passed on in calls of %v, want %v", got, want)
	}
	if s, _ := relay.LinkStats(3); relay.Stats().Relayed != (Count{uint64(len(inners)), uint64(bytesPassed)}) || s.Sent != relay.Stats().Relayed {
		t.Errorf("counted %+v, and %+v of the link", relay.Stats().Relayed, s.Sent)
	}
	if s, _ := relay.LinkStats(1); s.Received.Packets != uint64(len(inners)) {
		t.Errorf("counted %+v from the link", s.Received)
	}

	e := b.newWorker(maxFrame)
	for _, p := range passed.packets {
		p.Addr, p.At = endpoint(2), time.Now()
		e.fromConn(&p)
		e.endBatch()
	}
	for i, want := range inners {
		if got := out(t, b); !bytes.Equal(got, want) {
			t.Fatalf("packet %d: % x", i, got[:48])
		}
	}
	if s := b.Stats(); s.Egress.Packets != uint64(len(inners)) || len(s.Drops)+len(a.Stats().Drops)+len(relay.Stats().Drops) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestABadFrameLeavesTheOthersOfItsBatchAlone spoils some frames of a batch.
func TestABadFrameLeavesTheOthersOfItsBatchAlone(t *testing.T) {
	a, relay, b := metLine(t)
	entered, passed := catch(a), catch(relay)
	w := a.newWorker(maxBatch)
	for i := range 10 {
		p := packet(host(general, 1), host(general, 3), strings.Repeat("x", 500))
		p[40] = byte(i)
		copy(w.room(len(p)), p)
		w.fromTUN(w.room(len(p)))
	}
	w.depart()
	frames := entered.frames()
	if len(frames) != 10 {
		t.Fatalf("%d frames", len(frames))
	}
	frames[2][40] ^= 1                       // forged
	frames[5] = frames[4]                    // replayed
	frames[7] = make([]byte, len(frames[0])) // no frame
	frames[9] = frames[9][:len(frames[9])-1] // cut off: the hop MAC covers the length
	in := together(frames)
	r := relay.newWorker(maxFrame)
	r.fromConn(&in)
	r.depart()
	for reason, n := range map[Reason]uint64{DropForgedHop: 2, DropReplayedHop: 1, DropUnknownType: 1} {
		dropped(t, relay, reason, n)
	}
	e := b.newWorker(maxFrame)
	for _, p := range passed.packets {
		p.Addr, p.At = endpoint(2), time.Now()
		e.fromConn(&p)
		e.endBatch()
	}
	for _, want := range []byte{0, 1, 3, 4, 6, 8} {
		if got := out(t, b); got[40] != want {
			t.Errorf("packet %d came in place of %d", got[40], want)
		}
	}
	if relay.Stats().Relayed.Packets != 6 {
		t.Errorf("%+v", relay.Stats())
	}
}

// TestABatchOfManyShortFramesPassesWhole has more of them come at once than leave by one call,
// with one of another link, and one that is none, between them.
func TestABatchOfManyShortFramesPassesWhole(t *testing.T) {
	a, relay, b := metLine(t)
	entered, passed := catch(a), catch(relay)
	w := a.newWorker(maxBatch)
	const count = 3 * sock.MaxSegments
	for i := range count {
		p := packet(host(general, 1), host(general, 3), strings.Repeat("x", 100))
		p[40] = byte(i)
		copy(w.room(len(p)), p)
		w.fromTUN(w.room(len(p)))
	}
	w.depart()
	frames := entered.frames()
	other, none := bytes.Clone(frames[0]), make([]byte, len(frames[0]))
	other[8] ^= 1 // the link index
	frames = slices.Insert(frames, 100, other, none)
	in := together(frames)
	r := relay.newWorker(maxFrame)
	r.fromConn(&in)
	r.endBatch()
	dropped(t, relay, DropUnknownLink, 1)
	dropped(t, relay, DropUnknownType, 1)
	e := b.newWorker(maxFrame)
	for _, p := range passed.packets {
		p.Addr, p.At = endpoint(2), time.Now()
		e.fromConn(&p)
		e.endBatch()
	}
	for i := range count {
		if got := out(t, b); got[40] != byte(i) {
			t.Fatalf("packet %d came in place of %d", got[40], byte(i))
		}
	}
}

// TestFramesWhoseKeysEndBeforeTheyLeaveAreCountedEach retires keys under frames that are about
// to leave.
func TestFramesWhoseKeysEndBeforeTheyLeaveAreCountedEach(t *testing.T) {
	a, _, _ := metLine(t)
	entered := catch(a)
	w := a.newWorker(maxBatch)
	for range 10 {
		p := packet(host(general, 1), host(general, 3), strings.Repeat("x", 500))
		copy(w.room(len(p)), p)
		w.fromTUN(w.room(len(p)))
	}
	a.RetireLink(a.links.Load().byID[2].session.Load().LocalIndex())
	w.depart()
	dropped(t, a, DropNoKeys, 10)
	if s, l := a.Stats(), must2(a.LinkStats(2)); len(entered.packets) != 0 || s.Ingress.Packets != 0 || l.Dropped != 10 {
		t.Errorf("%d packets left: %+v, the link %+v", len(entered.packets), s, l)
	}
}

// TestFramesThatTheKernelDoesNotTakeAreCountedEach has it take all but two of a batch.
func TestFramesThatTheKernelDoesNotTakeAreCountedEach(t *testing.T) {
	a, _, _ := metLine(t)
	entered := catch(a)
	entered.refuse = 2
	w := a.newWorker(maxBatch)
	for range 10 {
		p := packet(host(general, 1), host(general, 3), strings.Repeat("x", 500))
		copy(w.room(len(p)), p)
		w.fromTUN(w.room(len(p)))
	}
	w.depart()
	s, l := a.Stats(), must2(a.LinkStats(2))
	if s.Ingress != (Count{8, 8 * 540}) || s.Drops[DropUnderlay] != 2 || l.Dropped != 2 || l.Sent.Packets != 8 {
		t.Errorf("%+v, the link %+v", s, l)
	}
}

func must2(s LinkStats, ok bool) LinkStats {
	if !ok {
		panic("no such link")
	}
	return s
}
