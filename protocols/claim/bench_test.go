package claim_test

import (
	"net/netip"
	"testing"

	"re6st/protocols/claim"
)

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	signed := w.claim(5, 1).Signed
	for b.Loop() {
		if _, err := w.open(signed); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJudge is what each update costs where a thousand nodes have claims.
func BenchmarkJudge(b *testing.B) {
	w, s := newWorld(b), newStore()
	for i := range 1000 {
		c := w.claim(i+1, 1)
		add(b, s, c)
	}
	own, foreign := w.own(500), netip.MustParsePrefix("2001:db8:99::/48")
	for what, judge := range map[string]func() claim.Verdict{
		"proven":       func() claim.Verdict { v, _ := s.Judge(own, routerOf(500), nodeID(500)); return v },
		"contradicted": func() claim.Verdict { v, _ := s.Judge(own, routerOf(1), nodeID(1)); return v },
		"unproven":     func() claim.Verdict { v, _ := s.Judge(foreign, routerOf(1), nodeID(1)); return v },
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				judge()
			}
		})
	}
}
