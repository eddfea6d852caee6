package node

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// icmpUnreachable is the type of ICMPv6's "destination unreachable" (RFC 4443
// section 3.1).
const icmpUnreachable = 1

func TestAPacketToNowhereIsAnsweredByThisNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 2)
		m.line()
		m.whole(5 * time.Second)
		n := m.nodes[0]
		packet := m.packet(0, 1, "to nowhere")
		nowhere := netip.MustParseAddr("2001:db8:42:99::1").As16()
		copy(packet[24:40], nowhere[:])
		n.tun.Inject(packet)
		select {
		case answer := <-n.tun.Out():
			if from := netip.AddrFrom16([16]byte(answer[8:24])); answer[40] != icmpUnreachable || from != n.address {
				t.Errorf("ICMPv6 of type %d from %s, want %d from %s", answer[40], from, icmpUnreachable, n.address)
			}
		case <-time.After(time.Second):
			t.Error("no answer")
		}
	})
}
