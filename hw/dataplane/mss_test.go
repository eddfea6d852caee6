package dataplane

import (
	"bytes"
	"encoding/binary"
	"testing"

	"re6st/protocols/checksum"
	"re6st/protocols/fabric"
)

// tcp makes a segment with options, and its checksum right.
func tcp(inner func(payload string) []byte, flags byte, options ...byte) []byte {
	h := make([]byte, tcpHeaderLen, 64)
	h = append(h, options...)
	h[12], h[13] = byte(len(h)/4)<<4, flags
	b := inner(string(h))
	at := len(b) - len(h)
	if b[6] = protocolTCP; isIPv4(b) {
		b[6], b[9] = 0, protocolTCP
	}
	binary.BigEndian.PutUint16(b[at+16:], tcpSum(b, at))
	return b
}

// tcpSum is the checksum over the pseudo-header and the segment; 0 where it is right.
func tcpSum(b []byte, at int) uint16 {
	addresses := b[8:at]
	if isIPv4(b) {
		addresses = b[12:20]
	}
	return checksum.Of(uint64(len(b)-at)+protocolTCP, append(bytes.Clone(addresses), b[at:]...))
}

func six(payload string) []byte  { return packet(host(general, 1), host(general, 3), payload) }
func four(payload string) []byte { return packet4(host4(1), host4(3), payload) }

func TestTheMSSOfASYNIsClamped(t *testing.T) {
	mss := []byte{2, 4, 0x05, 0xb4} // 1460
	for name, x := range map[string]struct {
		inner       func(string) []byte
		flags       byte
		options     []byte
		whole, want int
	}{
		"IPv6":                      {six, tcpSYN, mss, 1380, 1320},
		"IPv4":                      {four, tcpSYN, mss, 1380, 1340},
		"SYN and ACK":               {six, tcpSYN | 0x10, mss, 1380, 1320},
		"under 1280":                {six, tcpSYN, mss, 1200, 1140},
		"never under the least":     {six, tcpSYN, mss, 100, leastMSS},
		"one that is small already": {six, tcpSYN, []byte{2, 4, 4, 0}, 1380, 1024},
		"behind other options":      {six, tcpSYN, []byte{3, 3, 7, 1, 2, 4, 0x05, 0xb4}, 1380, 1320},
		"at an odd place":           {six, tcpSYN, []byte{3, 3, 7, 2, 4, 0x05, 0xb4, 0}, 1380, 1320},
		"no SYN":                    {six, 0x10, mss, 1380, 1460},
		"behind the end of options": {six, tcpSYN, append([]byte{0, 0, 0, 0}, mss...), 1380, 1460},
		"an option of no length":    {six, tcpSYN, append([]byte{9, 0, 0, 0}, mss...), 1380, 1460},
	} {
		b := tcp(x.inner, x.flags, x.options...)
		at := len(b) - len(x.options) + bytes.Index(x.options, []byte{2, 4})
		clampMSS(b, x.whole)
		if got := int(binary.BigEndian.Uint16(b[at+2:])); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
		start := ipv6HeaderLen
		if isIPv4(b) {
			start = ipv4HeaderLen
		}
		if sum := tcpSum(b, start); sum != 0 {
			t.Errorf("%s: the checksum is wrong by %#x", name, sum)
		}
	}
}

func TestTheMSSIsClampedToThePathInBothDirections(t *testing.T) {
	a, relay, b := metLine(t)
	a.SetLinkMTU(2, 1252)
	b.SetLinkMTU(2, 1232) // the way back is narrower
	run(t, a, relay, b)
	mss := func(want int) {
		t.Helper()
		a.tun.Inject(tcp(six, tcpSYN, 2, 4, 0x05, 0xb4))
		got := out(t, b)
		if n := int(binary.BigEndian.Uint16(got[len(got)-2:])); n != want || tcpSum(got, ipv6HeaderLen) != 0 {
			t.Errorf("MSS %d, want %d", n, want)
		}
	}
	mss(1232 - fabric.Overhead - 60)
	b.SetLinkMTU(2, 1472)
	mss(1252 - fabric.Overhead - 60)
	a.SetLinkMTU(2, 1472)
	mss(1380 - 60)
}

// FuzzClampMSS: nothing but the MSS and the checksum of a SYN changes, and a checksum that
// was right stays so.
func FuzzClampMSS(f *testing.F) {
	f.Add(tcp(six, tcpSYN, 2, 4, 0x05, 0xb4), uint16(1380))
	f.Add(tcp(four, tcpSYN, 3, 3, 7, 2, 4, 0x05, 0xb4, 0), uint16(1300))
	f.Add(tcp(six, tcpSYN, 9, 0, 2, 4), uint16(1380))
	f.Fuzz(func(t *testing.T, b []byte, whole uint16) {
		if _, _, ok := parseInner(b); !ok {
			return
		}
		at := synAt(b)
		before := bytes.Clone(b)
		clampMSS(b, int(whole))
		differ := 0
		for i := range b {
			if b[i] != before[i] {
				differ++
			}
		}
		if differ > 4 || at == 0 && differ > 0 {
			t.Fatalf("%d bytes changed", differ)
		}
		if at > 0 && tcpSum(before, at) == 0 && tcpSum(b, at) != 0 {
			t.Errorf("the checksum was right, and is not")
		}
	})
}
