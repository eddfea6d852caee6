package sock

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"re6st/hw/fault"
)

// numbered is count datagrams of one length, but for the last.
func numbered(count, length, last int) Packet {
	p := Packet{Segment: length}
	for i := range count - 1 {
		p.Data = append(p.Data, bytes.Repeat([]byte{byte(i + 1)}, length)...)
	}
	p.Data = append(p.Data, bytes.Repeat([]byte{byte(count)}, last)...)
	return p
}

// collect reads until that many datagrams came.
func collect(t *testing.T, u *UDP, count int) (all [][]byte, reads []Packet) {
	t.Helper()
	room := make([]byte, ReadRoom)
	for len(all) < count {
		p := []Packet{{Data: room}}
		if _, err := u.ReadBatch(p); err != nil {
			t.Fatal(err)
		}
		reads = append(reads, p[0])
		rest := bytes.Clone(p[0].Data)
		for n := p[0].Datagrams(); n > 1; n-- {
			all, rest = append(all, rest[:p[0].Segment]), rest[p[0].Segment:]
		}
		all = append(all, rest)
	}
	return all, reads
}

// TestManyDatagramsOfOneCallArriveAsTheyAre is one for each of: cut and joined by the
// kernel, only cut, only joined, neither.
func TestManyDatagramsOfOneCallArriveAsTheyAre(t *testing.T) {
	for _, c := range []struct{ count, length, last int }{
		{2, 1, 1}, {MaxSegments, 1000, 1000}, {MaxSegments, 1000, 1}, {45, 1452, 300}, {7, 9000, 500},
	} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			for _, joined := range []bool{false, true} {
				for _, whole := range []bool{false, true} {
					faults := fault.New(time.Now)
					to := open(t, Config{Batches: joined})
					from := open(t, Config{Batches: true, Faults: faults})
					if !whole { // as where an interface makes no checksums
						if err := faults.Fail(fault.Rule{Call: fault.SockSend, Errno: unix.EIO, Count: 1}); err != nil {
							t.Fatal(err)
						}
					}
					p := numbered(c.count, c.length, c.last)
					p.Addr, p.TOS = netip.AddrPortFrom(netip.MustParseAddr(host), to.LocalAddr().Port()), 46<<2|1
					if n, err := from.WriteBatch([]Packet{p}); n != c.count || err != nil {
						t.Fatalf("%+v: sent %d, %v; %+v", c, n, err, from.Stats())
					}
					all, reads := collect(t, to, c.count)
					if got := bytes.Join(all, nil); !bytes.Equal(got, p.Data) || len(all) != c.count {
						t.Errorf("%+v to %s: %d datagrams, %d bytes came", c, host, len(all), len(got))
					}
					for i := range all[:c.count-1] {
						if len(all[i]) != c.length {
							t.Errorf("%+v to %s: datagram %d has %d bytes", c, host, i, len(all[i]))
						}
					}
					for _, r := range reads {
						if r.TOS != p.TOS || r.Addr.Addr() != p.Addr.Addr() || r.Local != p.Addr.Addr() {
							t.Errorf("%+v: from %v to %v, TOS %#x", c, r.Addr, r.Local, r.TOS)
						}
					}
					s, r := from.Stats(), to.Stats()
					if s.Sent != uint64(c.count) || r.Received != uint64(c.count) {
						t.Errorf("%+v: counted %d sent, %d received", c, s.Sent, r.Received)
					}
					if whole == (s.Unbatched != 0) || whole != (s.SentBatches == 1) {
						t.Errorf("%+v: the kernel cuts: %v, and %+v", c, whole, s)
					}
					if !joined && len(reads) != c.count || joined != (r.ReceivedBatches > 0) && whole {
						t.Errorf("%+v: joined %v, and %d reads; %+v", c, joined, len(reads), r)
					}
				}
			}
		}
	}
}
