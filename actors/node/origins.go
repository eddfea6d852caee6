package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/registry"
	"re6st/actors/tunnel"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/cert"
	"re6st/protocols/claim"
	wire "re6st/protocols/registry"
)

// errRevoked is a claim of a certificate that counts no more.
var errRevoked = errors.New("its certificate is revoked")

// origins are the claims that this node has, and how it judges by them. The tunnels add
// to them; the router and the packet path ask.
type origins struct {
	self    addr.NodeID
	ca      [32]byte
	verify  func(der []byte) (*cert.Identity, error)
	revoked func() *cert.RevocationList
	now     func() time.Time

	mu     sync.RWMutex // guards what follows
	store  *claim.Store
	policy wire.Origins
}

// newOrigins is without claims.
func (n *parts) newOrigins() *origins {
	ranges := n.networks() // and behind them the locators
	last := len(ranges) - 1
	verify, authority, now := n.credentials.Verify, n.member.Authority, n.now
	o := &origins{
		self: n.member.Identity.ID, ca: n.member.Authority.Fingerprint, revoked: n.revocations.Load, now: now,
		store: claim.NewStore(ranges[:last], ranges[last]),
		verify: func(der []byte) (*cert.Identity, error) {
			if verify == nil { // in a test
				return authority.Verify(der, now())
			}
			return verify(der, now())
		},
	}
	o.setParams(n.parameters.Load().Params, n.settings.get().Origins)
	return o
}

// setParams takes what the network says of origins, unless this node says otherwise.
func (o *origins) setParams(p wire.Params, own wire.Origins) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.store.SetRights(p.Rights)
	if o.policy = p.Origins; own != "" {
		o.policy = own
	}
}

// Take is as in tunnel.Claims.
func (o *origins) Take(signed []byte) (addr.NodeID, bool, error) {
	c, err := claim.Verify(o.ca, o.verify, o.now(), signed)
	if err != nil {
		return addr.NodeID{}, false, err
	}
	if o.revoked().RevokesSerial(c.Node, c.Serial) {
		return c.Node, false, fmt.Errorf("node %s: %w", c.Node, errRevoked)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	news, err := o.store.Add(c)
	return c.Node, news, err
}

// Digest, Bucket, Version and Signed are as in claim.Ledger.
func (o *origins) Digest() claim.Digest {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.store.Digest()
}

// Bucket is as in claim.Ledger.
func (o *origins) Bucket(b int) []claim.Version {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.store.Bucket(b)
}

// Version is as in claim.Ledger.
func (o *origins) Version(id addr.NodeID) (claim.Version, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.store.Version(id)
}

// Signed is as in claim.Ledger.
func (o *origins) Signed(id addr.NodeID) (claim.Version, []byte) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.store.Signed(id)
}

// list is all claims, by node.
func (o *origins) list() []claim.Held {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.store.All()
}

// status is how origins are judged, and what came of it.
func (o *origins) status(barred uint64) monitor.Origins {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return monitor.Origins{Policy: string(o.policy), Claims: o.store.Len(), Barred: barred}
}

// notice tells of what this node announces and has no right to; "": nothing.
func (o *origins) notice() string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	own, ok := o.store.Get(o.self)
	if !ok || len(own.Refused) == 0 || o.policy == wire.OriginsOff {
		return ""
	}
	others := "others do not use it"
	if o.policy == wire.OriginsPrefer {
		others = "others use it where nobody else has announced it by right"
	}
	return fmt.Sprintf("this node has no right to announce %s: %s; `re6st registry right %s` gives rights", own.Refused[0], others, own.Bits.CN())
}

// clean drops the claims that count no more, and tells whether there were any.
func (o *origins) clean() bool {
	revoked, now := o.revoked(), o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	gone := o.store.Revoke(revoked.RevokesSerial)
	return o.store.Expire(now) || gone
}

// maySend tells whether a node may send from an address, as its claim and its rights
// have it.
func (o *origins) maySend(id addr.NodeID, src netip.Addr) bool {
	if o == nil { // a test without claims
		return false
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.policy != wire.OriginsOff && o.store.MaySend(id, src)
}

// judge is as in neighbor.Config.
func (o *origins) judge(peer addr.NodeID, a babel.Announcement) (babel.Standing, neighbor.Objection) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.policy == wire.OriginsOff {
		return babel.Claimed, neighbor.Objection{}
	}
	verdict, owner := o.store.Judge(a.Prefix, a.RouterID, a.Egress)
	// Costs are positive: only who originates a route says 0. Who claims another's router-id
	// for itself may use it for its own prefixes alone.
	if a.Refmetric == 0 && !peer.IsZero() && o.store.Shares(peer, a.RouterID) && (verdict != claim.Proven || !o.store.IsRouter(peer, a.RouterID)) {
		return babel.Barred, neighbor.Objection{Why: func() string {
			return fmt.Sprintf("node %s says that %s is its own, under the router-id %s, which another node has claimed", peer, a.Prefix, a.RouterID)
		}}
	}
	switch {
	case verdict == claim.Proven:
		return babel.Claimed, neighbor.Objection{}
	case verdict == claim.Contradicted:
		return babel.Barred, neighbor.Objection{Owner: owner, Why: func() string { return o.blame(peer, a, fmt.Sprintf("is node %s's", owner)) }}
	case o.policy == wire.OriginsPrefer:
		return babel.Unclaimed, neighbor.Objection{}
	}
	if _, known := o.store.Version(a.Egress); !known {
		return babel.Barred, neighbor.Objection{} // its claim may be on its way
	}
	return babel.Barred, neighbor.Objection{Why: func() string { return o.blame(peer, a, "it has no right to that") }}
}

// blame tells who announces what, and what it might.
func (o *origins) blame(peer addr.NodeID, a babel.Announcement, why string) string {
	by := "by an interface that is trusted"
	if !peer.IsZero() {
		by = fmt.Sprintf("by neighbor %s", peer)
	}
	o.mu.RLock()
	h, ok := o.store.Get(a.Egress)
	o.mu.RUnlock()
	given := "that node has claimed nothing"
	if ok {
		words := make([]string, len(h.Own))
		for i, p := range h.Own {
			words[i] = p.String()
		}
		given = fmt.Sprintf("its certificate gives it %s", strings.Join(words, ", "))
	}
	return fmt.Sprintf("%s is announced for node %s %s, and %s; %s", a.Prefix, a.Egress, by, why, given)
}

// statement is what this node may announce, and so claims.
func (n *parts) statement(m *registry.Member) (claim.Statement, error) {
	s := claim.Statement{
		Expires: m.Identity.Certificate.NotAfter, RouterID: n.routerID(),
		Prefixes: []claim.Prefix{{Prefix: netip.PrefixFrom(addr.Locator(m.Params.LocatorRange, m.Identity.ID), 128)}},
	}
	own, err := n.own()
	if err != nil {
		return s, err
	}
	config, right := n.options.Config, n.parameters.Load().RightOf(m.Identity.ID)
	imports := len(config.Trusted) > 0 // from routers that are none of ours
	if share := n.wantedIPv4().share; share.IsValid() {
		own = append(own, share)
	}
	for _, p := range own {
		s.Prefixes = append(s.Prefixes, claim.Prefix{Prefix: p, AnyRouter: imports})
	}
	if config.Gateway || right.Gateway && imports {
		s.Prefixes = append(s.Prefixes, claim.Prefix{Prefix: everywhere, AnyRouter: imports})
	}
	for _, p := range right.Import {
		s.Prefixes = append(s.Prefixes, claim.Prefix{Prefix: p, AnyRouter: true})
	}
	return s, nil
}

// routerID is what this node announces its routes under.
func (n *parts) routerID() babel.RouterID {
	if other := babel.RouterID(n.options.Config.DebugRouterID); other.IsValid() {
		return other
	}
	return n.state.RouterID
}

// everywhere is the way out of the mesh.
var everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// claimOwn signs what this node announces, as it is now.
func (n *parts) claimOwn() error {
	m := n.identity.newest()
	s, err := n.statement(m)
	if err != nil {
		return err
	}
	// Greater than that of any run before, though the clock went back meanwhile: others
	// have that one.
	s.Sequence = uint64(max(n.now().UnixMilli(), 1))
	if held, ok := n.origins.Version(m.Identity.ID); ok {
		s.Sequence = max(s.Sequence, held.Sequence+1)
	}
	signed, err := claim.Sign(rand.Reader, m.Key, m.Authority.Fingerprint, m.Certificate, s)
	if err != nil {
		return err
	}
	n.claimed.Store(&s.Sequence)
	_, _, err = n.origins.Take(signed)
	return err
}

// Messages about claims.
type (
	claimHeard struct{ node addr.NodeID }
	claimsTick struct{}
)

func (claimHeard) rootMessage() {}
func (claimsTick) rootMessage() {}

const (
	// claimsCheck is how often claims that have expired are looked for.
	claimsCheck = time.Minute
	// claimPause is between two claims of this node's own, lest it outbids a former life
	// of its own without an end.
	claimPause = time.Second
)

// startClaims claims what this node announces, and looks after the claims. A node whose
// claim nobody would take goes on without.
func (r *root) startClaims() error {
	r.ctx.After(claimsCheck, claimsTick{})
	if err := r.claimOwn(); err != nil {
		r.ctx.Event("claim", "of this node's routes: "+err.Error())
	}
	return nil
}

// claimAnew has the others told of what this node announces by now.
func (r *root) claimAnew() {
	if err := r.claimOwn(); err != nil {
		r.ctx.Event("claim", "of this node's routes: "+err.Error())
		return
	}
	r.tunnels.Tell(tunnel.Claimed{Node: r.member.Identity.ID})
	r.router.Tell(neighbor.OriginsChanged{})
}

// claimHeard takes note of a claim that a peer has brought: routes may count by now. One
// of this node's own that is newer than the newest is of a run before.
func (r *root) claimHeard(node addr.NodeID) {
	r.router.Tell(neighbor.OriginsChanged{})
	if node != r.member.Identity.ID {
		return
	}
	held, _ := r.origins.Version(node)
	own := r.claimed.Load()
	switch {
	case own == nil || held.Sequence <= *own:
	case r.ctx.Now().Sub(r.claimedAt) < claimPause:
		r.ctx.After(claimPause, claimHeard{node})
	default:
		r.claimedAt = r.ctx.Now()
		r.claimAnew()
	}
}

// cleanClaims drops what counts no more.
func (r *root) cleanClaims() {
	if r.origins.clean() {
		r.router.Tell(neighbor.OriginsChanged{})
	}
}
