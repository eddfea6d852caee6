package tunnel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	"re6st/protocols/claim"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
	"re6st/protocols/tunnelplan"
)

const (
	// controlQueue is how many control frames of one link may wait for its tunnel.
	controlQueue = 64
	// measureEvery is how often Measured is published at most.
	measureEvery = time.Second
)

// tunnel is one link with one peer.
type tunnel struct {
	cfg     Config
	lease   *lease
	manager system.Ref[Message]

	ctx       *system.Context[tunnelMessage]
	link      *fabric.Link
	linkTimer *system.Timer
	exchange  *peer.Exchange // nil before the link is up
	claims    *claim.Sync    // likewise; nil too where the node has none
	peerTimer *system.Timer
	leftovers []uint32 // keys of the incarnation before
	stand     standIn
	refused   []int // lengths of datagrams that the interface did not take
	below     below
	shown     time.Time // when Measured was published
}

// Start dials, unless it is the peer that does.
func (t *tunnel) Start(ctx *system.Context[tunnelMessage]) error {
	t.ctx = ctx
	t.leftovers = slices.Clone(t.lease.indices)
	t.linkTimer, t.peerTimer = ctx.NewTimer(linkTick{}), ctx.NewTimer(peerTick{})
	t.link = fabric.NewLink(fabric.LinkConfig{
		Credentials: t.lease.credentials, Rand: rand.Reader, NewIndex: t.cfg.Plane.NewIndex,
		Peer: t.lease.peer, Static: t.lease.static, Pace: t.lease.pace,
	})
	t.link.SetUse(ctx.Now(), t.lease.inUse)
	t.keepOpen(ctx.Now())
	t.link.SetReach(ctx.Now(), t.lease.reach)
	t.link.SetUplinks(ctx.Now(), t.lease.uplinks)
	t.link.SetEndpoints(t.lease.endpoints)
	t.attach()
	if t.lease.path != (fabric.Path{}) { // a tunnel of the kernel ended with the incarnation before
		t.cfg.Plane.SetPath(t.lease.link, t.lease.path)
	}
	frames := t.lease.control
	ctx.Pump("control", func(stop context.Context, p *system.Pump[tunnelMessage]) error {
		for {
			select {
			case <-stop.Done():
				return nil
			case c := <-frames:
				if stop.Err() != nil {
					return nil // another may read here by now
				}
				p.Offer(c)
			}
		}
	}, system.Queue(frames))
	if t.lease.expelled { // the incarnation before was to close it
		t.link.Close(fabric.CloseRevoked)
	} else {
		t.dial()
		t.watch()
	}
	t.settle()
	return nil
}

// dial begins the handshake, unless it is the peer that does. After a restart it
// lets the last handshake grow old: the peer would take two so close for a
// simultaneous open, and might stay with the keys that this end is to give up.
func (t *tunnel) dial() {
	now := t.ctx.Now()
	if t.ctx.Number() == 1 {
		if !t.lease.waits {
			t.link.Dial(now, t.lease.endpoints)
		}
		return
	}
	if wait := t.lease.keyed.Add(fabric.SimultaneousOpen).Sub(now); wait > 0 {
		t.ctx.After(wait, dialAgain{})
		return
	}
	t.link.Dial(now, t.lease.endpoints)
}

// attach makes the link known to the packet path, once.
func (t *tunnel) attach() {
	if t.lease.added {
		return
	}
	l := t.lease
	l.added, l.control = true, make(chan controlled, controlQueue)
	remote := netip.AddrPort{}
	if len(l.endpoints) > 0 {
		remote = l.endpoints[0]
	}
	babel, queue, id := t.cfg.Babel, l.control, l.link
	t.cfg.Plane.AddLink(id, l.peer, remote, func(c dataplane.Control) {
		if c.Kind == fabric.ControlBabel {
			babel(id, c.At, c.Body)
			c.Body = nil // for the link it is a sign of life
		}
		c.Body = bytes.Clone(c.Body)
		select {
		case queue <- controlled{c}:
		default: // the link's own probes come again
		}
	})
}

// Handle takes one message and then does all that came of it.
func (t *tunnel) Handle(ctx *system.Context[tunnelMessage], m tunnelMessage) error {
	now := ctx.Now()
	switch m := m.(type) {
	case shaken:
		t.link.HandleHandshake(now, m.Path, m.Datagram)
	case accepted:
		if !t.link.HandleAccepted(now, m.Accepted) {
			t.settle() // the end of this link, before the next one
			t.manager.Tell(orphaned(m))
		}
	case controlled:
		return t.control(now, m)
	case linkTick:
		t.link.HandleTimeout(now)
	case dialAgain:
		t.link.Dial(now, t.lease.endpoints)
	case retireLeftovers:
		t.retire()
	case standTick:
		t.look()
	case setUse:
		t.lease.inUse = m.inUse
		t.link.SetUse(now, m.inUse)
		t.lead()
	case verify:
		t.link.Verify(now)
	case setPace:
		t.lease.pace = m.Pace
		t.link.SetPace(now, m.Pace)
	case newCredentials:
		t.renewed(now, m.Credentials)
	case keepOpen:
		t.lease.mapped = m.on
		t.keepOpen(now)
	case closeLater:
		t.ctx.After(expelAfter, closeLink{fabric.CloseFull})
	case expel:
		t.expel()
	case closeLink:
		t.link.Close(m.reason)
	case newUplinks:
		t.lease.uplinks = m.uplinks
		t.link.SetUplinks(now, m.uplinks)
		t.offer(now)
	case newReach:
		t.lease.reach = m.Reach
		t.link.SetReach(now, m.Reach)
	case newWanted:
		t.lease.wanted = m.Wanted
		t.offer(now)
	case tunnelMade:
		t.tunnelMade(now, m)
	case tunnelGone:
		if t.below.kind == m.kind {
			t.leaveTunnel(now)
		}
	case tunnelLeads:
		t.below.led = m.on
		t.tellWay()
	case tunnelCarried:
		t.manager.Tell(beside{t.lease.link, m.Count})
	case tunnelOpen:
		t.below.open = true
		t.offer(now)
	case tunnelLacks:
		t.below.lacks = append(t.below.lacks, m.kind)
		t.offer(now)
	case heedOffer:
		t.below.offers.waits = false
		t.heed(now)
	case cancelDial:
		t.link.Cancel()
	default:
		t.converse(now, m)
	}
	t.settle()
	return nil
}

// renewed shows the peer another certificate, and tells it of another static key.
func (t *tunnel) renewed(now time.Time, c *fabric.Credentials) {
	t.lease.credentials = c
	t.link.SetCredentials(c)
	t.link.Rekey(now)
	t.tellChild(renewChild{})
	if t.exchange != nil {
		t.exchange.HandleSelf(now, t.hello())
	}
}

// keepOpen probes often enough for what a NAT maps for the link.
func (t *tunnel) keepOpen(now time.Time) {
	if t.lease.mapped {
		t.link.LimitIdle(now, natIdle)
	} else {
		t.link.LimitIdle(now, 0)
	}
}

// control takes a frame that the packet path has opened.
func (t *tunnel) control(now time.Time, m controlled) error {
	if !t.link.IsUp() && slices.Contains(t.leftovers, m.Index) {
		t.answer(m)
	}
	t.link.HandleControl(now, fabric.ControlFrame{
		At: m.At, Index: m.Index, Counter: m.Counter, Kind: m.Kind, Body: m.Body, Path: m.Path,
	})
	if m.Kind == fabric.ControlPeer && t.exchange != nil {
		if err := t.exchange.HandleMessage(now, m.Body); err != nil {
			t.ctx.Log().Debug("peer message refused", "error", err)
		}
	}
	t.settle()
	return nil
}

// converse has the peer told, or hears, who is who.
func (t *tunnel) converse(now time.Time, m tunnelMessage) {
	switch m := m.(type) {
	case knownPeers:
		t.lease.known = m.peers
	case newDocument:
		t.lease.documents[m.Kind] = m.Document
		if m.Kind == peer.Revocations {
			t.tellChild(judgeChild{})
		}
	case newSelf:
		t.lease.self = m.endpoints
	default: // it changes nothing that is kept
	}
	if t.exchange == nil {
		return
	}
	switch m := m.(type) {
	case knownPeers:
		t.exchange.HandlePeers(now, m.peers)
	case newDocument:
		t.exchange.HandleDocument(now, m.Kind, m.Number, m.Signed)
	case newSelf:
		t.exchange.HandleSelf(now, t.hello())
	case sayGoodbye:
		t.exchange.HandleGoodbye(now, m.reason)
	case peerTick:
		t.exchange.HandleTimeout(now)
		if t.claims != nil {
			t.claims.HandleTimeout(now)
		}
	case claimAdded:
		if t.claims != nil {
			t.claims.HandleAdded(m.Node)
		}
	default: // Handle has the others
	}
}

// Stop takes the link out of the packet path, unless the next incarnation
// follows at once.
func (t *tunnel) Stop(ctx *system.Context[tunnelMessage]) {
	if ctx.Restarting() && t.lease.told {
		return
	}
	if t.link != nil { // else Start failed
		t.link.Close(fabric.CloseShutdown)
		t.link.Drain(func(e fabric.Event) {
			if c, ok := e.(fabric.SendControl); ok {
				t.sendControl(c.Kind, c.Body)
			}
		})
	}
	t.cfg.Plane.RemoveLink(t.lease.link)
	if t.lease.port != 0 {
		t.cfg.Kernel.GivePort(t.lease.port)
		t.lease.port = 0
	}
	t.lease.added, t.lease.told, t.lease.indices = false, false, nil
}

// settle carries out what the machines want.
func (t *tunnel) settle() {
	t.drainLink()
	if t.exchange != nil {
		t.exchange.Drain(t.heard)
		t.speakOfClaims()
		t.drainLink() // what the peer said of a tunnel may move the link
		t.exchange.Drain(t.heard)
		t.peerTimer.Rearm(t.peerTimeout())
	}
	t.linkTimer.Rearm(t.link.NextTimeout())
	if now := t.ctx.Now(); now.Sub(t.shown) >= measureEvery {
		t.shown = now
		t.ctx.Publish(Measured{t.link.Loss(now)})
	}
}

// drainLink carries out what the link wants, until it wants nothing more.
func (t *tunnel) drainLink() {
	for again := true; again; {
		t.refused = t.refused[:0]
		t.link.Drain(t.carryOut)
		for _, size := range t.refused {
			t.link.HandleTooBig(t.ctx.Now(), size)
		}
		again = len(t.refused) > 0
	}
}

// carryOut does what the link wants.
func (t *tunnel) carryOut(e fabric.Event) {
	plane, id := t.cfg.Plane, t.lease.link
	switch e := e.(type) {
	case fabric.Send:
		if err := plane.Send(e.To, e.Datagram); err != nil {
			t.ctx.Log().Debug("handshake not sent", "to", e.To.Remote, "error", err)
		}
	case fabric.SendControl:
		t.sendControlBy(e.To, e.Kind, e.Body)
	case fabric.Expect:
		t.manager.Tell(expected{id, e.Index, true})
	case fabric.Forget:
		t.manager.Tell(expected{id, e.Index, false})
	case fabric.Install:
		t.lease.hold(e.Session.LocalIndex())
		plane.InstallLink(id, e.Session)
	case fabric.Use:
		t.use(e)
	case fabric.Retire:
		t.lease.release(e.Index)
		plane.RetireLink(e.Index)
	case fabric.Up:
		t.up(e)
	case fabric.Down:
		t.manager.Tell(ended{id, e})
	case fabric.RTTChanged:
		t.lease.rtt = e.Smoothed
		t.manager.Tell(measured{id, e.Minimum})
	case fabric.MTUChanged:
		plane.SetLinkMTU(id, e.MTU)
		t.manager.Tell(sized{id, e})
	case fabric.Verified:
		t.manager.Tell(verified{e.Peer})
	case fabric.Duplicate:
		t.manager.Tell(duplicate{e})
	}
}

// use sends with other keys, or by another path.
func (t *tunnel) use(e fabric.Use) {
	plane, l := t.cfg.Plane, t.lease
	if under := t.link.Underlay(); !t.ownTunnel(under.Remote.Addr()) {
		if l.path = under; under.Endpoint().IsValid() {
			l.prefer(under.Remote)
		}
	}
	if index := e.Session.LocalIndex(); index != l.using {
		l.using, l.suite, l.keyed = index, e.Session.Suite().String(), t.ctx.Now()
	}
	plane.SetPath(l.link, e.Path)
	plane.UseLink(l.link, e.Session)
	if at := l.path.Endpoint(); t.exchange != nil && at.IsValid() {
		t.exchange.HandleObserved(t.ctx.Now(), at)
	}
	t.tellWay()
	t.offer(t.ctx.Now())
}

// tellWay tells the manager how the link goes, where that is another way than before.
func (t *tunnel) tellWay() {
	l := t.lease
	t.lead()
	tunnel := t.inTunnel() // a link may have left it before packets do
	if now := (way{l.path.Remote, l.path.Carrier, tunnel, l.path.Local.Interface, tunnel != "" && t.below.led}); now != l.way {
		l.way = now
		if l.told {
			t.manager.Tell(moved{l.link, now})
		}
	}
}

func (t *tunnel) sendControlBy(by fabric.Path, kind fabric.ControlKind, body []byte) {
	err := t.cfg.Plane.SendControlBy(t.lease.link, by, kind, body)
	if errors.Is(err, dataplane.ErrTooBig) && by == (fabric.Path{}) {
		t.refused = append(t.refused, fabric.ControlOverhead+len(body))
	}
	if err != nil {
		t.ctx.Log().Debug("control frame not sent", "kind", kind, "error", err)
	}
}

func (t *tunnel) sendControl(kind fabric.ControlKind, body []byte) {
	if err := t.cfg.Plane.SendControl(t.lease.link, kind, body); err != nil {
		t.ctx.Log().Debug("control frame not sent", "kind", kind, "error", err)
	}
}

// up begins to talk, and takes away the keys of the incarnation before. Where the
// peer restarted meanwhile too, it gets a new link.
func (t *tunnel) up(e fabric.Up) {
	if t.lease.told && e.BootID != t.lease.boot {
		t.link.Close(fabric.CloseReplaced)
		t.link.Drain(t.carryOut)
		return
	}
	t.lease.boot, t.lease.static, t.lease.rtt = e.BootID, &e.Static, e.RTT
	if len(t.leftovers) > 0 { // frames under them are on their way
		t.ctx.After(fabric.Overlap, retireLeftovers{})
	}
	now := t.ctx.Now()
	t.exchange = peer.New(now, peer.Config{
		Self: t.cfg.Credentials.Identity.ID, Hello: t.hello(), Peer: e.Peer.ID, PeerPrefix: e.Peer.Prefix,
		Observed: e.Endpoint(), Networks: t.cfg.Networks, Epoch: t.ctx.Rand().Uint32(),
	})
	for kind, d := range t.lease.documents {
		t.exchange.HandleDocument(now, peer.Document(kind), d.Number, d.Signed)
	}
	t.exchange.HandlePeers(now, t.lease.known)
	t.startClaims(now)
	if !t.lease.told {
		t.lease.told = true
		t.manager.Tell(risen{t.lease.link, t.lease.suite, t.lease.path.Local.Interface, e})
	}
	t.startBelow(now, e)
}

// retire takes away the keys of the incarnation before.
func (t *tunnel) retire() {
	for _, index := range t.leftovers {
		t.lease.release(index)
		t.cfg.Plane.RetireLink(index)
	}
	t.leftovers = nil
}

func (t *tunnel) hello() peer.Hello {
	return peer.Hello{
		Prefix: t.cfg.Prefix, Static: [32]byte(t.lease.credentials.Static.Public), Endpoints: t.lease.self, Software: t.cfg.Software,
		Carriers: uint8(t.cfg.Carriers), TLSPort: t.cfg.TLSPort, Country: t.cfg.Rules.Country,
	}
}

// heard passes on what the peer said.
func (t *tunnel) heard(e peer.Event) {
	now := t.ctx.Now()
	switch e := e.(type) {
	case peer.Send:
		t.sendControl(fabric.ControlPeer, e.Body)
	case peer.ClaimsHeard:
		t.hearOfClaims(e.Body)
	case peer.Introduced:
		if t.claims != nil {
			t.claims.HandlePeer(now)
		}
		t.lease.learn(e.Hello.Endpoints)
		t.link.SetEndpoints(t.lease.endpoints)
		t.manager.Tell(introduced{t.lease.link, e.Hello})
		t.manager.Tell(learned{tunnelplan.Direct, []tunnelplan.Peer{{
			ID: t.lease.peer, Prefix: e.Hello.Prefix, Static: e.Hello.Static, Endpoints: e.Hello.Endpoints, Seen: now,
			TLSPort: e.Hello.TLSPort, Country: cmp.Or(e.Hello.Country, tunnelplan.NoCountry),
		}}})
	case peer.Learned:
		peers := make([]tunnelplan.Peer, len(e.Peers))
		for i, p := range e.Peers {
			peers[i] = tunnelplan.Peer{ID: p.ID, Prefix: p.Prefix, Static: p.Static, Endpoints: p.Endpoints, Seen: now.Add(-p.Age), TLSPort: p.TLSPort}
		}
		t.manager.Tell(learned{tunnelplan.Gossip, peers})
	case peer.TunnelHeard:
		t.hearOfTunnel(now, e.Body)
	case peer.SeenAt:
		t.below.seen = e.Address
		t.offer(now)
		t.manager.Tell(seen{t.lease.link, e.Address})
	case peer.Received:
		t.manager.Tell(received{Document{e.Document, e.Number, e.Signed}})
	case peer.Parting:
		t.manager.Tell(parting{t.lease.link, e.Reason})
	}
}
