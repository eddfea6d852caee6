package trace_test

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
	"re6st/protocols/trace"
)

func id(n uint64) addr.NodeID { return addr.NodeIDFromUint64(n) }

func sample(t testing.TB) trace.Reply {
	prefix, err := addr.ParseCN("5/16")
	if err != nil {
		t.Fatal(err)
	}
	return trace.Reply{
		Probe: trace.Probe{ID: trace.ID{1, 2, 3}, Number: 7}, Code: trace.Passed, Prefix: prefix, From: id(1), Back: id(2),
		Way: trace.Way{
			Next: id(3), Type: trace.UDP, Remote: netip.MustParseAddrPort("192.0.2.7:7326"), RTT: 1234 * time.Microsecond,
			MTU: 1380, Metric: 196, Others: []trace.Alternative{{Next: id(4), Metric: 288, Feasible: true}, {Next: id(5), Metric: 65535}}, More: 2,
		},
	}
}

func TestAReplyIsReadAsItWasWritten(t *testing.T) {
	nowhere := trace.Reply{Probe: trace.Probe{Number: 1}, Code: trace.NoRoute, From: id(1)}
	six := sample(t)
	six.Way.Remote = netip.MustParseAddrPort("[2001:db8::1]:1")
	lossy := sample(t)
	lossy.Extends, lossy.Way.Loss = true, trace.Loss{Probes: 300, Lost: 7}
	tunnelled, newer := sample(t), lossy
	tunnelled.Extends, tunnelled.Way.Tunnel = true, ktunnel.WireGuard
	newer.Way.Tunnel = 200
	for _, r := range []trace.Reply{sample(t), six, nowhere, lossy, tunnelled, newer} {
		got, err := trace.ParseReply(r.Append(nil))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v is read as %+v, %v", r, got, err)
		}
	}
}

func TestAProbeIsNeverShorterThanItsReply(t *testing.T) {
	const seal = 44 + 12 + 16 // protocols/fabric's headers and tag
	if 2+2*trace.MaxReplyLen+seal > trace.MinProbeLen {
		t.Errorf("a reply has up to %d bytes, and its proof, a probe at least %d", trace.MaxReplyLen, trace.MinProbeLen)
	}
	p := trace.Probe{ID: trace.ID{9}, Number: 3, Extends: true}
	for size, want := range map[int]int{0: trace.MinProbeLen, 1399: 1399} {
		b := p.Append(nil, size)
		got, err := trace.ParseProbe(b)
		if len(b) != want || err != nil || got != p {
			t.Errorf("%d bytes, %+v, %v", len(b), got, err)
		}
	}
}

func TestALinkIsNamedAfterItsCarrier(t *testing.T) {
	for typ, want := range map[trace.LinkType]string{trace.NoLink: "none", trace.UDP: "udp", trace.QUIC: "quic", trace.TLS: "tls", 9: "type 9"} {
		if typ.String() != want {
			t.Errorf("%s, want %s", typ, want)
		}
	}
}

func TestATunnelOfANewerNodeIsNamedAfterItsNumber(t *testing.T) {
	got, err := trace.ParseReply(append(sample(t).Append(nil), 2, 1, 200, 2, 2, 3, 3))
	if err != nil || got.Way.Tunnel.String() != "kind 200" || got.Way.Type != trace.UDP {
		t.Errorf("%v by %v, %v", got.Way.Tunnel, got.Way.Type, err)
	}
}

func TestWhoDoesNotReadExtensionsGetsNone(t *testing.T) {
	lossy := sample(t)
	lossy.Way.Loss, lossy.Way.Tunnel = trace.Loss{Probes: 300, Lost: 7}, ktunnel.GRE
	if got, want := lossy.Append(nil), sample(t).Append(nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want what was sent before there were any: %x", got, want)
	}
	if p, err := trace.ParseProbe(trace.Probe{}.Append(nil, 0)); err != nil || p.Extends {
		t.Errorf("a probe of before is read as %+v, %v", p, err)
	}
}

func TestExtensionsThatAreNotKnownArePassedOver(t *testing.T) {
	for name, more := range map[string][]byte{
		"another type":   {77, 3, 1, 2, 3},
		"another length": {1, 1, 9},
		"an empty one":   {78, 0},
	} {
		b := append(sample(t).Append(nil), more...)
		b = append(b, 1, 4, 0, 9, 0, 12) // more were lost than sent
		got, err := trace.ParseReply(b)
		if err != nil || got.Way.Loss != (trace.Loss{Probes: 9, Lost: 9}) {
			t.Errorf("%s: %+v, %v", name, got.Way.Loss, err)
		}
	}
}

func TestExtensionsBeyondTheirBoundAreRefused(t *testing.T) {
	b := append(sample(t).Append(nil), make([]byte, trace.MaxExtensions)...) // empty ones, of type 0
	if _, err := trace.ParseReply(b); err != nil {
		t.Errorf("%d bytes of them: %v", trace.MaxExtensions, err)
	}
	if _, err := trace.ParseReply(append(b, 0, 0)); !errors.Is(err, trace.ErrReply) {
		t.Errorf("two bytes more: %v", err)
	}
}

func TestTooManyAlternativesAreCounted(t *testing.T) {
	r := sample(t)
	for range 20 {
		r.Way.Others = append(r.Way.Others, trace.Alternative{Next: id(9)})
	}
	got, err := trace.ParseReply(r.Append(nil))
	if err != nil || len(got.Way.Others) != trace.MaxAlternatives || got.Way.More != 2+22-trace.MaxAlternatives {
		t.Errorf("%d and %d more, %v", len(got.Way.Others), got.Way.More, err)
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	good := sample(t).Append(nil)
	for name, spoil := range map[string]func(b []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"short":     func(b []byte) []byte { return b[:81] },
		"cut":       func(b []byte) []byte { return b[:len(b)-1] },
		"version":   func(b []byte) []byte { b[0] = 6 << 4; return b },
		"code 0":    func(b []byte) []byte { b[1] = 0; return b },
		"code 9":    func(b []byte) []byte { b[1] = 9; return b },
		"prefix":    func(b []byte) []byte { b[12] = 129; return b },
		"too many":  func(b []byte) []byte { b[80] = 9; return b },
		"cut short": func(b []byte) []byte { return append(b, 1, 4, 0, 9, 0) },
		"not there": func(b []byte) []byte { b[80] = 3; return b },
	} {
		if _, err := trace.ParseReply(spoil(bytes.Clone(good))); !errors.Is(err, trace.ErrReply) {
			t.Errorf("%s: %v", name, err)
		}
	}
	probe := trace.Probe{}.Append(nil, 0)
	if _, err := trace.ParseProbe(probe[1:]); !errors.Is(err, trace.ErrProbe) {
		t.Errorf("short probe: %v", err)
	}
	probe[0] = 2
	if _, err := trace.ParseProbe(probe); !errors.Is(err, trace.ErrProbe) {
		t.Errorf("probe of version 2: %v", err)
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add(sample(f).Append(nil))
	f.Add(append(sample(f).Append(nil), 1, 4, 0, 9, 0, 1, 7, 0))
	f.Add(append(sample(f).Append(nil), 2, 1, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := trace.ParseReply(b)
		if err != nil {
			return
		}
		again, err := trace.ParseReply(r.Append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%+v is read again as %+v, %v", r, again, err)
		}
	})
}

func FuzzParseProbe(f *testing.F) {
	f.Add(trace.Probe{Number: 1, Extends: true}.Append(nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := trace.ParseProbe(b)
		if err != nil {
			return
		}
		if again, err := trace.ParseProbe(p.Append(nil, len(b))); err != nil || again != p {
			t.Errorf("%+v is read again as %+v, %v", p, again, err)
		}
	})
}
