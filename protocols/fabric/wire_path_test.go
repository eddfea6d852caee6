package fabric_test

import (
	"errors"
	"testing"

	"re6st/protocols/fabric"
)

func TestPathProbesComeBackAsTheyWere(t *testing.T) {
	for _, p := range []fabric.PathProbe{{}, {Token: 0x01020304}, {Answer: true, Token: 7}} {
		for _, size := range []int{0, fabric.PathProbeLen, 1380} {
			b := p.Append(nil, size)
			if got, err := fabric.ParsePathProbe(b); got != p || err != nil || len(b) != max(size, fabric.PathProbeLen) || !fabric.IsSessionMessage(b) {
				t.Errorf("%+v, %d bytes: %+v, %v", p, size, got, err)
			}
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, fabric.PathProbeLen-1), make([]byte, 20), {0, 3, 0, 0, 0, 0, 0, 0}, {6 << 4, 1, 0, 0, 0, 0, 0, 0}} {
		if _, err := fabric.ParsePathProbe(bad); !errors.Is(err, fabric.ErrPathProbe) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func FuzzParsePathProbe(f *testing.F) {
	f.Add(fabric.PathProbe{Token: 5}.Append(nil, 20))
	f.Add(fabric.PathProbe{Answer: true}.Append(nil, 0))
	f.Add([]byte{0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := fabric.ParsePathProbe(b)
		if err != nil {
			return
		}
		if again, err := fabric.ParsePathProbe(p.Append(nil, len(b))); again != p || err != nil {
			t.Errorf("%+v, then %+v, %v", p, again, err)
		}
	})
}
