package fabric_test

import (
	"testing"

	"re6st/protocols/fabric"
)

// packetPath is each step of a packet of 1380 bytes as a function that undoes
// nothing and keeps nothing.
func packetPath(tb testing.TB, suite fabric.Suite) map[string]func() {
	a, _ := newLinks(tb, suite, 1)
	ka, kb := roots(9)
	in, err := fabric.NewSession(suite, ka, 1, 2, ingressID, egressID)
	if err != nil {
		tb.Fatal(err)
	}
	buf := make([]byte, fabric.Overhead+1380)
	inner := buf[fabric.HopHeaderLen+fabric.SessionHeaderLen:][:1380]
	fabric.HopHeader{HopLimit: 64, Egress: egressID, Ingress: ingressID}.Put(buf)
	_, check := newLinks(tb, suite, 1)
	out, err := fabric.NewSession(suite, kb, 2, 1, egressID, ingressID)
	if err != nil {
		tb.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	control := make([]byte, 0, 200)
	body := make([]byte, 100)
	return map[string]func(){
		"seal": func() {
			_, err := in.Seal(buf[:fabric.HopHeaderLen], 0, inner)
			must(err)
		},
		"stamp": func() { must(a.StampHop(buf)) },
		"stamp-check": func() {
			must(a.StampHop(buf))
			_, err := check.CheckHop(buf)
			must(err)
		},
		"seal-open": func() {
			frame, err := in.Seal(buf[:fabric.HopHeaderLen], 0, inner)
			must(err)
			_, err = out.Open(frame)
			must(err)
		},
		"control-seal-open": func() {
			d, err := a.SealControl(control, fabric.ControlBabel, body)
			must(err)
			_, _, err = check.OpenControl(d)
			must(err)
		},
	}
}

func TestPacketPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given, at random")
	}
	for _, suite := range suites {
		for name, step := range packetPath(t, suite) {
			if n := testing.AllocsPerRun(1000, step); n != 0 {
				t.Errorf("%s, %s: %v allocations", suite, name, n)
			}
		}
	}
}

func BenchmarkSealOpenStamp(b *testing.B) {
	for _, suite := range suites {
		for name, step := range packetPath(b, suite) {
			b.Run(suite.String()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(1380)
				for b.Loop() {
					step()
				}
			})
		}
	}
}
