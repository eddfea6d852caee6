package claim_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/cert"
	"re6st/protocols/claim"
	"re6st/protocols/registry"
)

var (
	network  = netip.MustParsePrefix("2001:db8:42::/48")
	locators = netip.MustParsePrefix("fd12:3456:789a:bcde::/64")
	epoch    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// world is a network's CA and its nodes.
type world struct {
	t      testing.TB
	issuer *cert.Issuer
	nodes  map[int]*member
}

type member struct {
	key crypto.Signer
	der []byte
	id  *cert.Identity
}

func newWorld(t testing.TB) *world {
	t.Helper()
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	i, err := cert.NewAuthority(rand.Reader, key, network, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, i, map[int]*member{}}
}

func nodeID(i int) addr.NodeID { return addr.NodeIDFromUint64(uint64(i)) }

func routerOf(i int) babel.RouterID { return babel.RouterID{1, 7: byte(i)} }

// node i has the prefix i/16.
func (w *world) node(i int) *member {
	w.t.Helper()
	if m := w.nodes[i]; m != nil {
		return m
	}
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		w.t.Fatal(err)
	}
	var bits addr.Bits
	for b := 15; b >= 0; b-- {
		bits = bits.Append(i>>b&1 == 1)
	}
	der, err := w.issuer.IssueNode(rand.Reader, key.Public(), bits, nodeID(i), epoch, 24*time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := w.verify(der)
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes[i] = &member{key, der, id}
	return w.nodes[i]
}

// share gives node i a share of IPv4.
func (w *world) share(i int, share netip.Prefix) {
	w.t.Helper()
	m := w.node(i)
	der, err := w.issuer.IssueNodeIPv4(rand.Reader, m.key.Public(), m.id.Prefix, m.id.ID, share, epoch, 24*time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	if m.id, err = w.verify(der); err != nil {
		w.t.Fatal(err)
	}
	m.der = der
}

func (w *world) verify(der []byte) (*cert.Identity, error) { return w.issuer.Verify(der, epoch) }

func (w *world) own(i int) netip.Prefix {
	w.t.Helper()
	p, err := addr.Subnet(network, w.node(i).id.Prefix)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func locator(i int) netip.Prefix { return netip.PrefixFrom(addr.Locator(locators, nodeID(i)), 128) }

func statement(sequence uint64, router babel.RouterID, prefixes ...claim.Prefix) claim.Statement {
	return claim.Statement{Sequence: sequence, Expires: epoch.Add(12 * time.Hour), RouterID: router, Prefixes: prefixes}
}

func (w *world) sign(i int, s claim.Statement) []byte {
	w.t.Helper()
	m := w.node(i)
	signed, err := claim.Sign(rand.Reader, m.key, w.issuer.Fingerprint, m.der, s)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

func (w *world) open(signed []byte) (*claim.Claim, error) {
	return claim.Verify(w.issuer.Fingerprint, w.verify, epoch, signed)
}

// claim is what node i says of its own prefix and locator, and of others.
func (w *world) claim(i int, sequence uint64, more ...claim.Prefix) *claim.Claim {
	w.t.Helper()
	all := append([]claim.Prefix{{Prefix: w.own(i)}, {Prefix: locator(i)}}, more...)
	c, err := w.open(w.sign(i, statement(sequence, routerOf(i), all...)))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func newStore() *claim.Store { return claim.NewStore([]netip.Prefix{network}, locators) }

func add(t testing.TB, s *claim.Store, all ...*claim.Claim) {
	t.Helper()
	for _, c := range all {
		if _, err := s.Add(c); err != nil {
			t.Fatal(err)
		}
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestAClaimIsReadAsItWasSigned(t *testing.T) {
	w := newWorld(t)
	said := statement(7, routerOf(5),
		claim.Prefix{Prefix: w.own(5)}, claim.Prefix{Prefix: prefix("::/0")}, claim.Prefix{Prefix: prefix("192.0.2.0/25"), AnyRouter: true},
		claim.Prefix{Prefix: prefix("2001:db8:9::/47"), AnyRouter: true}, claim.Prefix{Prefix: locator(5)})
	signed := w.sign(5, said)
	c, err := w.open(signed)
	if err != nil {
		t.Fatal(err)
	}
	said.Prefixes[3].Prefix = said.Prefixes[3].Masked()
	if !reflect.DeepEqual(c.Statement, said) || c.Node != nodeID(5) || c.Bits != w.node(5).id.Prefix || !bytes.Equal(c.Signed, signed) {
		t.Errorf("%+v, want %+v", c, said)
	}
	if c.Serial.Cmp(w.node(5).id.Certificate.SerialNumber) != 0 {
		t.Errorf("serial %s", c.Serial)
	}
}

func TestForgedClaimsAreRefused(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	good := w.sign(5, statement(7, routerOf(5), claim.Prefix{Prefix: w.own(5)}))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := w.open(bad); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
	withOthersKey, err := claim.Sign(rand.Reader, w.node(6).key, w.issuer.Fingerprint, w.node(5).der, statement(8, routerOf(6)))
	if err != nil {
		t.Fatal(err)
	}
	forOther, err := claim.Sign(rand.Reader, w.node(5).key, other.issuer.Fingerprint, w.node(5).der, statement(8, routerOf(5)))
	if err != nil {
		t.Fatal(err)
	}
	late := statement(8, routerOf(5))
	late.Expires = epoch
	for what, c := range map[string]struct {
		signed []byte
		want   error
	}{
		"with another's key":  {withOthersKey, claim.ErrSignature},
		"for another network": {forOther, claim.ErrSignature},
		"of another network":  {other.sign(5, statement(8, routerOf(5))), cert.ErrUntrusted},
		"expired":             {w.sign(5, late), claim.ErrExpired},
		"cut off":             {good[:len(good)-1], claim.ErrMalformed},
		"with more behind":    {append(bytes.Clone(good), 0), claim.ErrMalformed},
		"empty":               {nil, claim.ErrMalformed},
		"of sequence 0":       {w.sign(5, statement(0, routerOf(5))), claim.ErrMalformed},
		"of no router":        {w.sign(5, statement(1, babel.RouterID{})), claim.ErrMalformed},
	} {
		if _, err := w.open(c.signed); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestAClaimHasItsLimits(t *testing.T) {
	w := newWorld(t)
	many := slices.Repeat([]claim.Prefix{{Prefix: w.own(5)}}, claim.MaxPrefixes+1)
	m := w.node(5)
	if _, err := claim.Sign(rand.Reader, m.key, w.issuer.Fingerprint, m.der, statement(1, routerOf(5), many...)); !errors.Is(err, claim.ErrTooLong) {
		t.Errorf("%d prefixes: %v", len(many), err)
	}
	w.sign(5, statement(1, routerOf(5), many[1:]...))
	if _, err := claim.Sign(rand.Reader, m.key, w.issuer.Fingerprint, make([]byte, cert.MaxCertificate+1), statement(1, routerOf(5))); !errors.Is(err, claim.ErrTooLong) {
		t.Errorf("a large certificate: %v", err)
	}
	if _, err := w.open(make([]byte, claim.MaxSigned+1)); !errors.Is(err, claim.ErrTooLong) {
		t.Errorf("a large claim: %v", err)
	}
}

func TestTheClaimOfTheGreatestSequenceCounts(t *testing.T) {
	w, s := newWorld(t), newStore()
	add(t, s, w.claim(5, 2))
	for _, c := range []struct {
		sequence uint64
		news     bool
	}{{1, false}, {3, true}, {2, false}} {
		if news, err := s.Add(w.claim(5, c.sequence)); err != nil || news != c.news {
			t.Errorf("sequence %d: %v, %v", c.sequence, news, err)
		}
	}
	// Of two with one sequence all stores keep the same.
	a, b := w.claim(6, 1), w.claim(6, 1, claim.Prefix{Prefix: prefix("::/0")})
	x, y := newStore(), newStore()
	add(t, x, a, b)
	add(t, y, b, a)
	if x.Digest() != y.Digest() || x.Len() != 1 {
		t.Error("two stores keep different ones")
	}
}

func TestAFullStoreTakesNoOther(t *testing.T) {
	w, s := newWorld(t), newStore()
	first := w.claim(1, 1)
	for i := range claim.MaxClaims {
		c := *first
		c.Node = nodeID(i + 1)
		add(t, s, &c)
	}
	next := *first
	next.Node = nodeID(claim.MaxClaims + 1)
	if _, err := s.Add(&next); !errors.Is(err, claim.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if news, err := s.Add(w.claim(1, 2)); err != nil || !news {
		t.Errorf("a newer one: %v, %v", news, err)
	}
}

func TestRoutesAreJudgedByTheClaims(t *testing.T) {
	w, s := newWorld(t), newStore()
	const owner, rogue, border, gateway, silent = 5, 6, 7, 8, 9
	all, island := claim.Prefix{Prefix: prefix("::/0")}, prefix("2001:db8:77::/48")
	add(t, s,
		w.claim(owner, 1), w.claim(rogue, 1, all, claim.Prefix{Prefix: w.own(owner), AnyRouter: true}, claim.Prefix{Prefix: locator(owner)}),
		w.claim(border, 1, claim.Prefix{Prefix: network, AnyRouter: true}, claim.Prefix{Prefix: island, AnyRouter: true}), w.claim(gateway, 1, all))
	s.SetRights([]registry.Right{{Node: nodeID(border), Import: []netip.Prefix{network, island}}, {Node: nodeID(gateway), Gateway: true}})
	part, half := prefix("2001:db8:42:5:8000::/65"), prefix("2001:db8:42:4::/63")
	stranger := babel.RouterID{0xbb}
	for what, c := range map[string]struct {
		prefix netip.Prefix
		router babel.RouterID
		egress int
		want   claim.Verdict
	}{
		"the owner":                            {w.own(owner), routerOf(owner), owner, claim.Proven},
		"a part of it, by the owner":           {part, routerOf(owner), owner, claim.Proven},
		"its locator":                          {locator(owner), routerOf(owner), owner, claim.Proven},
		"the owner as another router":          {w.own(owner), stranger, owner, claim.Unproven},
		"the rogue":                            {w.own(owner), routerOf(rogue), rogue, claim.Contradicted},
		"a part of it, by the rogue":           {part, routerOf(rogue), rogue, claim.Contradicted},
		"a part, under the owner's router-id":  {part, routerOf(owner), rogue, claim.Contradicted},
		"all, under the owner's router-id":     {w.own(owner), routerOf(owner), rogue, claim.Unproven},
		"the locator, by the rogue":            {locator(owner), routerOf(rogue), rogue, claim.Contradicted},
		"who has claimed nothing":              {w.own(owner), stranger, silent, claim.Contradicted},
		"more than the owner has":              {half, routerOf(owner), owner, claim.Unproven},
		"imported with a right":                {w.own(owner), stranger, border, claim.Proven},
		"an island behind the border":          {prefix("2001:db8:77:1::/64"), stranger, border, claim.Proven},
		"the same, by who has no right":        {prefix("2001:db8:77:1::/64"), routerOf(rogue), rogue, claim.Unproven},
		"the way out, by a gateway":            {all.Prefix, routerOf(gateway), gateway, claim.Proven},
		"the way out, by the rogue":            {all.Prefix, routerOf(rogue), rogue, claim.Unproven},
		"a part of the world, by a gateway":    {prefix("2001:db8:99::/48"), routerOf(gateway), gateway, claim.Unproven},
		"the way out in IPv4, not claimed":     {prefix("0.0.0.0/0"), routerOf(gateway), gateway, claim.Unproven},
		"what nobody has, by nobody of ours":   {prefix("2001:db8:42:ff::/64"), stranger, silent, claim.Unproven},
		"an IPv4 prefix, by nobody of ours":    {prefix("192.0.2.0/24"), stranger, silent, claim.Unproven},
		"the owner's, as the border's own":     {w.own(owner), routerOf(border), border, claim.Proven},
		"the whole network, as the border may": {network, routerOf(border), border, claim.Proven},
	} {
		if got, _ := s.Judge(c.prefix, c.router, nodeID(c.egress)); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
	if _, owned := s.Judge(part, routerOf(rogue), nodeID(rogue)); owned != nodeID(owner) {
		t.Errorf("the owner is %s", owned)
	}
	h, _ := s.Get(nodeID(rogue))
	if want := []netip.Prefix{all.Prefix, w.own(owner), locator(owner)}; !slices.Equal(h.Refused, want) {
		t.Errorf("refused %v, want %v", h.Refused, want)
	}
}

// TestAShareOfIPv4IsItsNodesOwn, as its certificate has it.
func TestAShareOfIPv4IsItsNodesOwn(t *testing.T) {
	w, s := newWorld(t), newStore()
	share, lan := prefix("10.42.5.0/24"), prefix("192.168.7.0/24")
	w.share(5, share)
	w.share(6, prefix("10.42.6.0/24"))
	add(t, s, w.claim(5, 1, claim.Prefix{Prefix: share}), w.claim(6, 1, claim.Prefix{Prefix: share}, claim.Prefix{Prefix: lan, AnyRouter: true}), w.claim(7, 1))
	s.SetRights([]registry.Right{{Node: nodeID(6), Import: []netip.Prefix{lan}}})
	part := prefix("10.42.5.128/25")
	for what, c := range map[string]struct {
		prefix netip.Prefix
		egress int
		want   claim.Verdict
	}{
		"the owner":                  {share, 5, claim.Proven},
		"a part, by the owner":       {part, 5, claim.Proven},
		"another":                    {share, 6, claim.Contradicted},
		"a part, by another":         {part, 6, claim.Contradicted},
		"who has no share":           {share, 7, claim.Contradicted},
		"its own, which it does not": {prefix("10.42.6.0/24"), 6, claim.Unproven},
		"a LAN, with a right":        {lan, 6, claim.Proven},
		"the range":                  {prefix("10.42.0.0/16"), 7, claim.Unproven},
	} {
		if got, _ := s.Judge(c.prefix, routerOf(c.egress), nodeID(c.egress)); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
	for src, want := range map[string]bool{"10.42.5.9": true, "10.42.6.9": false, "192.168.7.1": false} {
		if got := s.MaySend(nodeID(5), netip.MustParseAddr(src)); got != want {
			t.Errorf("from %s: %v", src, got)
		}
	}
}

func TestARouterIDIsWhoHasClaimedIt(t *testing.T) {
	w, s := newWorld(t), newStore()
	c, other := w.claim(5, 1), w.claim(6, 1)
	if !s.IsRouter(c.Node, c.RouterID) || !s.IsRouter(other.Node, c.RouterID) {
		t.Error("nobody has claimed it")
	}
	add(t, s, c, w.claim(5, 2), other)
	if !s.IsRouter(c.Node, c.RouterID) || s.IsRouter(other.Node, c.RouterID) || !s.IsRouter(c.Node, babel.RouterID{0xbb}) {
		t.Error("it is another's")
	}
	s.Expire(c.Expires)
	if !s.IsRouter(other.Node, c.RouterID) {
		t.Error("it stays taken when the claim falls")
	}
}

// Who claims another's router-id as its own may use it for its own prefixes, and for those alone.
func TestARouterIDThatTwoClaimIsNoWayToAnothersPrefix(t *testing.T) {
	w, s := newWorld(t), newStore()
	const owner, rogue = 5, 6
	signed := w.sign(rogue, statement(1, routerOf(owner), claim.Prefix{Prefix: w.own(rogue)}, claim.Prefix{Prefix: w.own(owner)}))
	copied, err := w.open(signed)
	if err != nil {
		t.Fatal(err)
	}
	add(t, s, w.claim(owner, 1), copied)
	if v, whose := s.Judge(w.own(owner), routerOf(owner), nodeID(rogue)); v != claim.Contradicted || whose != nodeID(owner) {
		t.Errorf("the owner's prefix by the rogue: %d, of %s", v, whose)
	}
	for _, node := range []int{owner, rogue} {
		if v, _ := s.Judge(w.own(node), routerOf(owner), nodeID(node)); v != claim.Proven {
			t.Errorf("the own prefix of node %d: %d", node, v)
		}
		if !s.Shares(nodeID(node), routerOf(owner)) {
			t.Errorf("node %d has the router-id for itself", node)
		}
	}
	s.Expire(copied.Expires)
	add(t, s, w.claim(owner, 2))
	if s.Shares(nodeID(owner), routerOf(owner)) || !s.Shares(nodeID(rogue), routerOf(owner)) {
		t.Error("it is not the owner's alone")
	}
}

func TestRightsComeAndGo(t *testing.T) {
	w, s := newWorld(t), newStore()
	all := claim.Prefix{Prefix: prefix("::/0")}
	add(t, s, w.claim(8, 1, all))
	judge := func() claim.Verdict { v, _ := s.Judge(all.Prefix, routerOf(8), nodeID(8)); return v }
	if judge() != claim.Unproven {
		t.Error("a gateway without the right")
	}
	s.SetRights([]registry.Right{{Node: nodeID(8), Gateway: true}})
	if judge() != claim.Proven {
		t.Error("the right has no effect")
	}
	s.SetRights(nil)
	if judge() != claim.Unproven {
		t.Error("the right stays when it is taken away")
	}
}

func TestWhoMaySendFromWhere(t *testing.T) {
	w, s := newWorld(t), newStore()
	all := claim.Prefix{Prefix: prefix("::/0")}
	add(t, s, w.claim(5, 1), w.claim(7, 1, claim.Prefix{Prefix: prefix("2001:db8:77::/48"), AnyRouter: true}), w.claim(8, 1, all))
	s.SetRights([]registry.Right{{Node: nodeID(8), Gateway: true}, {Node: nodeID(7), Import: []netip.Prefix{prefix("2001:db8:77::/48")}}})
	for what, c := range map[string]struct {
		node int
		src  string
		want bool
	}{
		"a gateway, from outside":           {8, "2001:db8:ffff::1", true},
		"a gateway, from another's":         {8, "2001:db8:42:5::1", false},
		"who imports it":                    {7, "2001:db8:77::1", true},
		"who imports something else":        {7, "2001:db8:78::1", false},
		"a member, from outside":            {5, "2001:db8:ffff::1", false},
		"a member, from its own":            {5, "2001:db8:42:5::1", true},
		"who has claimed nothing":           {9, "2001:db8:ffff::1", false},
		"a gateway, from outside, in IPv4":  {8, "192.0.2.1", false},
		"who imports nothing that is there": {8, "2001:db8:42::1", false},
	} {
		if got := s.MaySend(nodeID(c.node), netip.MustParseAddr(c.src)); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestExpiredAndRevokedClaimsFall(t *testing.T) {
	w, s := newWorld(t), newStore()
	empty := s.Digest()
	add(t, s, w.claim(5, 1), w.claim(6, 1))
	if next, ok := s.NextExpiry(); !ok || !next.Equal(epoch.Add(12*time.Hour)) {
		t.Errorf("next expiry: %v, %v", next, ok)
	}
	serial := w.node(5).id.Certificate.SerialNumber
	if !s.Revoke(func(id addr.NodeID, n *big.Int) bool { return id == nodeID(5) && n.Cmp(serial) == 0 }) || s.Len() != 1 {
		t.Errorf("%d claims after a revocation", s.Len())
	}
	if v, _ := s.Judge(w.own(5), routerOf(5), nodeID(5)); v != claim.Unproven {
		t.Errorf("its route is %d", v)
	}
	if s.Expire(epoch.Add(12*time.Hour - 1)) {
		t.Error("expired before its time")
	}
	if !s.Expire(epoch.Add(12*time.Hour)) || s.Len() != 0 || s.Digest() != empty {
		t.Errorf("%d claims at the end", s.Len())
	}
}
