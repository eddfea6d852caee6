package fabric_test

import (
	"bytes"
	"testing"

	"re6st/protocols/fabric"
)

func FuzzParseHop(f *testing.F) {
	b := make([]byte, fabric.HopHeaderLen)
	h := fabric.HopHeader{Class: 1, HopLimit: 64, ECN: 2, Egress: egressID, Ingress: ingressID}
	h.Put(b)
	f.Add(bytes.Clone(b))
	h.Fragment, h.Last, h.FragmentID, h.FragmentOffset = true, true, 15, 4095
	h.Put(b)
	f.Add(bytes.Clone(b))
	f.Add([]byte{0x19})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := fabric.ParseHop(b)
		if err != nil {
			return
		}
		out := make([]byte, fabric.HopHeaderLen)
		h.Put(out)
		if !bytes.Equal(out, b[:fabric.HopHeaderLen]) {
			t.Fatalf("%x was written as %x", b, out)
		}
	})
}

func FuzzParseTransit(f *testing.F) {
	f.Add(fabric.Transit{Kind: 1, Egress: egressID, Ingress: ingressID, Payload: []byte("x")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := fabric.ParseTransit(b); err == nil && !bytes.Equal(m.Append(nil), b) {
			t.Fatalf("%x was written as %x", b, m.Append(nil))
		}
	})
}

func FuzzParseRelayError(f *testing.F) {
	f.Add(fabric.RelayError{Code: 1, MTU: 1280, Egress: egressID, Ingress: ingressID}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := fabric.ParseRelayError(b); err == nil && !bytes.Equal(e.Append(nil), b) {
			t.Fatalf("%x was written as %x", b, e.Append(nil))
		}
	})
}

// No datagram opens but by the peer's keys, and none makes a reader panic.
func FuzzDatagram(f *testing.F) {
	a, _ := newLinks(f, fabric.ChaCha20Poly1305, 1)
	in, _ := newSessions(f, fabric.ChaCha20Poly1305)
	d, _ := a.SealControl(nil, fabric.ControlBabel, []byte("body"))
	frame := sealed(f, in, 0, []byte("inner"))
	f.Add(d)
	f.Add(frame)
	_, b := newLinks(f, fabric.ChaCha20Poly1305, 2)
	ka, _ := roots(3)
	out, err := fabric.NewSession(fabric.ChaCha20Poly1305, ka, 0x0d0d0d0d, 1, egressID, ingressID)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		if _, _, err := b.OpenControl(bytes.Clone(datagram)); err == nil {
			t.Error("a forged control frame opened")
		}
		if _, err := b.CheckHop(bytes.Clone(datagram)); err == nil {
			t.Error("a forged hop header passed")
		}
		if _, err := out.Open(bytes.Clone(datagram)); err == nil {
			t.Error("a forged data frame opened")
		}
	})
}

func FuzzReassembler(f *testing.F) {
	in, _ := newSessions(f, fabric.AESGCM)
	frame := sealed(f, in, 0, make([]byte, 200))
	_ = fabric.Split(nil, frame, 120, func(b []byte) { f.Add(bytes.Clone(b), uint16(3), true) })
	f.Fuzz(func(t *testing.T, first []byte, offset uint16, last bool) {
		r := fabric.NewReassembler()
		h, err := fabric.ParseHop(first)
		whole, _ := r.HandleFragment(start, first)
		if err == nil {
			h.Fragment, h.FragmentOffset, h.Last = true, offset, last
			h.Put(first)
			if whole == nil {
				whole, _ = r.HandleFragment(start, first)
			}
		}
		if whole != nil {
			if h, err := fabric.ParseHop(whole); err != nil || h.Fragment {
				t.Fatalf("reassembled into %+v, %v", h, err)
			}
		}
		r.HandleTimeout(start.Add(fabric.ReassemblyTimeout))
		if _, waiting := r.NextTimeout(); waiting {
			t.Fatal("something is kept for ever")
		}
	})
}
