package fabric_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

var (
	ingressID = addr.NodeIDFromUint64(0x1111111111111111)
	relayID   = addr.NodeIDFromUint64(0x2222222222222222)
	egressID  = addr.NodeIDFromUint64(0x3333333333333333)
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHopHeaderLiesAsInTheTable(t *testing.T) {
	h := fabric.HopHeader{
		Class: 3, Topology: 7, HopLimit: 64, ECN: fabric.ECNECT0, Flow: 0xaa,
		Fragment: true, Last: true, FragmentID: 0xb, FragmentOffset: 0x123,
		LinkIndex: 0x01020304, Counter: 0x05060708090a0b0c, Egress: egressID, Ingress: ingressID,
		MAC: [8]byte{0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8},
	}
	want := unhex(t, "19030740"+"0eaa"+"b123"+"01020304"+"05060708090a0b0c"+"3333333333333333"+"1111111111111111"+"d1d2d3d4d5d6d7d8")
	got := make([]byte, fabric.HopHeaderLen)
	h.Put(got)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if back, err := fabric.ParseHop(got); err != nil || back != h {
		t.Errorf("back: %+v, %v", back, err)
	}
	if len(want) != 44 || fabric.Overhead+8+40 != 120 {
		t.Error("the sizes that the TUN's MTU of 1380 rests on changed")
	}
}

func TestBadHopHeadersAreNamed(t *testing.T) {
	good := make([]byte, fabric.HopHeaderLen)
	fabric.HopHeader{Egress: egressID, Ingress: ingressID}.Put(good)
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   error
	}{
		"empty":                     {func(b []byte) []byte { return nil }, fabric.ErrShort},
		"one byte short":            {func(b []byte) []byte { return b[:43] }, fabric.ErrShort},
		"QUIC":                      {func(b []byte) []byte { b[0] |= 0x40; return b }, fabric.ErrVersion},
		"version 2":                 {func(b []byte) []byte { b[0] = 0x29; return b }, fabric.ErrVersion},
		"control":                   {func(b []byte) []byte { b[0] = 0x18; return b }, fabric.ErrType},
		"reserved flag":             {func(b []byte) []byte { b[4] |= 0x10; return b }, fabric.ErrReserved},
		"last but no fragment":      {func(b []byte) []byte { b[4] |= 0x08; return b }, fabric.ErrReserved},
		"offset but no fragment":    {func(b []byte) []byte { b[7] = 1; return b }, fabric.ErrReserved},
		"id but no fragment":        {func(b []byte) []byte { b[6] = 0x10; return b }, fabric.ErrReserved},
		"no egress":                 {func(b []byte) []byte { clear(b[20:28]); return b }, fabric.ErrNode},
		"no ingress":                {func(b []byte) []byte { clear(b[28:36]); return b }, fabric.ErrNode},
		"a fragment, which is fine": {func(b []byte) []byte { b[4] |= 0x0c; b[6] = 0xff; return b }, nil},
	} {
		if _, err := fabric.ParseHop(c.change(bytes.Clone(good))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestFirstByteLeavesQUICItsBit(t *testing.T) {
	for _, typ := range []fabric.Type{
		fabric.TypeInitiation, fabric.TypeResponse, fabric.TypeFinal, fabric.TypeRetry,
		fabric.TypeHandshakeFragment, fabric.TypeControl, fabric.TypeData,
	} {
		b := fabric.FirstByte(typ)
		if b&0xc0 != 0 || b>>4 != fabric.Version {
			t.Errorf("type %d: first byte %#02x", typ, b)
		}
		if got, err := fabric.TypeOf([]byte{b}); got != typ || err != nil {
			t.Errorf("type %d: read back as %d, %v", typ, got, err)
		}
		if typ.IsHandshake() != (typ < fabric.TypeControl) {
			t.Errorf("type %d: handshake %v", typ, typ.IsHandshake())
		}
	}
	for _, c := range []struct {
		datagram []byte
		want     error
	}{
		{nil, fabric.ErrShort},
		{[]byte{0x40}, fabric.ErrVersion},
		{[]byte{0xc3}, fabric.ErrVersion},
		{[]byte{0x09}, fabric.ErrVersion},
		{[]byte{0x10}, fabric.ErrType},
		{[]byte{0x16}, fabric.ErrType},
		{[]byte{0x1f}, fabric.ErrType},
	} {
		if _, err := fabric.TypeOf(c.datagram); !errors.Is(err, c.want) {
			t.Errorf("%x: %v, want %v", c.datagram, err, c.want)
		}
	}
}

func TestHopLimitAndECNOfARelay(t *testing.T) {
	frame := make([]byte, fabric.HopHeaderLen)
	fabric.HopHeader{HopLimit: 2, ECN: fabric.ECNECT0, Egress: egressID, Ingress: ingressID}.Put(frame)
	if err := fabric.TakeHop(frame); err != nil || frame[3] != 1 {
		t.Errorf("hop limit %d, %v", frame[3], err)
	}
	if err := fabric.TakeHop(frame); !errors.Is(err, fabric.ErrHopLimit) || frame[3] != 1 {
		t.Errorf("the last hop: limit %d, %v", frame[3], err)
	}
	if h, _ := fabric.ParseHop(frame); !fabric.MarkCE(frame) || h.ECN != fabric.ECNECT0 {
		t.Error("an ECN-capable packet was not marked")
	}
	if h, _ := fabric.ParseHop(frame); h.ECN != fabric.ECNCE {
		t.Errorf("ECN %b", h.ECN)
	}
	fabric.HopHeader{Egress: egressID, Ingress: ingressID}.Put(frame)
	if fabric.MarkCE(frame) || frame[4] != 0 {
		t.Error("a packet that knows no ECN was marked")
	}
	if fabric.TakeHop(nil) == nil || fabric.MarkCE(nil) {
		t.Error("an empty frame was changed")
	}
}

func TestTransitRoundTrip(t *testing.T) {
	m := fabric.Transit{
		Topology: 2, HopLimit: 9, Class: 3, Kind: fabric.TransitHandshake,
		Egress: egressID, Ingress: ingressID, Payload: []byte("message"),
	}
	b := m.Append([]byte("before"))
	want := append(unhex(t, "6265666f7265"+"02090301"+"3333333333333333"+"1111111111111111"), "message"...)
	if !bytes.Equal(b, want) {
		t.Fatalf("got  %x\nwant %x", b, want)
	}
	back, err := fabric.ParseTransit(b[6:])
	if err != nil || back.Egress != m.Egress || back.Ingress != m.Ingress || back.HopLimit != 9 ||
		back.Topology != 2 || back.Class != 3 || back.Kind != m.Kind || string(back.Payload) != "message" {
		t.Errorf("%+v, %v", back, err)
	}
	for _, bad := range [][]byte{nil, b[6:25], make([]byte, fabric.TransitHeaderLen)} {
		if _, err := fabric.ParseTransit(bad); !errors.Is(err, fabric.ErrTransit) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func TestRelayErrorNamesTheFrame(t *testing.T) {
	session, _ := newSessions(t, fabric.ChaCha20Poly1305)
	frame := sealed(t, session, 3, []byte("inner"))
	e, err := fabric.NewRelayError(fabric.RelayTooBig, 1280, frame)
	if err != nil {
		t.Fatal(err)
	}
	want := fabric.RelayError{
		Code: fabric.RelayTooBig, Topology: 1, MTU: 1280,
		Session: fabric.SessionHeader{Index: session.RemoteIndex(), Counter: 0}, Egress: egressID, Ingress: ingressID,
	}
	if e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	b := e.Append(nil)
	if back, err := fabric.ParseRelayError(b); err != nil || back != e {
		t.Errorf("%+v, %v", back, err)
	}
	code := func(c byte) []byte { return append([]byte{c}, b[1:]...) }
	for _, bad := range [][]byte{nil, b[:31], append(bytes.Clone(b), 0), code(0), code(5)} {
		if _, err := fabric.ParseRelayError(bad); !errors.Is(err, fabric.ErrRelayError) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	if _, err := fabric.NewRelayError(fabric.RelayNoRoute, 0, frame[:50]); !errors.Is(err, fabric.ErrShort) {
		t.Errorf("of half a header: %v", err)
	}
}
