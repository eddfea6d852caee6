package netcheck

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"re6st/hw/sock"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/netcheck"
)

func TestAnswersThatComeTogetherCount(t *testing.T) {
	now := time.Now()
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := cert.NewAuthority(rand.Reader, key, netip.MustParsePrefix("2001:db8:42::/48"), now)
	if err != nil {
		t.Fatal(err)
	}
	node := fabric.NewAcceptor(fabric.AcceptorConfig{
		Credentials: &fabric.Credentials{Authority: ca.Authority, Identity: &cert.Identity{ID: addr.NodeIDFromUint64(1)}},
		Rand:        rand.Reader, NewIndex: func() uint32 { return 1 },
	})
	at := netip.MustParseAddrPort("192.0.2.1:443")
	a := &asking{machine: netcheck.New(now, netcheck.Config{Fingerprint: ca.Fingerprint, Targets: []netip.AddrPort{at}})}
	var together sock.Packet
	for range 2 { // the second question goes while the first waits for the connection
		a.machine.Drain(func(e netcheck.Event) {
			node.HandleDatagram(now, fabric.Path{Remote: at}, e.(netcheck.Send).Datagram)
		})
		node.Drain(func(e fabric.Event) {
			together.Segment = len(e.(fabric.Send).Datagram)
			together.Data = slices.Concat(together.Data, e.(fabric.Send).Datagram)
		})
		next, _ := a.machine.NextTimeout()
		now = next
		a.machine.HandleTimeout(now)
	}
	if together.Datagrams() != 2 {
		t.Fatalf("%d answers", together.Datagrams())
	}
	if a.hear(now, together); !a.machine.Results()[0].Answered {
		t.Error("two answers that come together are none")
	}
}
