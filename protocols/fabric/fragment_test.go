package fabric_test

import (
	"bytes"
	"errors"
	"math/rand"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

var start = time.Unix(1_800_000_000, 0)

func split(t *testing.T, frame []byte, size int) (fragments [][]byte) {
	t.Helper()
	err := fabric.Split(make([]byte, 0, size), frame, size, func(f []byte) {
		if len(f) > size {
			t.Errorf("a fragment of %d bytes, limit %d", len(f), size)
		}
		fragments = append(fragments, bytes.Clone(f))
	})
	if err != nil {
		t.Fatal(err)
	}
	return fragments
}

func TestFragmentsOfFragmentsMakeTheFrameInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	a, b := newLinks(t, fabric.AESGCM, 1)
	in, out := newSessions(t, fabric.AESGCM)
	inner := make([]byte, 1380)
	rng.Read(inner)
	for round := range 50 {
		frame := sealed(t, in, 3, inner)
		var all [][]byte
		for _, f := range split(t, frame, 300+rng.Intn(1000)) { // one relay splits, the next one again
			all = append(all, split(t, f, 200+rng.Intn(1100))...)
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		r := fabric.NewReassembler()
		for i, f := range all {
			if err := a.StampHop(f); err != nil {
				t.Fatal(err)
			}
			if _, err := b.CheckHop(f); err != nil {
				t.Fatalf("a fragment of %d bytes: %v", len(f), err)
			}
			whole, err := r.HandleFragment(start, f)
			if err != nil || (whole != nil) != (i == len(all)-1) {
				t.Fatalf("round %d: fragment %d of %d: whole %v, %v", round, i, len(all), whole != nil, err)
			}
			if whole != nil {
				if got, err := out.Open(whole); err != nil || !bytes.Equal(got, inner) {
					t.Fatalf("round %d: opened %d bytes, %v", round, len(got), err)
				}
			}
		}
		if _, waiting := r.NextTimeout(); waiting {
			t.Fatal("something is left of a whole frame")
		}
	}
}

func TestCongestionOnOneFragmentMarksTheFrame(t *testing.T) {
	in, _ := newSessions(t, fabric.AESGCM)
	fragments := split(t, sealed(t, in, 0, make([]byte, 500)), 300)
	fabric.MarkCE(fragments[1])
	r := fabric.NewReassembler()
	var whole []byte
	for _, f := range fragments {
		whole, _ = r.HandleFragment(start, f)
	}
	if h, err := fabric.ParseHop(whole); err != nil || h.ECN != fabric.ECNCE || h.Fragment {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestCopiesSplitAtDifferentPlacesDoNotMix(t *testing.T) {
	a, b := newLinks(t, fabric.AESGCM, 1)
	in, out := newSessions(t, fabric.AESGCM)
	frame := sealed(t, in, 0, make([]byte, 500))
	arrive := func() []byte {
		f := bytes.Clone(frame)
		if err := a.StampHop(f); err != nil {
			t.Fatal(err)
		}
		if _, err := b.CheckHop(f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	one, two := split(t, arrive(), 300), split(t, arrive(), 400)
	one[0][100] ^= 1 // its relay spoils it
	r := fabric.NewReassembler()
	var wholes [][]byte
	for _, f := range slices.Concat(one[:1], two[:1], one[1:], two[1:]) {
		w, err := r.HandleFragment(start, f)
		if err != nil {
			t.Fatal(err)
		}
		if w != nil {
			wholes = append(wholes, w)
		}
	}
	if len(wholes) != 2 {
		t.Fatalf("%d whole frames", len(wholes))
	}
	opened := 0
	for _, w := range wholes {
		if _, err := out.Open(w); err == nil {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d of the two copies opened", opened)
	}
}

func TestFragmentsThatContradictDropTheFrame(t *testing.T) {
	in, _ := newSessions(t, fabric.AESGCM)
	frame := sealed(t, in, 0, make([]byte, 1000))
	f := split(t, frame, 356) // 300 bytes each, rounded down to 288
	edit := func(i int, change func(*fabric.HopHeader)) []byte {
		b := bytes.Clone(f[i])
		h, _ := fabric.ParseHop(b)
		change(&h)
		h.Put(b)
		return b
	}
	last := len(f) - 1
	for name, c := range map[string]struct {
		first, second []byte
	}{
		"overlap behind":          {f[0], edit(1, func(h *fabric.HopHeader) { h.FragmentOffset-- })},
		"overlap before":          {f[1], edit(0, func(h *fabric.HopHeader) { h.FragmentOffset++ })},
		"same place, other size":  {f[last], edit(0, func(h *fabric.HopHeader) { h.FragmentOffset = uint16(288 * last / 16) })},
		"two ends":                {f[last], edit(last, func(h *fabric.HopHeader) { h.FragmentOffset += 30 })},
		"behind the end":          {f[last], edit(0, func(h *fabric.HopHeader) { h.FragmentOffset = 100 })},
		"an end before something": {f[2], edit(last, func(h *fabric.HopHeader) { h.FragmentOffset = 0 })},
	} {
		r := fabric.NewReassembler()
		if _, err := r.HandleFragment(start, c.first); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := r.HandleFragment(start, c.second); !errors.Is(err, fabric.ErrFragment) {
			t.Errorf("%s: %v", name, err)
		}
		if _, waiting := r.NextTimeout(); waiting {
			t.Errorf("%s: something is kept", name)
		}
	}
	r := fabric.NewReassembler()
	for _, same := range [][]byte{f[0], f[0]} {
		if w, err := r.HandleFragment(start, same); w != nil || err != nil {
			t.Errorf("an exact repetition: %v", err)
		}
	}
	for name, bad := range map[string][]byte{
		"no fragment": frame, "empty": f[0][:56], "half a unit": f[0][:70], "no header": f[0][:20], "no session header": f[0][:50],
	} {
		if _, err := r.HandleFragment(start, bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestReassemblyEndsAfterASecond(t *testing.T) {
	in, _ := newSessions(t, fabric.AESGCM)
	f := split(t, sealed(t, in, 0, make([]byte, 500)), 300)
	r := fabric.NewReassembler()
	if _, err := r.HandleFragment(start, f[0]); err != nil {
		t.Fatal(err)
	}
	if at, ok := r.NextTimeout(); !ok || at != start.Add(time.Second) {
		t.Errorf("next timeout %s, %v", at, ok)
	}
	r.HandleTimeout(start.Add(time.Second - 1))
	if _, ok := r.NextTimeout(); !ok {
		t.Error("dropped too early")
	}
	r.HandleTimeout(start.Add(time.Second))
	if _, ok := r.NextTimeout(); ok {
		t.Error("kept for longer than a second")
	}
	if w, err := r.HandleFragment(start.Add(time.Second), f[1]); w != nil || err != nil {
		t.Errorf("a late fragment completed the frame, %v", err)
	}
}

func TestReassemblyIsBoundedPerIngressAndInAll(t *testing.T) {
	r := fabric.NewReassembler()
	first := func(ingress, counter uint64, size int) []byte {
		b := make([]byte, fabric.HopHeaderLen+fabric.SessionHeaderLen+size)
		fabric.HopHeader{Fragment: true, Egress: egressID, Ingress: addr.NodeIDFromUint64(ingress)}.Put(b)
		b[55] = byte(counter)
		return b
	}
	rest := func(f []byte) []byte {
		h, _ := fabric.ParseHop(f)
		h.FragmentOffset, h.Last = uint16((len(f)-56)/16), true
		b := bytes.Clone(f[:60])
		h.Put(b)
		return b
	}
	take := func(f []byte) bool {
		w, err := r.HandleFragment(start, f)
		if err != nil {
			t.Fatal(err)
		}
		return w != nil
	}
	other := first(99, 0, 1024)
	take(other)
	for i := range uint64(fabric.MaxIngressReassemblies + 1) {
		take(first(1, i, 16))
	}
	if take(rest(first(1, 0, 16))) {
		t.Error("the oldest frame of a greedy ingress was kept")
	}
	if !take(rest(first(1, fabric.MaxIngressReassemblies, 16))) {
		t.Error("the newest frame of a greedy ingress was dropped")
	}
	if !take(rest(other)) {
		t.Error("a greedy ingress cost another its frame")
	}
	for i := range uint64(4) { // 4 x 48 KB is above the bytes of one
		take(first(2, i, 48<<10))
	}
	if take(rest(first(2, 0, 48<<10))) || !take(rest(first(2, 3, 48<<10))) {
		t.Error("the limit of bytes of an ingress does not hold, or drops the newest")
	}
	oldest := first(3, 0, 16)
	take(oldest)
	for i := range uint64(fabric.MaxReassemblies) {
		take(first(1000+i, 0, 16))
	}
	if take(rest(oldest)) {
		t.Error("more frames are kept than the limit allows")
	}
}

func TestBytesBeingPutTogetherAreBoundedInAll(t *testing.T) {
	const size = 48 << 10
	r := fabric.NewReassembler()
	first := func(ingress uint64) []byte {
		b := make([]byte, fabric.HopHeaderLen+fabric.SessionHeaderLen+size)
		fabric.HopHeader{Fragment: true, Egress: egressID, Ingress: addr.NodeIDFromUint64(ingress)}.Put(b)
		return b
	}
	isKept := func(ingress uint64) bool {
		b := first(ingress)[:fabric.HopHeaderLen+fabric.SessionHeaderLen+4]
		fabric.HopHeader{Fragment: true, Last: true, FragmentOffset: size / 16, Egress: egressID, Ingress: addr.NodeIDFromUint64(ingress)}.Put(b)
		whole, err := r.HandleFragment(start, b)
		return err == nil && whole != nil
	}
	const all = fabric.MaxReassemblyBytes/size + 1 // of as many ingresses, each far below its own limit
	for i := range uint64(all) {
		if _, err := r.HandleFragment(start, first(1+i)); err != nil {
			t.Fatal(err)
		}
	}
	if isKept(1) {
		t.Errorf("%d bytes of %d ingresses are kept, the limit is %d", all*size, all, fabric.MaxReassemblyBytes)
	}
	if !isKept(2) || !isKept(all) {
		t.Error("more than the oldest had to go")
	}
}

func TestTooManyFragmentsDropTheFrame(t *testing.T) {
	in, _ := newSessions(t, fabric.AESGCM)
	f := split(t, sealed(t, in, 0, make([]byte, 16*(fabric.MaxFragments+2))), 56+16)
	r := fabric.NewReassembler()
	for i, piece := range f[:fabric.MaxFragments+1] {
		_, err := r.HandleFragment(start, piece)
		if (err != nil) != (i == fabric.MaxFragments) {
			t.Fatalf("fragment %d: %v", i, err)
		}
	}
}

func TestSplitNeedsRoom(t *testing.T) {
	in, _ := newSessions(t, fabric.AESGCM)
	frame := sealed(t, in, 0, make([]byte, 100))
	none := func([]byte) { t.Error("emitted") }
	if err := fabric.Split(nil, frame, 56+15, none); !errors.Is(err, fabric.ErrFragment) {
		t.Errorf("no room for a unit: %v", err)
	}
	if err := fabric.Split(nil, frame[:56], 500, none); !errors.Is(err, fabric.ErrFragment) {
		t.Errorf("nothing to split: %v", err)
	}
	if err := fabric.Split(nil, frame[:43], 500, none); !errors.Is(err, fabric.ErrShort) {
		t.Errorf("half a header: %v", err)
	}
	h, _ := fabric.ParseHop(frame)
	h.Fragment, h.FragmentOffset = true, 4095
	h.Put(frame)
	if err := fabric.Split(nil, frame, 500, none); !errors.Is(err, fabric.ErrFragment) {
		t.Errorf("an offset that does not fit: %v", err)
	}
}
