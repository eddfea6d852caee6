package tunnelplan

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// LinkUse is what routing makes of the link to a peer.
type LinkUse struct {
	Peer addr.NodeID
	// Destinations is how many nodes are routed through the link, the peer included.
	Destinations int
	// Sole is how many of them have no other feasible route.
	Sole int
}

// Routing is what routing knows at one time.
type Routing struct {
	Reachable []addr.NodeID // nodes with a route
	Adjacent  []addr.NodeID // neighbors by other interfaces than links
	Links     []LinkUse     // of the links that are up; one that is missing carries nothing
}

// DownReason is why a link went down.
type DownReason uint8

// The reasons of HandleDown.
const (
	Lost    DownReason = iota + 1 // silence, or an error
	Closed                        // by this node
	Drained                       // the peer has no more use for the link
	Leaving                       // the peer stops
)

// Planner chooses the peers of one node. It has a single owner.
type Planner struct {
	self   addr.NodeID
	limits Limits
	rules  Rules
	rand   *rand.Rand
	peers  table
	gone   map[addr.NodeID]bool // revoked

	events []Event
	wake   time.Time // when to plan again; zero: no need

	asking        bool // the registry owes an answer
	registryTries int
	registryNext  time.Time

	repairFails int
	repairNext  time.Time
	refreshNext time.Time
	trimNext    time.Time // zero: nothing is beyond the limits
	storeNext   time.Time // zero: nothing to remember

	reachable, adjacent map[addr.NodeID]bool // by the last word of routing
	measured            time.Time            // when HandleTraffic was last called

	nat      nat.Kind // that this node is behind
	heed     float64  // dials that peers may ask for
	heedFrom time.Time
}

// New is the planner of the node self. It keeps r, which nobody else may use.
func New(now time.Time, self addr.NodeID, limits Limits, r *rand.Rand) *Planner {
	p := &Planner{self: self, limits: limits, rand: r, gone: map[addr.NodeID]bool{}, registryNext: now, heed: MeetBurst, heedFrom: now}
	p.restartRefresh(now)
	return p
}

// NextTimeout is when HandleTimeout is due.
func (p *Planner) NextTimeout() (time.Time, bool) { return p.wake, !p.wake.IsZero() }

// HandleTimeout does what is due at now.
func (p *Planner) HandleTimeout(now time.Time) { p.plan(now) }

// Drain hands over the events since the last call, in order.
func (p *Planner) Drain(yield func(Event)) {
	events := p.events
	p.events = nil
	for _, e := range events {
		yield(e)
	}
}

func (p *Planner) emit(e Event) { p.events = append(p.events, e) }

// HandlePeers takes in what source tells of other nodes. From Registry it is
// also the answer to AskRegistry, be it empty.
func (p *Planner) HandlePeers(now time.Time, source Source, peers []Peer) {
	for _, in := range peers {
		if in.ID.IsZero() || in.ID == p.self || p.gone[in.ID] {
			continue
		}
		if q := p.add(in.ID, source, in.Seen); q != nil {
			q.learn(now, source, in)
			p.judge(now, q)
		}
	}
	if source == Registry {
		p.asking = false
		p.waitForRegistry(now)
	}
	p.plan(now)
}

// add is the row of a peer, which routing may know already; nil as table.add.
func (p *Planner) add(id addr.NodeID, source Source, seen time.Time) *peer {
	known := p.peers.get(id) != nil
	q := p.peers.add(id, source, seen)
	if q != nil && !known && (p.reachable[id] || p.adjacent[id]) {
		q.reachable, q.adjacent, q.vouched = true, p.adjacent[id], true
	}
	return q
}

// HandleRegistryFailed is the registry's missing answer to AskRegistry.
func (p *Planner) HandleRegistryFailed(now time.Time) {
	p.asking = false
	p.waitForRegistry(now)
	p.plan(now)
}

// Admit tells whether a handshake from id may become a link: nil, or ErrFull,
// ErrRevoked, ErrShunned, ErrCountry or ErrSelf. It changes nothing; the link counts from HandleUp on.
func (p *Planner) Admit(now time.Time, id addr.NodeID) error {
	switch {
	case id == p.self:
		return ErrSelf
	case p.gone[id]:
		return ErrRevoked
	case p.gone[p.self]:
		return ErrFull
	}
	c, q := p.census(now), p.peers.get(id)
	if q != nil && now.Before(q.shunned) {
		return ErrShunned
	}
	if q != nil && q.barred {
		return ErrCountry
	}
	lan := q != nil && now.Before(q.lanUntil)
	switch {
	case q != nil && q.state != idle && !q.invited:
		return nil // instead of the old link, or of the one that is being dialled
	case c.links() >= MaxLinks:
		return ErrFull
	case lan && c.lan < p.limits.lanLinks(), c.accepted < p.limits.MaxClients:
		return nil
	case p.limits.MaxClients > 0 && p.wantsShortcut(c, q):
		return nil
	case p.limits.MaxClients > 0 && (q == nil || !q.reachable) && c.spareAccepted(p.limits) < RepairSlots:
		return nil
	}
	return ErrFull
}

// HandleUp notes that a link to id is up, by a handshake in which this node had that
// role. remote is the address it was dialled at. It returns the role that counts: where
// two nodes met, who asked opened the link, whoever dialled.
func (p *Planner) HandleUp(now time.Time, id addr.NodeID, role Role, remote netip.AddrPort) Role {
	refused := p.Admit(now, id)
	q := p.add(id, Direct, now)
	if q == nil || errors.Is(refused, ErrSelf) || errors.Is(refused, ErrRevoked) || errors.Is(refused, ErrShunned) || errors.Is(refused, ErrCountry) {
		p.emit(Close{ID: id, Reason: NotAdmitted})
		return role
	}
	c, fresh, repair := p.census(now), !q.linked(), q.state == dialing && q.repair
	dialled := role == Opened
	role = q.asker(role)
	spare := !q.reachable && c.spareOpened(p.limits) < RepairSlots
	if fresh {
		q.lan = now.Before(q.lanUntil) && c.lan < p.limits.lanLinks()
		q.shortcut = !q.lan && p.isShortcut(c, q, role)
		q.carried, q.calm, q.useful = load{}, time.Time{}, false
	}
	q.state, q.since, q.role = up, now, role
	q.use, q.drainSince, q.keepUntil = LinkUse{}, time.Time{}, time.Time{}
	q.failures, q.notBefore, q.lost = 0, time.Time{}, time.Time{}
	q.endMeeting()
	q.forgetNAT()
	q.proven, q.Seen, q.vouched, q.reachable = now, now, true, true
	if dialled {
		q.worked = remote
		q.Endpoints = mergeEndpoints([]netip.AddrPort{remote}, q.Endpoints)
	}
	if role == Opened && !q.shortcut {
		p.restartRefresh(now)
	}
	if repair {
		p.repairFails = 0
	}
	p.registryTries = 0
	p.repairNext = later(p.repairNext, now.Add(RepairDelay))
	p.rememberSoon(now)
	switch {
	case p.gone[p.self]:
		p.close(now, q, Excess)
	case q.lan, q.shortcut, !fresh:
	case role == Accepted && refused != nil:
		p.close(now, q, NotAdmitted)
	case role == Opened && c.opened >= p.limits.ClientCount && !repair && !spare:
		p.close(now, q, Excess)
	}
	p.plan(now)
	return role
}

// HandleDown notes that the link to id, which was up, is down.
func (p *Planner) HandleDown(now time.Time, id addr.NodeID, reason DownReason) {
	q := p.peers.get(id)
	if q == nil || !q.linked() {
		return
	}
	q.proven, q.Seen = now, now
	young := now.Before(q.since.Add(SettleTime))
	p.restShortcut(now, q, reason)
	q.state, q.since, q.repair, q.lan, q.shortcut = idle, now, false, false, false
	q.use, q.drainSince, q.failures = LinkUse{}, time.Time{}, 0
	switch reason {
	case Lost:
		q.lost = now
		q.notBefore = now.Add(spread(p.rand, BackoffMin, 1))
	case Leaving:
		q.notBefore = now.Add(backoff(p.rand, RefusedMin, BackoffMax, 0))
	case Closed, Drained:
		// Not the same peer again at once, or a refresh changes nothing.
		q.notBefore = now.Add(max(p.limits.TunnelRefresh, RefusedMin))
		if young { // one too many, not judged useless
			q.notBefore = now.Add(backoff(p.rand, RefusedMin, BackoffMax, 0))
		}
	}
	if c := p.census(now); c.links() == 0 {
		p.registryNext = earlier(p.registryNext, now.Add(spread(p.rand, RegistryMin, 4)))
	}
	p.rememberSoon(now)
	p.plan(now)
}

// HandleFaulty notes that what drove the link to id failed again and again; HandleDown or
// HandleFailed follows. The peer is left alone, dialled or dialling, for the time that
// comes back.
func (p *Planner) HandleFaulty(now time.Time, id addr.NodeID) time.Duration {
	q := p.peers.get(id)
	if q == nil {
		return 0
	}
	if now.Sub(q.shunned) >= ShunMin {
		q.shuns = 0 // it has gone well since
	}
	d := ShunMin
	for range q.shuns {
		d = min(2*d, ShunMax)
	}
	q.shuns++
	q.shunned = now.Add(d)
	p.plan(now)
	return d
}

// HandleFailed notes that the dial to id ended without a link.
func (p *Planner) HandleFailed(now time.Time, id addr.NodeID) {
	if q := p.peers.get(id); q != nil && q.state == dialing {
		p.fail(now, q)
		p.plan(now)
	}
}

func (p *Planner) fail(now time.Time, q *peer) {
	least, most := BackoffMin, BackoffMax
	if q.met && q.reachable && q.proven.IsZero() { // packets get there by others; what changes at its end it tells
		least = MetMin
	}
	if !q.reachable && !q.lost.IsZero() && now.Before(q.lost.Add(LostFor)) {
		most = LostMax
	}
	q.notBefore = now.Add(backoff(p.rand, least, most, q.failures))
	if q.obstacle != nat.NoObstacle { // neither end can do anything about it
		q.notBefore = now.Add(spread(p.rand, BackoffMax, 4))
	}
	q.failures++
	q.state, q.since = idle, now
	q.endMeeting()
	if q.repair {
		p.repairNext = now.Add(backoff(p.rand, RepairMin, RepairMax, p.repairFails))
		p.repairFails++
		q.repair = false
	}
	p.shortcutFailed(now, q)
}

// HandleRefused notes that the peer answered, and has no place. Its address is
// good: only this peer is left alone for a while.
func (p *Planner) HandleRefused(now time.Time, id addr.NodeID) {
	q := p.peers.get(id)
	if q == nil || q.state != dialing {
		return
	}
	q.Seen = now
	least := RefusedMin
	if p.isAlone() {
		least = AloneMin
	}
	q.notBefore = now.Add(backoff(p.rand, least, BackoffMax, q.failures))
	q.failures++
	q.state, q.since, q.repair = idle, now, false
	q.endMeeting()
	p.shortcutFailed(now, q)
	p.plan(now)
}

// HandleRouting takes in what routing knows; it replaces what it knew before.
func (p *Planner) HandleRouting(now time.Time, r Routing) {
	reachable, adjacent := set(r.Reachable), set(r.Adjacent)
	p.reachable, p.adjacent = reachable, adjacent
	use := make(map[addr.NodeID]LinkUse, len(r.Links))
	for _, u := range r.Links {
		use[u.Peer] = u
	}
	for _, q := range p.peers {
		was := q.reachable
		q.adjacent = adjacent[q.ID]
		q.reachable = reachable[q.ID] || q.adjacent || q.linked()
		q.use = use[q.ID]
		if q.reachable {
			q.Seen, q.vouched = now, true
		} else if was && q.state == idle {
			p.cutOff(now, q)
		}
	}
	p.plan(now)
}

// cutOff makes a fresh start with a peer that routes led to until now.
func (p *Planner) cutOff(now time.Time, q *peer) {
	q.failures = 0
	q.forgetNAT()
	q.notBefore = earlier(q.notBefore, now.Add(spread(p.rand, BackoffMin, 1)))
	p.repairFails = 0
	p.repairNext = earlier(p.repairNext, now.Add(RepairDelay))
}

// HandleLimits changes the limits. Links beyond them are drained one by one.
func (p *Planner) HandleLimits(now time.Time, limits Limits) {
	p.limits = limits
	p.restartRefresh(now)
	p.plan(now)
}

// HandleRevoked closes the links to ids, and refuses them from now on. Where this
// node is among them it closes all its links, and wants none any more.
func (p *Planner) HandleRevoked(now time.Time, ids []addr.NodeID) {
	for _, id := range ids {
		p.gone[id] = true
		if id == p.self {
			p.retire(now)
			continue
		}
		i, ok := p.peers.find(id)
		if !ok {
			continue
		}
		switch p.peers[i].state {
		case dialing:
			p.emit(Cancel{ID: id})
		case up:
			p.emit(Close{ID: id, Reason: Revoked})
		case idle, closing:
		}
		p.peers = slices.Delete(p.peers, i, i+1)
	}
	p.rememberSoon(now)
	p.plan(now)
}

// retire ends all links of this node.
func (p *Planner) retire(now time.Time) {
	for _, q := range p.peers {
		switch q.state {
		case dialing:
			p.emit(Cancel{ID: q.ID})
			q.state, q.since = idle, now
		case up:
			p.close(now, q, Excess)
		case idle, closing:
		}
	}
}

// HandleNetworkChange notes that the underlay changed, such as an address or an
// interface that came: what failed before may work now.
func (p *Planner) HandleNetworkChange(now time.Time) {
	for _, q := range p.peers {
		q.tries, q.restNext = 0, time.Time{}
		if q.failures > 0 {
			q.forgetNAT()
			q.failures, q.notBefore = 0, now.Add(spread(p.rand, BackoffMin, 1))
		}
	}
	p.repairFails, p.repairNext, p.registryTries = 0, now, 0
	p.registryNext = earlier(p.registryNext, now)
	p.plan(now)
}

// TLSPort is where a peer serves TLS, as was told; 0: not known.
func (p *Planner) TLSPort(id addr.NodeID) uint16 {
	if q := p.peers.get(id); q != nil {
		return q.TLSPort
	}
	return 0
}

// Known is at most n of the known peers that can be dialled, those last seen
// alive first: what to tell others.
func (p *Planner) Known(n int) []Peer {
	var out []Peer
	for _, q := range p.peers {
		if q.vouched && len(q.Endpoints) > 0 {
			out = append(out, q.public())
		}
	}
	slices.SortStableFunc(out, func(a, b Peer) int { return b.Seen.Compare(a.Seen) })
	return out[:min(n, len(out))]
}

func set(ids []addr.NodeID) map[addr.NodeID]bool {
	m := make(map[addr.NodeID]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
