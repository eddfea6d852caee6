package fabric_test

import (
	"bytes"
	"errors"
	"testing"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

func TestEveryByteEndToEndIsAuthentic(t *testing.T) {
	for _, suite := range suites {
		in, out := newSessions(t, suite)
		frame := sealed(t, in, 3, []byte("inner packet"))
		free := func(i int) bool { // what relays and redundant copies change: not the ends' business
			return i == 2 || i == 3 || i == 5 || i >= 8 && i < 20 || i >= 36 && i < 44
		}
		for i := range frame {
			bad := bytes.Clone(frame)
			bad[i] ^= 0x01 // of byte 4 that is a bit of ECN
			_, out := newSessions(t, suite)
			if _, err := out.Open(bad); (err == nil) != (free(i) || i == 4) {
				t.Errorf("%s: byte %d changed: %v", suite, i, err)
			}
		}
		if bytes.Contains(frame, []byte("inner")) {
			t.Errorf("%s: plaintext in the frame", suite)
		}
		if got, err := out.Open(bytes.Clone(frame)); err != nil || string(got) != "inner packet" {
			t.Errorf("%s: %q, %v", suite, got, err)
		}
		if _, err := out.Open(bytes.Clone(frame)); !errors.Is(err, fabric.ErrReplay) {
			t.Errorf("%s: the second copy: %v", suite, err)
		}
	}
}

func TestSealTakesTheInnerPacketWhereItsCiphertextGoes(t *testing.T) {
	for _, suite := range suites {
		in, out := newSessions(t, suite)
		inner := []byte("inner packet, read from a TUN right behind the headers")
		buf := make([]byte, fabric.Overhead+len(inner))
		fabric.HopHeader{Egress: egressID, Ingress: ingressID}.Put(buf)
		at := buf[fabric.HopHeaderLen+fabric.SessionHeaderLen:][:len(inner)]
		copy(at, inner)
		frame, err := in.Seal(buf[:fabric.HopHeaderLen], 0, at)
		if err != nil || &frame[0] != &buf[0] {
			t.Fatalf("%s: not in place, %v", suite, err)
		}
		if got, err := out.Open(frame); err != nil || !bytes.Equal(got, inner) {
			t.Errorf("%s: %q, %v", suite, got, err)
		}
	}
}

func TestSessionRefusesFramesOfOthers(t *testing.T) {
	in, out := newSessions(t, fabric.AESGCM)
	frame := func(change func(*fabric.HopHeader)) []byte {
		f := sealed(t, in, 0, []byte("inner"))
		h, err := fabric.ParseHop(f)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		h.Put(f)
		return f
	}
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"another ingress":  {frame(func(h *fabric.HopHeader) { h.Ingress = relayID }), fabric.ErrNode},
		"another egress":   {frame(func(h *fabric.HopHeader) { h.Egress = relayID }), fabric.ErrNode},
		"another class":    {frame(func(h *fabric.HopHeader) { h.Class = 1 }), fabric.ErrAuth},
		"a fragment":       {frame(func(h *fabric.HopHeader) { h.Fragment = true }), fabric.ErrFragment},
		"no tag":           {frame(func(*fabric.HopHeader) {})[:fabric.Overhead-1], fabric.ErrShort},
		"another topology": {frame(func(h *fabric.HopHeader) { h.Topology, h.ECN = 9, 3 }), nil},
	} {
		if _, err := out.Open(c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := in.Open(frame(func(*fabric.HopHeader) {})); !errors.Is(err, fabric.ErrNode) {
		t.Errorf("reflected: %v", err)
	}
}

func TestSessionNeedsTwoNodes(t *testing.T) {
	keys, _ := roots(1)
	for _, c := range [][2]addr.NodeID{{{}, egressID}, {ingressID, {}}, {ingressID, ingressID}} {
		if _, err := fabric.NewSession(fabric.AESGCM, keys, 1, 2, c[0], c[1]); !errors.Is(err, fabric.ErrNode) {
			t.Errorf("%s and %s: %v", c[0], c[1], err)
		}
	}
	in, _ := newSessions(t, fabric.AESGCM)
	if _, err := in.Seal(make([]byte, fabric.HopHeaderLen-1), 0, nil); !errors.Is(err, fabric.ErrShort) {
		t.Errorf("sealed without a hop header: %v", err)
	}
	if _, err := in.Seal(make([]byte, fabric.HopHeaderLen), 0, make([]byte, fabric.MaxDatagram)); !errors.Is(err, fabric.ErrTooLong) {
		t.Errorf("sealed too much: %v", err)
	}
	if in.Peer() != egressID {
		t.Errorf("peer %s", in.Peer())
	}
}
