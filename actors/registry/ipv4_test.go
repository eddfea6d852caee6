package registry_test

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// withIPv4 makes a network with a range of IPv4.
func withIPv4(rng, share string) func(*service.Creation) {
	return func(c *service.Creation) {
		c.Params = []registry.Setting{{Key: "ipv4", Value: rng}, {Key: "ipv4_share", Value: share}}
	}
}

// joinOne is a node with a prefix of that length.
func joinOne(t *testing.T, s *service.Store, length int) *cert.Identity {
	t.Helper()
	id, err := join(t, s, token(t, s, length, epoch.Add(time.Hour)), publicKey(t), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// renewed is the identity that a node has after a renewal.
func renewed(t *testing.T, s *service.Store, id *cert.Identity) *cert.Identity {
	t.Helper()
	der, err := s.Renew(t.Context(), rand.Reader, id, id.Certificate.PublicKey, registry.StaticKey{}, epoch, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Authority().Verify(der, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func setIPv4(t *testing.T, s *service.Store, rng, share string) {
	t.Helper()
	if _, err := s.SetParams(t.Context(), rand.Reader, []registry.Setting{{Key: "ipv4", Value: rng}, {Key: "ipv4_share", Value: share}}); err != nil {
		t.Fatal(err)
	}
}

func TestEachNodeHasAShareOfIPv4(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, withIPv4("10.42.0.0/16", "24"))
	first, second := joinOne(t, s, 16), joinOne(t, s, 16) // 0/16 and 1/16
	third := joinOne(t, s, 16)
	for i, id := range []*cert.Identity{first, second, third} {
		if want := []string{"10.42.255.0/24", "10.42.1.0/24", "10.42.2.0/24"}[i]; id.IPv4.String() != want {
			t.Errorf("node %s has %s, want %s", id.Prefix.CN(), id.IPv4, want)
		}
	}
	s.Close()
	s = reopen(t, dir)
	if again := renewed(t, s, second); again.IPv4 != second.IPv4 {
		t.Errorf("%s after a renewal, %s before", again.IPv4, second.IPv4)
	}
	nodes, err := s.Nodes(t.Context())
	if err != nil || len(nodes) != 3 || nodes[1].IPv4 != second.IPv4 {
		t.Errorf("%+v, %v", nodes, err)
	}
}

// TestAShareIsOfTheValueOfThePrefix, where no other node has that.
func TestAShareIsOfTheValueOfThePrefix(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	var ids []*cert.Identity
	for range 4 {
		ids = append(ids, joinOne(t, s, 16))
	}
	setIPv4(t, s, "10.42.0.0/16", "24")
	for _, i := range []int{3, 0, 2, 1} {
		want := []string{"10.42.255.0/24", "10.42.1.0/24", "10.42.2.0/24", "10.42.3.0/24"}[i]
		if got := renewed(t, s, ids[i]); got.IPv4.String() != want {
			t.Errorf("node %s has %s, want %s", got.Prefix.CN(), got.IPv4, want)
		}
	}
}

func TestAFullRangeOfIPv4LeavesANodeWithout(t *testing.T) {
	s := create(t, t.TempDir(), withIPv4("10.42.0.0/30", "32"))
	seen := map[netip.Prefix]bool{}
	var last *cert.Identity
	for range 4 {
		last = joinOne(t, s, 16)
		seen[last.IPv4] = true
	}
	if last.IPv4.IsValid() || len(seen) != 4 || seen[netip.MustParsePrefix("10.42.0.0/32")] {
		t.Errorf("shares %v", seen)
	}
	setIPv4(t, s, "10.42.0.0/29", "32")
	if got := renewed(t, s, last); got.IPv4.String() != "10.42.0.7/32" {
		t.Errorf("%s in a larger range", got.IPv4)
	}
}

// TestAnotherRangeOfIPv4IsForRenewals: numbers stay, shares follow the range.
func TestAnotherRangeOfIPv4IsForRenewals(t *testing.T) {
	s := create(t, t.TempDir(), withIPv4("10.42.0.0/16", "24"))
	a := joinOne(t, s, 16)
	setIPv4(t, s, "172.16.0.0/12", "28")
	if a = renewed(t, s, a); a.IPv4.String() != "172.16.15.240/28" {
		t.Errorf("%s in another range", a.IPv4)
	}
	setIPv4(t, s, "", "24")
	if a = renewed(t, s, a); a.IPv4.IsValid() {
		t.Errorf("%s without a range", a.IPv4)
	}
	setIPv4(t, s, "10.42.0.0/16", "24")
	if a = renewed(t, s, a); a.IPv4.String() != "10.42.255.0/24" {
		t.Errorf("%s in the first range again", a.IPv4)
	}
}

// TestARepeatedRenewalBringsTheShareOfNow, though the answer before got lost.
func TestARepeatedRenewalBringsTheShareOfNow(t *testing.T) {
	s := create(t, t.TempDir(), nil)
	a := joinOne(t, s, 16)
	lost := renewed(t, s, a)
	if same := renewed(t, s, a); same.Certificate.SerialNumber.Cmp(lost.Certificate.SerialNumber) != 0 {
		t.Error("a lost answer was not repeated")
	}
	setIPv4(t, s, "10.42.0.0/16", "24")
	if got := renewed(t, s, a); got.IPv4.String() != "10.42.255.0/24" {
		t.Errorf("the share is %s", got.IPv4)
	}
}
