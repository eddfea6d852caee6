package lab

import (
	"bytes"
	"net/netip"
	"testing"
)

// ipv6 is a packet from one address to another.
func ipv6(from, to string, data []byte) []byte {
	b := make([]byte, 40, 40+len(data))
	b[0] = 6 << 4
	copy(b[8:], netip.MustParseAddr(from).AsSlice())
	copy(b[24:], netip.MustParseAddr(to).AsSlice())
	return append(b, data...)
}

func TestATapTellsItsNodesPacketsFromThoseOfOthers(t *testing.T) {
	pairs := []Pair{{"n4", "n2"}, {"n3", "n1"}}
	tap := tap{
		name: "n4", self: []netip.Prefix{netip.MustParsePrefix("2001:db8:42:4::/64"), netip.MustParsePrefix("::/0")},
		pairOf: func(train uint32) (Pair, bool) {
			if int(train) >= len(pairs) {
				return Pair{}, false
			}
			return pairs[train], true
		},
	}
	const self, a, b = "2001:db8:42:4::1", "2001:db8:42:1::1", "2001:db8:42:3::1"
	echoOf := func(train uint32) []byte { return encodeEcho(echo{kind: echoRequest, train: train, number: 1}) }
	for what, c := range map[string]struct {
		frame []byte
		tun   bool
		want  tapCounts
	}{
		"its own echo":                    {ipv6(self, a, echoOf(0)), true, tapCounts{own: 1}},
		"the answer":                      {ipv6(a, self, echoOf(0)), true, tapCounts{own: 1}},
		"an echo of others":               {ipv6(b, a, echoOf(1)), true, tapCounts{others: 1, foreign: 1}},
		"the same on another interface":   {append(make([]byte, 14), ipv6(b, a, echoOf(1))...), false, tapCounts{others: 1}},
		"another packet of others":        {ipv6(b, a, []byte("secret")), true, tapCounts{foreign: 1}},
		"a sealed frame":                  {bytes.Repeat([]byte{0x5a}, 100), false, tapCounts{}},
		"neighbor discovery":              {ipv6("fe80::1", "ff02::1", nil), true, tapCounts{}},
		"an echo of a train that is none": {ipv6(self, a, echoOf(7)), true, tapCounts{}},
		"an echo that is cut off":         {ipv6(self, a, echoOf(1)[:14]), true, tapCounts{}},
	} {
		tap.seen = tapCounts{}
		tap.count(c.frame, c.tun)
		if c.want.frames = 1; tap.seen != c.want {
			t.Errorf("%s: %+v, want %+v", what, tap.seen, c.want)
		}
	}
}
