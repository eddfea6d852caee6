package claim_test

import (
	"math/rand/v2"
	"testing"

	"re6st/protocols/claim"
)

func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	f.Add(w.claim(5, 1).Signed)
	f.Add(w.sign(5, statement(1, routerOf(5), claim.Prefix{Prefix: prefix("192.0.2.0/24"), AnyRouter: true}, claim.Prefix{Prefix: prefix("::/0")})))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, signed []byte) {
		c, err := w.open(signed)
		if err != nil {
			return
		}
		s := newStore()
		add(t, s, c)
		if h, ok := s.Get(c.Node); !ok || h.Sequence == 0 {
			t.Errorf("%+v", h)
		}
	})
}

func FuzzHandleMessage(f *testing.F) {
	w := newWorld(f)
	p := newPair(f, w)
	add(f, p.store[0], w.claim(5, 1), w.claim(6, 1))
	add(f, p.store[1], w.claim(6, 2), w.claim(7, 1))
	p.link()
	for busy := true; busy; { // what two of them say is what the fuzzer begins with
		busy = false
		for i, s := range p.sync {
			if m := s.Next(); m != nil {
				busy = true
				f.Add(m)
				if err := p.sync[1-i].HandleMessage(p.now, m); err != nil {
					f.Fatal(err)
				}
				p.receive(1 - i)
			}
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		s := claim.NewSync(epoch, nodeID(1), nodeID(2), p.store[0], rand.New(rand.NewPCG(1, 2)))
		_ = s.HandleMessage(epoch, message)
		for range 100 {
			m := s.Next()
			if m == nil {
				return
			}
			if len(m) > claim.MaxMessage {
				t.Errorf("%d bytes", len(m))
			}
		}
	})
}
