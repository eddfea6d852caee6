package peer_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/peer"
)

func seed(f *testing.F) {
	for i, m := range samples(f) {
		b, err := peer.Append(nil, peer.Header{Epoch: 3, Sequence: uint32(i) + 1}, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
}

// FuzzDecode: what is decoded can be sent on, and then is decoded to the same.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, m, err := peer.Decode(b)
		if err != nil {
			return
		}
		one, err := peer.Append(nil, h, m)
		if err != nil {
			t.Fatalf("%#v was decoded but cannot be sent: %v", m, err)
		}
		_, again, err := peer.Decode(one)
		if err != nil {
			t.Fatalf("%#v: %v", m, err)
		}
		two, err := peer.Append(nil, h, again)
		if err != nil || !bytes.Equal(one, two) {
			t.Fatalf("%x\n%x, %v", one, two, err)
		}
	})
}

// FuzzExchange: whatever a peer sends, one end of a link stays within its limits
// and answers each message with few.
func FuzzExchange(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Unix(0, 0)
		x := peer.New(now, peer.Config{
			Self: addr.NodeIDFromUint64(1), Peer: addr.NodeIDFromUint64(2), Epoch: 1,
			Networks: []netip.Prefix{netip.MustParsePrefix("2001:db8:42::/48")},
		})
		x.HandleDocument(now, peer.Params, 2, make([]byte, 3000))
		x.Drain(func(peer.Event) {})
		for range 3 {
			_ = x.HandleMessage(now, b) // any answer will do but a crash or a flood
			sent := 0
			x.Drain(func(e peer.Event) {
				if _, ok := e.(peer.Send); ok {
					sent++
				}
			})
			if sent > 2 {
				t.Fatalf("%d messages for one", sent)
			}
		}
	})
}
