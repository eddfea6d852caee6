package portmap_test

import (
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/portmap"
)

// FuzzClient: whatever a gateway sends, a client says at most that its port is mapped to
// an address of the world, and sends no more than its tries.
func FuzzClient(f *testing.F) {
	for _, s := range []string{pcpGranted, pmpAddress, pmpGranted, "0002000000000000", "028100020000001e00000003000000000000000000000000"} {
		f.Add(unhex(f, s), unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		now := time.Unix(0, 0)
		c := portmap.NewClient(7326, testNonce(t))
		c.HandleGateway(now, netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.2"))
		sent := 0
		for range 40 {
			c.HandleDatagram(now, one)
			c.HandleDatagram(now, two)
			c.Drain(func(e portmap.Event) {
				switch e := e.(type) {
				case portmap.Send:
					sent++
				case portmap.Mapped:
					if a := e.External.Addr(); !a.IsGlobalUnicast() || a.IsPrivate() || e.External.Port() == 0 {
						t.Fatalf("mapped at %v", e.External)
					}
				case portmap.AskIGD, portmap.ReleaseIGD, portmap.Unmapped:
				}
			})
			next, ok := c.NextTimeout()
			if ok && !next.After(now) {
				t.Fatalf("at %v the next timeout is %v", now, next)
			}
			if ok {
				now = next
			}
			c.HandleTimeout(now)
		}
		if sent > 40*2*2 {
			t.Fatalf("%d datagrams", sent)
		}
	})
}

// FuzzParsePCPAnnounced: what a gateway sends is an answer, or an error.
func FuzzParsePCPAnnounced(f *testing.F) {
	f.Add(unhex(f, pcpGranted))
	f.Add(unhex(f, "028000000000000000000003000000000000000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := portmap.ParsePCPAnnounced(b); err == nil && (len(b) < 24 || b[0] != 2 || b[1] != 0x80) {
			t.Fatalf("%x is taken", b)
		}
	})
}
