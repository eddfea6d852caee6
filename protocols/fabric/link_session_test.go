package fabric_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"re6st/protocols/fabric"
)

var suites = []fabric.Suite{fabric.ChaCha20Poly1305, fabric.AESGCM}

// roots are a handshake's outcome, seen from both ends.
func roots(seed byte) (a, b fabric.Keys) {
	a = fabric.Keys{Send: [32]byte{seed, 1}, Receive: [32]byte{seed, 2}}
	return a, fabric.Keys{Send: a.Receive, Receive: a.Send}
}

func newLinks(t testing.TB, suite fabric.Suite, seed byte) (a, b *fabric.LinkSession) {
	t.Helper()
	ka, kb := roots(seed)
	a, err := fabric.NewLinkSession(suite, ka, 0x0a0a0a0a, 0x0b0b0b0b)
	if err != nil {
		t.Fatal(err)
	}
	b, err = fabric.NewLinkSession(suite, kb, a.RemoteIndex(), a.LocalIndex())
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func newSessions(t testing.TB, suite fabric.Suite) (in, out *fabric.Session) {
	t.Helper()
	ka, kb := roots(0xee)
	in, err := fabric.NewSession(suite, ka, 0x0c0c0c0c, 0x0d0d0d0d, ingressID, egressID)
	if err != nil {
		t.Fatal(err)
	}
	out, err = fabric.NewSession(suite, kb, in.RemoteIndex(), in.LocalIndex(), egressID, ingressID)
	if err != nil {
		t.Fatal(err)
	}
	return in, out
}

// sealed is a data frame as an ingress makes it, before StampHop.
func sealed(t testing.TB, s *fabric.Session, class uint8, inner []byte) []byte {
	t.Helper()
	frame := make([]byte, fabric.HopHeaderLen)
	fabric.HopHeader{
		Class: class, Topology: 1, HopLimit: fabric.InitialHopLimit, ECN: fabric.ECNECT0, Flow: 5,
		Egress: egressID, Ingress: ingressID,
	}.Put(frame)
	frame, err := s.Seal(frame, class, inner)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestControlFramesPass(t *testing.T) {
	for _, suite := range suites {
		a, b := newLinks(t, suite, 1)
		for _, body := range []string{"", "babel", strings.Repeat("x", fabric.MaxControlBody)} {
			d, err := a.SealControl([]byte("before"), fabric.ControlBabel, []byte(body))
			if err != nil || !bytes.HasPrefix(d, []byte("before")) || len(d) != 6+fabric.ControlOverhead+len(body) {
				t.Fatalf("%s: %d bytes of datagram for %d of body, %v", suite, len(d)-6, len(body), err)
			}
			d = d[6:]
			if fabric.ControlLinkIndex(d) != b.LocalIndex() || body != "" && bytes.Contains(d, []byte(body)) {
				t.Errorf("%s: a wrong index, or the body in clear", suite)
			}
			kind, got, err := b.OpenControl(d)
			if err != nil || kind != fabric.ControlBabel || string(got) != body {
				t.Errorf("%s: kind %d, body %q, %v", suite, kind, got, err)
			}
		}
	}
}

func TestControlFramesThatAreNotTheLinksAreRefused(t *testing.T) {
	for _, suite := range suites {
		a, b := newLinks(t, suite, 1)
		_, stranger := newLinks(t, suite, 2)
		seal := func() []byte {
			d, err := a.SealControl(nil, fabric.ControlProbe, []byte("body"))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := seal()
		for i := range d { // no byte may be changed unnoticed
			bad := bytes.Clone(d)
			bad[i] ^= 0x01
			if _, _, err := b.OpenControl(bad); err == nil {
				t.Errorf("%s: byte %d was changed unnoticed", suite, i)
			}
		}
		for n := range d {
			if _, _, err := b.OpenControl(bytes.Clone(d[:n])); err == nil {
				t.Errorf("%s: cut to %d bytes unnoticed", suite, n)
			}
		}
		if _, _, err := stranger.OpenControl(bytes.Clone(d)); !errors.Is(err, fabric.ErrAuth) {
			t.Errorf("%s: other keys: %v", suite, err)
		}
		if _, _, err := a.OpenControl(bytes.Clone(d)); !errors.Is(err, fabric.ErrIndex) {
			t.Errorf("%s: reflected: %v", suite, err)
		}
		if _, _, err := b.OpenControl(bytes.Clone(d)); err != nil {
			t.Errorf("%s: after all forgeries the real one: %v", suite, err)
		}
		if _, _, err := b.OpenControl(bytes.Clone(d)); !errors.Is(err, fabric.ErrReplay) {
			t.Errorf("%s: replayed: %v", suite, err)
		}
	}
}

func TestReflectionIsRefusedWhereIndicesAreEqual(t *testing.T) {
	ka, _ := roots(1)
	a, err := fabric.NewLinkSession(fabric.AESGCM, ka, 7, 7)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := a.SealControl(nil, fabric.ControlProbe, nil)
	if _, _, err := a.OpenControl(d); !errors.Is(err, fabric.ErrAuth) {
		t.Errorf("a control frame came back to its sender: %v", err)
	}
	in, _ := newSessions(t, fabric.AESGCM)
	frame := sealed(t, in, 0, nil)
	if err := a.StampHop(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CheckHop(frame); !errors.Is(err, fabric.ErrAuth) {
		t.Errorf("a data frame came back to its sender: %v", err)
	}
}

func TestHopCheckGuardsTheHeadersAndTheLength(t *testing.T) {
	for _, suite := range suites {
		a, b := newLinks(t, suite, 1)
		in, _ := newSessions(t, suite)
		frame := sealed(t, in, 3, []byte("inner packet"))
		if err := a.StampHop(frame); err != nil {
			t.Fatal(err)
		}
		for i := range fabric.HopHeaderLen + fabric.SessionHeaderLen {
			for bit := range 8 {
				bad := bytes.Clone(frame)
				bad[i] ^= 1 << bit
				if _, err := b.CheckHop(bad); err == nil {
					t.Errorf("%s: bit %d of byte %d was changed unnoticed", suite, bit, i)
				}
			}
		}
		if _, err := b.CheckHop(frame[:len(frame)-1]); !errors.Is(err, fabric.ErrAuth) {
			t.Errorf("%s: cut by a byte: %v", suite, err)
		}
		if _, err := b.CheckHop(append(bytes.Clone(frame), 0)); !errors.Is(err, fabric.ErrAuth) {
			t.Errorf("%s: a byte more: %v", suite, err)
		}
		before := bytes.Clone(frame)
		h, err := b.CheckHop(frame)
		if err != nil || h.Class != 3 || h.Egress != egressID || h.Ingress != ingressID || h.HopLimit != 64 {
			t.Errorf("%s: %+v, %v", suite, h, err)
		}
		if !bytes.Equal(before, frame) {
			t.Errorf("%s: CheckHop changed the frame", suite)
		}
		if _, err := b.CheckHop(frame); !errors.Is(err, fabric.ErrReplay) {
			t.Errorf("%s: replayed: %v", suite, err)
		}
	}
}

func TestRelayRewritesFiveFieldsAndNothingElse(t *testing.T) {
	for _, suite := range suites {
		a, relayIn := newLinks(t, suite, 1)
		relayOut, c := newLinks(t, suite, 2)
		in, out := newSessions(t, suite)
		inner := []byte("inner packet of an end")
		relayOut.SealControl(nil, fabric.ControlProbe, nil) // so that the counters differ
		frame := sealed(t, in, 3, inner)
		if err := a.StampHop(frame); err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(frame)
		if _, err := relayIn.CheckHop(frame); err != nil {
			t.Fatal(err)
		}
		if err := fabric.TakeHop(frame); err != nil {
			t.Fatal(err)
		}
		fabric.MarkCE(frame)
		if err := relayOut.StampHop(frame); err != nil {
			t.Fatal(err)
		}
		may := func(i int) bool { // hop limit, ECN, link index and counter, MAC
			return i == 3 || i == 4 || i >= 8 && i < 20 || i >= 36 && i < 44
		}
		for i := range frame {
			if frame[i] != before[i] && !may(i) {
				t.Errorf("%s: a relay changed byte %d", suite, i)
			}
		}
		if frame[3] != before[3]-1 || frame[4]&^3 != before[4]&^3 || bytes.Equal(frame[36:44], before[36:44]) {
			t.Errorf("%s: hop limit, flags or MAC are not what a relay writes: % x", suite, frame[:44])
		}
		if _, err := c.CheckHop(frame); err != nil {
			t.Errorf("%s: next hop: %v", suite, err)
		}
		if got, err := out.Open(frame); err != nil || !bytes.Equal(got, inner) {
			t.Errorf("%s: %q, %v", suite, got, err)
		}
	}
}

func TestUsageCountsBothDirections(t *testing.T) {
	a, b := newLinks(t, fabric.AESGCM, 1)
	d, _ := a.SealControl(nil, fabric.ControlProbe, make([]byte, 10))
	size := uint64(len(d))
	if _, _, err := b.OpenControl(d); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SealControl(nil, fabric.ControlProbeAck, nil); err != nil {
		t.Fatal(err)
	}
	if bytes, frames := a.Usage(); bytes != size || frames != 1 {
		t.Errorf("sender: %d bytes, %d frames", bytes, frames)
	}
	if bytes, frames := b.Usage(); bytes != size+fabric.ControlOverhead || frames != 2 {
		t.Errorf("receiver: %d bytes, %d frames", bytes, frames)
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	good, _ := roots(1)
	for name, c := range map[string]struct {
		suite         fabric.Suite
		keys          fabric.Keys
		local, remote uint32
		want          error
	}{
		"no keys":          {fabric.AESGCM, fabric.Keys{}, 1, 2, fabric.ErrKeys},
		"half the keys":    {fabric.AESGCM, fabric.Keys{Send: good.Send}, 1, 2, fabric.ErrKeys},
		"one key for both": {fabric.AESGCM, fabric.Keys{Send: good.Send, Receive: good.Send}, 1, 2, fabric.ErrKeys},
		"no local index":   {fabric.AESGCM, good, 0, 2, fabric.ErrIndex},
		"no remote index":  {fabric.AESGCM, good, 1, 0, fabric.ErrIndex},
		"no suite":         {0, good, 1, 2, fabric.ErrSuite},
		"unknown suite":    {99, good, 1, 2, fabric.ErrSuite},
	} {
		if _, err := fabric.NewLinkSession(c.suite, c.keys, c.local, c.remote); !errors.Is(err, c.want) {
			t.Errorf("link, %s: %v", name, err)
		}
		if _, err := fabric.NewSession(c.suite, c.keys, c.local, c.remote, ingressID, egressID); !errors.Is(err, c.want) {
			t.Errorf("session, %s: %v", name, err)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	keys, _ := roots(0xd7)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d", "%q"} {
		for _, v := range []any{keys, &keys, struct{ Keys fabric.Keys }{keys}} {
			if s := strings.ToLower(fmt.Sprintf(verb, v)); strings.Contains(s, "d7") || strings.Contains(s, "215") {
				t.Errorf("%s of %T shows the key: %s", verb, v, s)
			}
		}
	}
	if b, _ := keys.MarshalText(); string(b) != "[keys]" {
		t.Errorf("encoded: %s", b)
	}
}

func TestLinkIsSafeForConcurrentUse(t *testing.T) {
	const senders, frames = 4, 500
	a, b := newLinks(t, fabric.AESGCM, 1)
	in, _ := newSessions(t, fabric.AESGCM)
	frame := sealed(t, in, 0, []byte("inner"))
	ch := make(chan []byte, senders*frames)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range frames {
				f := slices.Clone(frame)
				if err := a.StampHop(f); err != nil {
					t.Error(err)
				}
				ch <- f
			}
		})
	}
	var mu sync.Mutex
	passed := 0
	for range senders {
		wg.Go(func() {
			for range frames {
				if _, err := b.CheckHop(<-ch); err == nil {
					mu.Lock()
					passed++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if passed != senders*frames {
		t.Errorf("%d of %d frames passed", passed, senders*frames)
	}
}
