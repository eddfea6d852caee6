package hwtest_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"re6st/hw/hwtest"
)

func TestANATLetsInWhomItsNodeHasSentToUntilItForgets(t *testing.T) {
	for _, random := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n, ca, cb := pair(t)
			outside := netip.MustParseAddr("203.0.113.1")
			n.SetNAT(a.Addr(), hwtest.NAT{Outside: outside, Random: random, Timeout: time.Minute})
			send(t, cb, a, "to the inside")
			send(t, cb, netip.AddrPortFrom(outside, a.Port()), "of a stranger")
			send(t, ca, b, "first")
			seen := receive(t, cb).Addr
			if seen.Addr() != outside || (seen.Port() == a.Port()) == random {
				t.Errorf("random %v: seen at %v", random, seen)
			}
			send(t, cb, seen, "answer")
			if p := receive(t, ca); string(p.Data) != "answer" || p.Addr != b {
				t.Errorf("%q from %v", p.Data, p.Addr)
			}
			time.Sleep(2 * time.Minute)
			send(t, cb, seen, "too late")
			send(t, ca, b, "again")
			if again := receive(t, cb).Addr; (again == seen) == random {
				t.Errorf("random %v: seen at %v, then at %v", random, seen, again)
			}
			send(t, cb, seen, "after a new mapping")
			if !random {
				if p := receive(t, ca); string(p.Data) != "after a new mapping" {
					t.Errorf("%q", p.Data)
				}
			}
		})
	}
}
