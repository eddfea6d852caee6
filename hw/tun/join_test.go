package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"re6st/protocols/checksum"
)

// taker is a device that keeps what it is given, as the kernel would see it.
type taker struct {
	Device
	support Support
	refuse  error // of super-packets
	got     [][]byte
	supers  int
}

func (d *taker) Support() Support { return d.support }

func (d *taker) Write(packet []byte) (int, error) {
	d.got = append(d.got, bytes.Clone(packet))
	return len(packet), nil
}

// WriteSuper cuts it, as the kernel does.
func (d *taker) WriteSuper(o Offload, headers int, packets [][]byte) error {
	if d.refuse != nil {
		return d.refuse
	}
	super := bytes.Clone(packets[0])
	for _, p := range packets[1:] {
		super = append(super, p[headers:]...)
	}
	d.supers++
	all, err := cut(super, o)
	d.got = append(d.got, all...)
	return err
}

func cut(super []byte, o Offload) (all [][]byte, err error) {
	var c Cutter
	if err := c.Take(super, o); err != nil {
		return nil, err
	}
	for n := c.Next(); n > 0; n = c.Next() {
		packet := make([]byte, n)
		c.Cut(packet)
		all = append(all, packet)
	}
	return all, nil
}

var (
	here6, there6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	here4, there4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
)

// made is a good packet.
func made(six bool, kind Kind, id uint16, seq uint32, flags byte, payload []byte) []byte {
	start, proto := ipv4HeaderLen, byte(protocolTCP)
	if six {
		start = ipv6HeaderLen
	}
	l4 := make([]byte, tcpHeaderLen+12, tcpHeaderLen+12+len(payload))
	if kind == KindUDP {
		l4, proto = l4[:udpHeaderLen], protocolUDP
	}
	l4 = append(l4, payload...)
	binary.BigEndian.PutUint32(l4, 0x1234_5678) // ports
	offset := udpChecksum
	if kind == KindTCP {
		offset = tcpChecksum
		binary.BigEndian.PutUint32(l4[4:], seq)
		binary.BigEndian.PutUint32(l4[8:], 99)
		l4[12], l4[13], l4[15] = (tcpHeaderLen+12)/4<<4, flags, 200
		copy(l4[20:], []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}) // timestamps
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	p := append(make([]byte, start), l4...)
	if six {
		p[0], p[1], p[6], p[7] = 6<<4, 0x2a, proto, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(l4)))
		copy(p[8:], here6.AsSlice())
		copy(p[24:], there6.AsSlice())
	} else {
		p[0], p[1], p[6], p[8], p[9] = 4<<4|5, 2, 0x40, 64, proto
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[4:], id)
		copy(p[12:], here4.AsSlice())
		copy(p[16:], there4.AsSlice())
		putIPv4Checksum(p[:start])
	}
	field := p[start+offset:][:2]
	sum := ^checksum.Fold(checksum.Add(p[start:], pseudo(p, six, proto, len(l4))))
	if sum == 0 && kind == KindUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
	return p
}

// flow is count packets that one sender cut, each of so much payload, but for the last.
func flow(six bool, kind Kind, count, size, last int, flags byte) (all [][]byte) {
	rng := rand.New(rand.NewPCG(uint64(count), uint64(size)))
	seq := uint32(1<<32 - 5000) // it wraps
	for i := range count {
		n, f := size, byte(tcpACK)
		if i == count-1 {
			n, f = last, flags
		}
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		all = append(all, made(six, kind, uint16(65530+i), seq, f, payload))
		seq += uint32(n)
	}
	return all
}

// joined gives packets to a Joiner.
func joined(t *testing.T, d *taker, packets [][]byte) (count, size int) {
	t.Helper()
	j := NewJoiner(d, func(packets, bytes int, err error) {
		if err != nil {
			t.Error(err)
		}
		count, size = count+packets, size+bytes
	})
	for _, p := range packets {
		j.Add(bytes.Clone(p))
	}
	j.Flush()
	return count, size
}

func same(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d packets of %d", what, len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%s: packet %d\n% x\n% x", what, i, got[i][:min(80, len(got[i]))], want[i][:min(80, len(want[i]))])
		}
	}
}

var full = Support{TCP: true, UDP: true}

func TestWhatIsJoinedIsCutAgainTheSame(t *testing.T) {
	for _, six := range []bool{true, false} {
		for _, kind := range []Kind{KindTCP, KindUDP} {
			for _, c := range []struct{ count, size, last, supers int }{
				{1, 100, 100, 0}, {2, 1, 1, 1}, {45, 1308, 1308, 1}, {45, 1308, 7, 1}, {46, 1401, 1401, 1}, {47, 1400, 1400, 2}, {MaxJoined + 2, 50, 50, 2},
			} {
				for _, flags := range []byte{tcpACK, tcpACK | tcpPSH} {
					want := flow(six, kind, c.count, c.size, c.last, flags)
					d := &taker{support: full}
					count, size := joined(t, d, want)
					same(t, "joined", d.got, want)
					if count != c.count || size != len(bytes.Join(want, nil)) {
						t.Errorf("counted %d packets, %d bytes", count, size)
					}
					if c.count == 47 && !six { // what fits depends on the headers
						continue
					}
					if c.count < 46 && d.supers != c.supers || d.supers == 0 != (c.supers == 0) {
						t.Errorf("six %v, kind %d, %+v: %d super-packets", six, kind, c, d.supers)
					}
				}
			}
		}
	}
}

// TestWhatMustNotBeJoinedGoesAsItIs spoils the second of four packets, or changes it.
func TestWhatMustNotBeJoinedGoesAsItIs(t *testing.T) {
	mend := func(p []byte, six bool) {
		start := ipv4HeaderLen
		if six {
			start = ipv6HeaderLen
		} else {
			putIPv4Checksum(p[:start])
		}
		p[start+16], p[start+17] = 0, 0
		binary.BigEndian.PutUint16(p[start+16:], ^checksum.Fold(checksum.Add(p[start:], pseudo(p, six, protocolTCP, len(p)-start))))
	}
	for name, change := range map[string]func(p []byte, start int){
		"a bad checksum":         func(p []byte, start int) { p[start+16] ^= 1 },
		"a bad payload":          func(p []byte, _ int) { p[len(p)-1] ^= 1 },
		"another DSCP or label":  func(p []byte, _ int) { p[1] ^= 4 },
		"congestion":             func(p []byte, start int) { p[1] |= map[bool]byte{true: 0x30, false: 3}[start == ipv6HeaderLen] },
		"another port":           func(p []byte, start int) { p[start]++ },
		"another sequence":       func(p []byte, start int) { p[start+4]++ },
		"another acknowledgment": func(p []byte, start int) { p[start+11]++ },
		"another window":         func(p []byte, start int) { p[start+15]++ },
		"another timestamp":      func(p []byte, start int) { p[start+27]++ },
		"FIN":                    func(p []byte, start int) { p[start+13] |= tcpFIN },
		"CWR":                    func(p []byte, start int) { p[start+13] |= tcpCWR },
		"an urgent pointer":      func(p []byte, start int) { p[start+19]++ },
		"another hop limit":      func(p []byte, start int) { p[map[int]int{ipv6HeaderLen: 7, ipv4HeaderLen: 8}[start]]-- },
	} {
		for _, six := range []bool{true, false} {
			want := flow(six, KindTCP, 4, 500, 500, tcpACK)
			start := ipv4HeaderLen
			if six {
				start = ipv6HeaderLen
			}
			change(want[1], start)
			if !strings.HasPrefix(name, "a bad") {
				mend(want[1], six)
			}
			d := &taker{support: full}
			joined(t, d, want)
			same(t, name, d.got, want)
			if d.supers != 1 { // the last two
				t.Errorf("%s, six %v: %d super-packets", name, six, d.supers)
			}
		}
	}
}

func TestADeviceThatTakesNoSuperPacketsGetsThePackets(t *testing.T) {
	want := flow(true, KindTCP, 10, 1000, 300, tcpACK|tcpPSH)
	for name, d := range map[string]*taker{
		"it says so":       {},
		"it refuses":       {support: full, refuse: os.ErrInvalid},
		"it knows no USO":  {support: Support{TCP: true}},
		"it refuses again": {support: full, refuse: errors.New("anything")},
	} {
		packets := want
		if name == "it knows no USO" {
			packets = flow(true, KindUDP, 10, 1000, 300, 0)
		}
		count, _ := joined(t, d, packets)
		if same(t, name, d.got, packets); count != len(packets) || d.supers != 0 {
			t.Errorf("%s: counted %d", name, count)
		}
	}
}

func TestAChecksumLeftToUsIsComputed(t *testing.T) {
	for _, six := range []bool{true, false} {
		for _, kind := range []Kind{KindTCP, KindUDP} {
			want := made(six, kind, 1, 2, tcpACK, []byte("odd"))
			start, offset, proto := ipv4HeaderLen, tcpChecksum, byte(protocolTCP)
			if six {
				start = ipv6HeaderLen
			}
			if kind == KindUDP {
				offset, proto = udpChecksum, protocolUDP
			}
			left := bytes.Clone(want)
			binary.BigEndian.PutUint16(left[start+offset:], checksum.Fold(pseudo(left, six, proto, len(left)-start)))
			got, err := cut(left, Offload{ChecksumStart: start, ChecksumOffset: offset})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "one", got, [][]byte{want})
		}
	}
}

func TestBadOffloadsAreNamed(t *testing.T) {
	p := flow(true, KindTCP, 1, 3000, 3000, tcpACK)[0]
	good := Offload{Segment: 1000, Kind: KindTCP, ChecksumStart: 40, ChecksumOffset: 16}
	if all, err := cut(p, good); err != nil || len(all) != 3 {
		t.Fatalf("%d, %v", len(all), err)
	}
	for name, change := range map[string]func(p []byte, o *Offload){
		"no checksum":           func(_ []byte, o *Offload) { o.ChecksumStart = 0 },
		"one behind the end":    func(p []byte, o *Offload) { o.ChecksumStart = len(p) - 10 },
		"one elsewhere":         func(_ []byte, o *Offload) { o.ChecksumOffset = 6 },
		"one in the IP header":  func(_ []byte, o *Offload) { o.ChecksumStart = 20 },
		"another protocol":      func(_ []byte, o *Offload) { o.Kind = KindUDP },
		"IPv4 that is IPv6":     func(p []byte, _ *Offload) { p[0] = 0x45 },
		"no IP":                 func(p []byte, _ *Offload) { p[0] = 0 },
		"a short TCP header":    func(p []byte, _ *Offload) { p[52] = 0x10 },
		"headers and no more":   func(p []byte, o *Offload) { o.ChecksumStart, p[len(p)-32+12] = len(p)-32, 0x80 },
		"a checksum of nothing": func(_ []byte, o *Offload) { *o = Offload{ChecksumStart: 5000, ChecksumOffset: 16} },
	} {
		spoilt, o := bytes.Clone(p), good
		change(spoilt, &o)
		if _, err := cut(spoilt, o); !errors.Is(err, ErrOffload) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cut(nil, Offload{}); !errors.Is(err, ErrOffload) {
		t.Error(err)
	}
}

// FuzzJoin gives any packets to a Joiner: what the kernel cuts of that is what was given.
func FuzzJoin(f *testing.F) {
	for _, six := range []bool{true, false} {
		for _, kind := range []Kind{KindTCP, KindUDP} {
			all := flow(six, kind, 3, 40, 20, tcpACK|tcpPSH)
			f.Add(all[0], all[1], all[2])
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		want := [][]byte{a, b, c}
		d := &taker{support: full}
		joined(t, d, want)
		same(t, "joined", d.got, want)
	})
}

// FuzzCut cuts anything.
func FuzzCut(f *testing.F) {
	for _, six := range []bool{true, false} {
		f.Add(flow(six, KindTCP, 1, 300, 300, tcpACK)[0], 100, false, 40, 16)
		f.Add(flow(six, KindUDP, 1, 300, 300, 0)[0], 100, true, 20, 6)
	}
	f.Fuzz(func(t *testing.T, p []byte, segment int, udp bool, start, offset int) {
		o := Offload{Segment: segment & 0xffff, Kind: KindTCP, ChecksumStart: start & 0xffff, ChecksumOffset: offset & 0xffff}
		if udp {
			o.Kind = KindUDP
		}
		if len(p) > SuperRoom {
			return
		}
		all, err := cut(p, o)
		if err != nil && !errors.Is(err, ErrOffload) {
			t.Fatal(err)
		}
		if sum := len(bytes.Join(all, nil)); err == nil && sum < len(p) {
			t.Fatalf("%d bytes of %d", sum, len(p))
		}
	})
}

// nothing takes all and keeps none of it.
type nothing struct{ Device }

func (nothing) Support() Support                        { return full }
func (nothing) Write(packet []byte) (int, error)        { return len(packet), nil }
func (nothing) WriteSuper(Offload, int, [][]byte) error { return nil }

func TestCuttingAndJoiningAllocateNothing(t *testing.T) {
	packets := flow(true, KindTCP, 45, 1308, 1308, tcpACK)
	first := bytes.Clone(packets[0])
	count := 0
	j := NewJoiner(nothing{}, func(packets, _ int, _ error) { count += packets })
	super := bytes.Clone(first)
	for _, p := range packets[1:] {
		super = append(super, p[ipv6HeaderLen+tcpHeaderLen+12:]...)
	}
	o := Offload{Segment: 1308, Kind: KindTCP, ChecksumStart: ipv6HeaderLen, ChecksumOffset: tcpChecksum}
	room := make([]byte, 1380)
	var c Cutter
	const runs = 100
	allocated := testing.AllocsPerRun(runs, func() {
		copy(packets[0], first) // which joining changes
		for _, p := range packets {
			j.Add(p)
		}
		j.Flush()
		if err := c.Take(super, o); err != nil {
			t.Fatal(err)
		}
		for n := c.Next(); n > 0; n = c.Next() {
			c.Cut(room[:n])
		}
	})
	if allocated != 0 || count != len(packets)*(runs+1) {
		t.Errorf("%v allocations; %d packets of %d", allocated, count, len(packets)*(runs+1))
	}
}
