package babel

import (
	"bytes"
	"math"
	"math/rand"
	"net/netip"
	"testing"
)

// A counter that has run out takes 2^32 packets; so this test is inside.
func TestACounterThatRanOutMakesANewIndex(t *testing.T) {
	a, err := NewAuthenticator(MACConfig{
		Keys: []MACKey{{ID: "k", Algorithm: HMACSHA256, Value: []byte{1}}}, Local: netip.MustParseAddr("fe80::a"), Rand: rand.New(rand.NewSource(1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	packet, before := []byte{magic, version, 0, 0}, a.index
	a.pc = math.MaxUint32
	last := a.Seal(packet, netip.Addr{})
	if !bytes.Equal(last[6:18], append([]byte{255, 255, 255, 255}, before[:]...)) {
		t.Errorf("the last packet of the index is %x", last)
	}
	first := a.Seal(packet, netip.Addr{})
	if a.index == before || !bytes.Equal(first[6:18], append([]byte{0, 0, 0, 0}, a.index[:]...)) {
		t.Errorf("the one behind it is %x", first)
	}
}
