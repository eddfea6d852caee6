package fabric

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var testKey = newMACKey([32]byte{1, 2, 3})

func TestHandshakeMessagesLieAsInTheTables(t *testing.T) {
	c := cookie(bytes.Repeat([]byte{0xc0}, cookieLen))
	request := initiation{header: handshakeHeader{sender: 0x01020304}}.append(nil, testKey)
	first := initiation{
		header: handshakeHeader{variant: uint8(patternXX), sender: 0x01020304}, cookie: c, noise: []byte{0xaa, 0xbb},
	}.append(nil, testKey)
	for _, m := range []struct {
		name string
		b    []byte
		want string
		size int
	}{
		{"request", request, "11000000" + "01020304" + "00000000" + strings.Repeat("00", 16), requestLen},
		{"initiation", first, "11010002" + "01020304" + "00000000" + strings.Repeat("c0", 16) + "aabb0000", MinInitiation},
		{"retry", appendRetry(nil, 0x01020304, c, testKey, [16]byte{9}), "14000000" + "00000000" + "01020304" + strings.Repeat("c0", 16), retryLen},
		{"response", handshakeHeader{kind: TypeResponse, sender: 5, receiver: 6}.append(nil), "12000000" + "00000005" + "00000006", 12},
		{"verdict", handshakeHeader{kind: TypeFinal, variant: variantVerdict, sender: 5, receiver: 6}.append(nil), "13020000" + "00000005" + "00000006", 12},
		{
			"fragment", cut(append(handshakeHeader{kind: TypeResponse, sender: 5, receiver: 6}.append(nil), make([]byte, 60)...), c, 60)[1],
			"15020103" + "00000005" + "00000006" + strings.Repeat("c0", 16), 60,
		},
	} {
		if got := hex.EncodeToString(m.b); !strings.HasPrefix(got, m.want) || len(m.b) != m.size {
			t.Errorf("%s: %d bytes\n got %s\nwant %s", m.name, len(m.b), got, m.want)
		}
	}
	for _, b := range [][]byte{request, first} {
		if h, err := parseHandshakeHeader(b); err != nil || !testKey.isMarked(b) || h.sender != 0x01020304 {
			t.Errorf("%x: %v", b, err)
		}
	}
	h, _ := parseHandshakeHeader(first)
	if m := parseInitiation(h, first); m.cookie != c || !bytes.Equal(m.noise, []byte{0xaa, 0xbb}) {
		t.Errorf("initiation came back as %+v", m)
	}
}

func TestBadHandshakeHeadersAreNamed(t *testing.T) {
	valid := func(h handshakeHeader, size int) []byte {
		return append(h.append(nil), make([]byte, size-handshakeHeaderLen)...)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"one byte", []byte{0x11}, ErrShort},
		{"QUIC", []byte{0x41}, ErrVersion},
		{"control", valid(handshakeHeader{kind: TypeControl}, 60), ErrType},
		{"too long", valid(handshakeHeader{kind: TypeResponse, receiver: 1}, MaxHandshake+1), ErrTooLong},
		{"initiation without index", valid(handshakeHeader{kind: TypeInitiation}, 100), ErrHandshake},
		{"initiation to an index", valid(handshakeHeader{kind: TypeInitiation, sender: 1, receiver: 1}, 100), ErrHandshake},
		{"initiation too short", valid(handshakeHeader{kind: TypeInitiation, sender: 1}, requestLen-1), ErrHandshake},
		{"Noise message past the end", valid(handshakeHeader{kind: TypeInitiation, variant: 1, sender: 1, extra: 57}, 100), ErrHandshake},
		{"request with a Noise message", valid(handshakeHeader{kind: TypeInitiation, sender: 1, extra: 9}, 100), ErrHandshake},
		{"pattern without a Noise message", valid(handshakeHeader{kind: TypeInitiation, variant: 1, sender: 1}, 100), ErrHandshake},
		{"pattern IX", valid(handshakeHeader{kind: TypeInitiation, variant: 3, sender: 1, extra: 9}, 100), ErrHandshake},
		{"response to nobody", valid(handshakeHeader{kind: TypeResponse, sender: 1}, 100), ErrHandshake},
		{"final of no variant", valid(handshakeHeader{kind: TypeFinal, sender: 1, receiver: 1}, 100), ErrHandshake},
		{"verdict of another length", valid(handshakeHeader{kind: TypeFinal, variant: 2, sender: 1, receiver: 1}, verdictLen+1), ErrHandshake},
		{"retry of another length", valid(handshakeHeader{kind: TypeRetry, receiver: 1}, retryLen-1), ErrHandshake},
		{"only fragment", valid(handshakeHeader{kind: TypeHandshakeFragment, variant: 1, sender: 1, extra: 1}, 100), ErrHandshake},
		{"fragment past the count", valid(handshakeHeader{kind: TypeHandshakeFragment, variant: 1, sender: 1, extra: 2<<8 | 2}, 100), ErrHandshake},
		{"too many fragments", valid(handshakeHeader{kind: TypeHandshakeFragment, variant: 1, sender: 1, extra: 9}, 100), ErrHandshake},
		{"empty fragment", valid(handshakeHeader{kind: TypeHandshakeFragment, variant: 1, sender: 1, extra: 2}, fragmentHeaderLen), ErrHandshake},
		{"fragment of a fragment", valid(handshakeHeader{kind: TypeHandshakeFragment, variant: 5, sender: 1, extra: 2}, 100), ErrHandshake},
	} {
		if index, err := HandshakeIndex(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: index %d, %v, want %v", c.name, index, err, c.want)
		}
	}
}

func TestHelloRoundTrip(t *testing.T) {
	h := hello{index: 7, boot: BootID{1, 2}, suites: []Suite{2, 1, 9}, certificate: []byte("certificate"), binding: []byte("binding")}
	got, err := parseHello(h.append(nil))
	if err != nil || got.index != 7 || got.boot != h.boot || !slices.Equal(got.suites, h.suites) ||
		!bytes.Equal(got.certificate, h.certificate) || !bytes.Equal(got.binding, h.binding) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = parseHello(hello{refusal: CloseFull}.append(nil)); err != nil || got.refusal != CloseFull {
		t.Errorf("refusal: %+v, %v", got, err)
	}
	b := h.append(nil)
	for n := range b {
		if _, err := parseHello(b[:n]); !errors.Is(err, ErrHandshake) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	for i, v := range map[int]byte{0: 2, 1: 1, 2: 9, 3: 1} { // flags, reason without flag, suites, reserved
		m := slices.Clone(b)
		m[i] = v
		if _, err := parseHello(m); !errors.Is(err, ErrHandshake) {
			t.Errorf("byte %d = %d: %v", i, v, err)
		}
	}
}

func TestAHelloNamesFewSuites(t *testing.T) {
	h := hello{index: 7, suites: make([]Suite, maxSuites), certificate: []byte("certificate")}
	if _, err := parseHello(h.append(nil)); err != nil {
		t.Errorf("%d suites: %v", maxSuites, err)
	}
	h.suites = append(h.suites, AESGCM)
	if _, err := parseHello(h.append(nil)); !errors.Is(err, ErrHandshake) {
		t.Errorf("%d suites: %v", len(h.suites), err)
	}
}

func TestUnfinishedMessagesAreBoundedBySourceAndInAll(t *testing.T) {
	now := time.Unix(1, 0)
	var c collector
	add := func(host byte, index uint32) dropReason {
		b := handshakeHeader{kind: TypeHandshakeFragment, variant: uint8(TypeResponse), extra: 2, sender: index, receiver: 1}.append(nil)
		b = append(b, make([]byte, cookieLen+1)...)
		h, err := parseHandshakeHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		_, drop := c.add(now, source{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 1)}, h, b)
		return drop
	}
	for i := range uint32(maxSourceReassemblies + 1) {
		if drop := add(1, 1+i); (drop != dropNone) != (i == maxSourceReassemblies) {
			t.Errorf("message %d of a source: %v", i, drop)
		}
	}
	for host := range byte(MaxHandshakeReassemblies) {
		drop := add(2+host, 1)
		if isFull := int(host) >= MaxHandshakeReassemblies-maxSourceReassemblies; (drop != dropNone) != isFull {
			t.Errorf("the first message of source %d: %v", host, drop)
		}
	}
}

func TestFragmentsMakeTheMessageInAnyOrder(t *testing.T) {
	message := handshakeHeader{kind: TypeInitiation, sender: 3}.append(nil)
	for i := range 8000 {
		message = append(message, byte(i))
	}
	from := source{addr: netip.MustParseAddrPort("192.0.2.1:1")}
	pieces := cut(message, cookie{1}, 1100)
	slices.Reverse(pieces)
	var c collector
	for i, p := range append(pieces[:1:1], pieces...) { // the first one twice
		h, err := parseHandshakeHeader(p)
		if err != nil || len(p) > 1100 {
			t.Fatal(len(p), err)
		}
		whole, drop := c.add(time.Unix(1, 0), from, h, p)
		if drop != dropNone || (whole != nil) != (i == len(pieces)) {
			t.Fatalf("piece %d: %v", i, drop)
		}
		if whole != nil && !bytes.Equal(whole, message) {
			t.Error("another message came out")
		}
	}
	if len(c.partials) != 0 {
		t.Error("something stays")
	}
}

func TestFullMemoryOfInitiationsBeginsANewEpoch(t *testing.T) {
	j := jar{rand: bytes.NewReader(bytes.Repeat([]byte("secret"), 100))}
	now, from := time.Unix(1, 0), source{addr: netip.MustParseAddrPort("192.0.2.1:1")}
	c, err := j.mint(now, from)
	if err != nil {
		t.Fatal(err)
	}
	var e [keyLen]byte
	for i := range 2 * MaxSeenInitiations {
		e[0], e[1] = byte(i), byte(i>>8)
		if !j.accepts(now, from, c) {
			t.Fatalf("the cookie ended after %d initiations", i)
		}
		if err := j.remember(now, e); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(j.current.seen) + len(j.previous.seen); n != 2*MaxSeenInitiations {
		t.Errorf("%d are remembered", n)
	}
	if err := j.remember(now, [keyLen]byte{5, 5, 5}); err != nil {
		t.Fatal(err)
	}
	if j.accepts(now, from, c) || j.knows([keyLen]byte{}) {
		t.Error("the oldest initiations are forgotten, or their cookie is good")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	var l limiter
	now := time.Unix(1, 0)
	for i := range 3 * maxLimitedSources {
		l.take(now, source{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)})
		now = now.Add(time.Second / HandshakeRate)
	}
	if len(l.sources) > maxLimitedSources {
		t.Errorf("%d sources", len(l.sources))
	}
	v6 := func(s string) source { return source{addr: netip.MustParseAddrPort(s)}.limit() }
	if v6("[2001:db8::1]:1") != v6("[2001:db8::2]:2") || v6("[2001:db8::1]:1") == v6("[2001:db8:0:1::1]:1") {
		t.Error("a source is not a /64")
	}
}

func TestDropsAreSortedByName(t *testing.T) {
	var names []string
	for n := range (Drops{}).All() {
		names = append(names, n)
	}
	if !slices.IsSorted(names) || len(names) != int(dropReasons)-1 || slices.Contains(names, "") {
		t.Errorf("%q", names)
	}
}

func FuzzParseHello(f *testing.F) {
	f.Add(hello{index: 7, suites: []Suite{1, 2}, certificate: []byte("c"), binding: []byte("b")}.append(nil))
	f.Add(hello{refusal: CloseFull}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil && h.refusal == CloseNone && !bytes.Equal(h.append(nil), b) {
			t.Errorf("%x came back as %x", b, h.append(nil))
		}
	})
}

func FuzzCollector(f *testing.F) {
	f.Add(uint8(3), make([]byte, 3000))
	f.Fuzz(func(t *testing.T, seed uint8, b []byte) {
		var c collector
		if len(b) > MaxHandshake-handshakeHeaderLen {
			return
		}
		now := time.Unix(1, 0)
		message := append(handshakeHeader{kind: TypeResponse, sender: 3, receiver: 4}.append(nil), b...)
		for i, p := range cut(message, cookie{1}, SessionHandshakeSize) {
			h, err := parseHandshakeHeader(p)
			if err != nil {
				t.Fatal(err)
			}
			if h.kind != TypeHandshakeFragment {
				return
			}
			whole, drop := c.add(now, source{}, h, p)
			h.extra = h.extra&0xff | uint16(seed)%(h.extra&0xff)<<8 // a liar's, under another number
			h.sender++
			if _, d := c.add(now, source{}, h, p); drop != dropNone && d == dropNone {
				t.Error("the liar's fragment was taken, the true one not")
			}
			if last := i == int(h.extra&0xff)-1; (whole != nil) != last || last && !bytes.Equal(whole, message) {
				t.Error("another message came out")
			}
		}
	})
}

func TestHandshakesAreComputedAtTheirRate(t *testing.T) {
	const seconds = 10
	flood := func(sources int) (taken int) {
		var l limiter
		for ms := range seconds * 1000 { // each source tries once a millisecond
			now := time.Unix(1, 0).Add(time.Duration(ms) * time.Millisecond)
			for i := range sources {
				if l.take(now, source{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)}) {
					taken++
				}
			}
		}
		return taken
	}
	if n, want := flood(1), SourceHandshakeBurst+seconds*SourceHandshakeRate; n < want-2 || n > want+2 {
		t.Errorf("%d handshakes of one source in %d s, want %d", n, seconds, want)
	}
	if n, want := flood(100), HandshakeBurst+seconds*HandshakeRate; n < want-2 || n > want+2 {
		t.Errorf("%d handshakes of a hundred sources in %d s, want %d", n, seconds, want)
	}
}
