package sock

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// rooms is room for count packets, of so many bytes each.
func rooms(count, size int) []Packet {
	packets := make([]Packet, count)
	for i := range packets {
		packets[i].Data = make([]byte, 0, size)
	}
	return packets
}

// TestOneCallReadsWhatWaits has ten datagrams wait, the fourth of which is too long for its
// room: the others come in their order, more than one with a call, or one by one where the
// kernel has no call for several.
func TestOneCallReadsWhatWaits(t *testing.T) {
	for _, singly := range []bool{false, true} {
		u, peer := open(t, Config{}), open(t, Config{})
		u.in.singly = singly
		to := netip.AddrPortFrom(netip.IPv6Loopback(), u.LocalAddr().Port())
		const count, tooLong = 10, 3
		most := 0
		for attempt := 0; attempt < 100 && (attempt == 0 || most < 2 && !singly); attempt++ {
			for i := range count {
				size := 100 + i
				if i == tooLong {
					size = 1000
				}
				write(t, peer, Packet{Data: bytes.Repeat([]byte{byte(i)}, size), Addr: to, TOS: uint8(i << 2)})
			}
			var got []byte
			for len(got) < count-1 {
				packets := rooms(count, 200)
				n, err := u.ReadBatch(packets)
				if err != nil {
					t.Fatal(err)
				}
				most = max(most, n)
				for _, p := range packets[:n] {
					i := p.Data[0]
					got = append(got, i)
					if len(p.Data) != 100+int(i) || p.TOS != i<<2 || p.Addr != netip.AddrPortFrom(to.Addr(), peer.LocalAddr().Port()) ||
						p.Local != to.Addr() || p.Segment != 0 {
						t.Errorf("datagram %d: %d bytes from %s to %s, TOS %#x", i, len(p.Data), p.Addr, p.Local, p.TOS)
					}
				}
			}
			if want := []byte{0, 1, 2, 4, 5, 6, 7, 8, 9}; !bytes.Equal(got, want) {
				t.Fatalf("%v came, not %v", got, want)
			}
			if n := u.Stats().Truncated; n != uint64(attempt+1) {
				t.Errorf("%d were too long, after %d rounds", n, attempt+1)
			}
		}
		if singly != (most == 1) {
			t.Errorf("singly %v: %d datagrams with one call", singly, most)
		}
	}
}

// TestAReaderOfJoinedDatagramsGetsOnePacketAtATime: the others have no room for several.
func TestAReaderOfJoinedDatagramsGetsOnePacketAtATime(t *testing.T) {
	u, peer := open(t, Config{Batches: true}), open(t, Config{})
	if !u.in.singly {
		t.Skip("this kernel has no UDP_GRO")
	}
	to := netip.AddrPortFrom(netip.IPv6Loopback(), u.LocalAddr().Port())
	for i := range 4 {
		write(t, peer, Packet{Data: make([]byte, 100+i), Addr: to})
	}
	for range 4 {
		if n, err := u.ReadBatch(rooms(4, ReadRoom)); n != 1 || err != nil {
			t.Fatalf("%d packets, %v", n, err)
		}
	}
}

// TestDatagramsThatTheKernelDoesNotCutGoAllTheSame: by one call, one by one, and but for one
// that fails.
func TestDatagramsThatTheKernelDoesNotCutGoAllTheSame(t *testing.T) {
	for _, c := range []struct {
		name   string
		alone  bool   // no sendmmsg
		faults uint64 // of which the first has the kernel not cut
		count  int
		sent   int
	}{
		{"together", false, 1, MaxSegments, MaxSegments},
		{"one by one", true, 1, MaxSegments, MaxSegments},
		{"but for the first", false, 2, 20, 19},
		{"one by one, but for the first", true, 2, 20, 19},
	} {
		faults := fault.New(time.Now)
		to, from := open(t, Config{}), open(t, Config{Batches: true, Faults: faults})
		from.noTogether.Store(c.alone)
		if err := faults.Fail(fault.Rule{Call: fault.SockSend, Errno: unix.EIO, Count: c.faults}); err != nil {
			t.Fatal(err)
		}
		p := numbered(c.count, 500, 20)
		p.Addr = netip.AddrPortFrom(netip.IPv6Loopback(), to.LocalAddr().Port())
		n, err := from.WriteBatch([]Packet{p})
		s := from.Stats()
		if n != c.sent || err != nil || s.Sent != uint64(c.sent) || s.Unbatched != 1 || s.OtherErrors != uint64(c.count-c.sent) {
			t.Errorf("%s: sent %d, %v; %+v", c.name, n, err, s)
		}
		all, _ := collect(t, to, c.sent)
		if want := p.Data[500*(c.count-c.sent):]; !bytes.Equal(bytes.Join(all, nil), want) {
			t.Errorf("%s: %d datagrams came, and not as they were", c.name, len(all))
		}
	}
}
