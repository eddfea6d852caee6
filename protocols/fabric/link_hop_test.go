package fabric_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"re6st/protocols/fabric"
)

// someFrames are frames of one length, but for the last, that nobody has stamped.
func someFrames(t *testing.T, suite fabric.Suite, count, size, last int) (frames []byte, length int) {
	t.Helper()
	in, _ := newSessions(t, suite)
	for i := range count {
		n := size
		if i == count-1 {
			n = last
		}
		frames = append(frames, sealed(t, in, 0, bytes.Repeat([]byte{byte(i)}, n))...)
	}
	return frames, fabric.Overhead + size
}

// TestStampHopsIsStampHopOfEach: frames that are stamped together are, bit for bit, those that
// are stamped one by one, and count as they do.
func TestStampHopsIsStampHopOfEach(t *testing.T) {
	for _, suite := range suites {
		for _, c := range []struct{ count, size, last int }{{1, 100, 100}, {5, 1380, 1380}, {5, 1380, 7}, {3, 0, 0}} {
			together, length := someFrames(t, suite, c.count, c.size, c.last)
			singly := bytes.Clone(together)
			a, _ := newLinks(t, suite, 1)
			b, _ := newLinks(t, suite, 1)
			if err := a.StampHops(together, length); err != nil {
				t.Fatal(err)
			}
			for frame := range slices.Chunk(singly, length) {
				if err := b.StampHop(frame); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(together, singly) {
				t.Errorf("%s: %+v: the frames differ", suite, c)
			}
			bytesA, framesA := a.Usage()
			if bytesB, framesB := b.Usage(); bytesA != bytesB || framesA != framesB {
				t.Errorf("%s: %+v: %d bytes in %d frames, not %d in %d", suite, c, bytesA, framesA, bytesB, framesB)
			}
		}
	}
}

// TestStampHopsTakesAllOrNone: of frames of which one cannot be stamped none is changed, and no
// counter is taken.
func TestStampHopsTakesAllOrNone(t *testing.T) {
	a, _ := newLinks(t, fabric.AESGCM, 1)
	frames, length := someFrames(t, fabric.AESGCM, 3, 100, 100)
	for _, c := range []struct {
		name   string
		frames []byte
		length int
		err    error
	}{
		{"nothing", nil, length, fabric.ErrShort},
		{"no length", frames, 0, fabric.ErrShort},
		{"too short a length", frames, fabric.Overhead - fabric.TagLen - 1, fabric.ErrShort},
		{"too short a last", frames[:2*length+10], length, fabric.ErrShort},
		{"too long", make([]byte, fabric.MaxDatagram+1), fabric.MaxDatagram + 1, fabric.ErrTooLong},
	} {
		before := bytes.Clone(c.frames)
		if err := a.StampHops(c.frames, c.length); !errors.Is(err, c.err) || !bytes.Equal(before, c.frames) {
			t.Errorf("%s: %v, or a frame has changed", c.name, err)
		}
	}
	if n, frames := a.Usage(); n != 0 || frames != 0 {
		t.Errorf("%d bytes in %d frames were counted", n, frames)
	}
}

// TestCheckHopsSaysOfEach: a forged frame, one that came before, one of another link and one
// that is cut short are told from those around them, and the rest passes.
func TestCheckHopsSaysOfEach(t *testing.T) {
	for _, suite := range suites {
		a, b := newLinks(t, suite, 1)
		frames, length := someFrames(t, suite, 7, 200, 200)
		if err := a.StampHops(frames, length); err != nil {
			t.Fatal(err)
		}
		at := func(i int) []byte { return frames[i*length:][:length] }
		at(1)[3]++         // the hop limit
		copy(at(3), at(2)) // again, in the same call
		at(4)[8]++         // the link index
		frames = frames[:6*length+20]
		before := bytes.Clone(frames)
		checked := make([]fabric.CheckedHop, 7)
		b.CheckHops(frames, length, checked)
		if !bytes.Equal(frames, before) {
			t.Errorf("%s: a frame was changed", suite)
		}
		for i, want := range []error{nil, fabric.ErrAuth, nil, fabric.ErrReplay, fabric.ErrIndex, nil, fabric.ErrShort} {
			if !errors.Is(checked[i].Err, want) {
				t.Errorf("%s: frame %d: %v, not %v", suite, i, checked[i].Err, want)
			}
			if h, _ := fabric.ParseHop(at(min(i, 5))); want == nil && checked[i].HopHeader != h {
				t.Errorf("%s: frame %d: %+v, not %+v", suite, i, checked[i].HopHeader, h)
			}
		}
		if n, passed := b.Usage(); passed != 3 || n != uint64(3*length) {
			t.Errorf("%s: %d bytes in %d frames passed", suite, n, passed)
		}
		b.CheckHops(frames, length, checked[:1])
		if !errors.Is(checked[0].Err, fabric.ErrReplay) {
			t.Errorf("%s: the first one came again: %v", suite, checked[0].Err)
		}
	}
}
