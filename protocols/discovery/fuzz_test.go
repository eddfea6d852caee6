package discovery

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"re6st/protocols/addr"
)

// FuzzOpen: whatever is in a beacon, sealed rightly or not, what is believed can be
// sent on and then is the same.
func FuzzOpen(f *testing.F) {
	key, err := NewKey([32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddr("fe80::1")
	packet, err := key.Seal(rand.Reader, from, Beacon{ID: addr.NodeIDFromUint64(1), Static: [32]byte{1}, Port: 7326})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	f.Add(make([]byte, bodySize))
	f.Add(append(bytes.Repeat([]byte{1}, 42), append([]byte{128}, bytes.Repeat([]byte{0xa5}, 20)...)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = key.Open(from, raw)
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		sealed := key.aead.Seal(append([]byte{version}, nonce...), nonce, raw, associated(from))
		b, err := key.Open(from, sealed)
		if err != nil {
			return
		}
		again, err := key.Seal(rand.Reader, from, b)
		if err != nil {
			t.Fatalf("%+v was read but cannot be sent: %v", b, err)
		}
		if c, err := key.Open(from, again); err != nil || c != b {
			t.Fatalf("%+v became %+v, %v", b, c, err)
		}
	})
}
