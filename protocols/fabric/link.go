package fabric

import (
	"io"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
)

// LinkConfig is what a Link works with. Credentials, Rand and NewIndex are needed.
type LinkConfig struct {
	Credentials *Credentials
	Rand        io.Reader
	NewIndex    func() uint32 // random, not zero, not in use

	Peer   addr.NodeID // zero: whoever of the network answers
	Static *[32]byte   // the peer's key, from an earlier Up; nil where not known

	Pace Pace // of its probes
}

const (
	rekeyRetry  = 10 * time.Second // after a handshake for new keys that failed
	confirmWait = 5 * time.Second  // for the first probe of a peer that was accepted
)

// Link is one link with one peer, from the first handshake to its end:
//
//	     Dial             agreement or first frame            silence, Close,
//	new ------> dialling ------------------------> up ------> refusal, close
//	 |                       ^                    |  ^   |
//	 '---- HandleAccepted ---'                    '--'   '--> down
//	                                             new keys
//
// It keeps the link's keys new, probes the peer and measures the round trip. Not
// safe for concurrent use.
type Link struct {
	party
	peer   addr.NodeID
	static *[keyLen]byte
	boot   BootID
	paths  paths
	up     bool
	done   bool

	dial  *dialer
	kept  keptCookie // of the last agreement, by the path in use
	ring  keyring[*LinkSession]
	rekey time.Time // not before; zero: by age

	liveness liveness
	mtu      mtuSearch
	rival    *Duplicate // told when the peer is Verified; nil: none
	out      outbox
}

// NewLink makes a Link; Dial or HandleAccepted begins it.
func NewLink(c LinkConfig) *Link {
	l := &Link{
		party: newParty(c.Credentials, purposeLink, c.Rand, c.NewIndex), peer: c.Peer, static: c.Static,
		liveness: newLiveness(c.Pace),
	}
	l.ring = keyring[*LinkSession]{
		self: l.self(), waits: confirmWait,
		install: func(k *sealing[*LinkSession]) { l.out.put(Install{k.session}) },
		retire:  func(index uint32) { l.out.put(Retire{index}) },
		use: func(k *sealing[*LinkSession]) {
			if !k.made.Before(l.paths.movedAt) { // else both ends have moved since
				l.take(k.agreed.with.path())
			}
			l.out.put(Use{k.session, l.paths.current})
		},
	}
	return l
}

// SetCredentials has later handshakes show a renewed certificate.
func (l *Link) SetCredentials(c *Credentials) { l.credentials = c }

// Peer is the other end; zero before it is known.
func (l *Link) Peer() addr.NodeID { return l.peer }

// BootID is the peer's; zero before Up.
func (l *Link) BootID() BootID { return l.boot }

// Remote is the address of the peer that is used; not valid before Up.
func (l *Link) Remote() netip.AddrPort { return l.paths.current.Remote }

// IsUp tells whether Up was said, and not Down.
func (l *Link) IsUp() bool { return l.up && !l.done }

// IsDown tells whether the Link has ended.
func (l *Link) IsDown() bool { return l.done }

// Drops counts handshake messages that were dropped in silence.
func (l *Link) Drops() Drops { return *l.drops }

// Dial begins a handshake with the peer at all of these addresses, of which the
// first MaxEndpoints count. It does nothing where one is under way or the link is
// up.
func (l *Link) Dial(now time.Time, endpoints []netip.AddrPort) {
	if l.done || l.up || l.dial != nil {
		return
	}
	if len(endpoints) == 0 {
		l.down(CloseNoAnswer, false)
		return
	}
	l.call(now, l.paths.toDial(endpoints))
}

func (l *Link) call(now time.Time, paths []Path) {
	targets := make([]source, len(paths))
	for i, p := range paths {
		targets[i] = p.source()
	}
	l.dial = &dialer{
		party: &l.party, expect: l.peer, static: l.static,
		send: func(to source, b []byte) { l.out.put(Send{To: to.path(), Datagram: slices.Clone(b)}) },
		listen: func(index uint32, on bool) {
			if on {
				l.out.put(Expect{index})
				return
			}
			l.out.put(Forget{index})
		},
	}
	l.dial.start(now, targets, l.kept, l.paths.reach)
}

// Cancel ends the handshake that Dial began. A link that is up, or that the peer
// is about to take up, goes on.
func (l *Link) Cancel() {
	if l.done || l.up {
		return
	}
	l.hangUp()
	if len(l.ring.keys) == 0 {
		l.down(CloseIdle, false)
	}
}

func (l *Link) hangUp() {
	if l.dial != nil {
		l.dial.stop()
		l.dial = nil
	}
}

// HandleHandshake takes a handshake datagram whose HandshakeIndex is one of
// Expect.
func (l *Link) HandleHandshake(now time.Time, from Path, datagram []byte) {
	if l.done || l.dial == nil {
		l.drops.add(dropIndex)
		return
	}
	o := l.dial.handle(now, from.source(), datagram)
	if t := l.dial.twin; t != nil {
		l.dial.twin = nil
		l.out.put(Duplicate{Peer: t.peer.ID, BootID: t.boot, From: from.Remote})
	}
	switch {
	case o == nil:
	case o.agreed == nil:
		l.hangUp()
		l.down(o.refused, true)
	default:
		l.hangUp()
		if from.Remote == o.agreed.with.addr && from.Carrier == o.agreed.with.carrier {
			o.agreed.with.local = from.Local // where the answer came is where to go on from
		}
		l.agree(now, o.agreed)
	}
}

// agree takes the keys of a handshake that this end began.
func (l *Link) agree(now time.Time, a *agreement) {
	if l.up && a.boot != l.boot {
		// Restarted, or a second one: whether the first answers will tell.
		l.rival = &Duplicate{Peer: a.peer.ID, BootID: a.boot, From: a.with.addr}
		l.rekey = now.Add(rekeyRetry)
		l.Verify(now)
		return
	}
	session, err := a.link()
	if err != nil {
		l.drops.add(dropAuth)
		return
	}
	l.rekey = time.Time{}
	l.ring.adopt(now, session, a)
	if l.paths.current == a.with.path() {
		l.kept = a.kept
	}
	l.rise(now, a, a.rtt)
	l.probe(now) // shows the peer that this end has the keys
}

// rise takes the link up, once.
func (l *Link) rise(now time.Time, a *agreement, rtt time.Duration) {
	l.static = &a.static
	if l.up {
		return
	}
	l.up, l.boot, l.peer = true, a.boot, a.peer.ID
	l.ring.forgetOthers(a.boot)
	l.liveness.start(now, rtt)
	l.tryTunnels(now)
	l.planUpgrade(now)
	l.out.put(Up{
		Peer: a.peer, BootID: a.boot, Static: a.static, Remote: a.with.addr, Carrier: a.with.carrier, RTT: rtt, Initiator: a.initiator,
	})
}

// HandleAccepted takes a handshake of the peer from the Acceptor. It returns false
// where it is of another peer, or of one that restarted: then the Link is down,
// and a new one is to take it.
func (l *Link) HandleAccepted(now time.Time, a Accepted) bool {
	switch {
	case l.done || !l.peer.IsZero() && a.Peer.ID != l.peer:
		return false
	case l.up && a.BootID != l.boot:
		l.down(CloseReplaced, false)
		return false
	}
	l.peer = a.Peer.ID
	l.ring.offer(now, a.Session, a.agreed)
	for _, b := range a.reply {
		l.out.put(Send{To: a.agreed.with.path(), Datagram: slices.Clone(b)})
	}
	return true
}

// ControlFrame is a control frame that the packet path has opened.
type ControlFrame struct {
	At      time.Time // of its receipt by the socket
	Index   uint32    // local, of the session that opened it
	Counter uint64    // of that session
	Kind    ControlKind
	Body    []byte
	Path    Path // by which it came
}

// HandleControl takes the frames of liveness and paths, ControlKeepAlive to
// ControlProbeAck and ControlClose to ControlMTUProbeAck, and is to have any other
// too, which shows that the peer lives, and where.
func (l *Link) HandleControl(now time.Time, f ControlFrame) {
	if l.done {
		return
	}
	l.confirm(now, f.Index)
	if l.ring.current == nil {
		return // a session that was retired while the frame waited
	}
	switch f.Kind {
	case ControlPathChallenge:
		l.ring.discount(f.Index) // it says nothing of the path in use
		l.handleChallenge(f)
		return
	case ControlPathResponse:
		l.ring.discount(f.Index)
		l.handleResponse(now, f)
		return
	default: // the link is where it comes from
	}
	if f.Kind != ControlProbeAck && f.Kind != ControlMTUProbeAck { // which go where the probe came from
		l.see(now, f)
	}
	switch f.Kind {
	case ControlProbe:
		l.handleProbe(now, f)
	case ControlProbeAck:
		l.handleAck(now, f.At, f.Body)
	case ControlMTUProbe:
		l.handleMTUProbe(now, f)
	case ControlMTUProbeAck:
		l.handleMTUAck(now, f.Body)
	case ControlClose:
		reason := CloseShutdown
		if len(f.Body) > 0 {
			reason = CloseReason(f.Body[0])
		}
		l.down(reason, true)
	default:
		l.liveness.heard(now)
	}
	l.handleMTU(now)
}

// confirm takes a frame as the proof that the peer has the keys that opened it.
func (l *Link) confirm(now time.Time, index uint32) {
	if l.ring.confirm(now, index) {
		l.settle(now)
	}
}

// settle follows a change of the current keys that the peer made.
func (l *Link) settle(now time.Time) {
	k := l.ring.current
	if k == nil || l.up && k.agreed.boot != l.boot {
		return
	}
	l.hangUp()
	l.rekey = time.Time{}
	l.rise(now, k.agreed, now.Sub(k.made))
}

// Close ends the link and tells the peer the reason.
func (l *Link) Close(reason CloseReason) {
	if !l.done {
		l.down(reason, false)
	}
}

func (l *Link) down(reason CloseReason, remote bool) {
	if !remote && l.ring.current != nil {
		// A silent peer may still hear: it need not wait for silence itself.
		l.out.put(SendControl{Kind: ControlClose, Body: []byte{byte(reason)}})
	}
	l.hangUp()
	l.ring.clear()
	l.done = true
	l.out.put(Down{Reason: reason, Remote: remote})
}

// HandleTimeout does what is due.
func (l *Link) HandleTimeout(now time.Time) {
	if l.done {
		return
	}
	before := l.ring.current
	if l.ring.poll(now) {
		l.liveness.heardBefore(now)
	}
	if l.ring.current != before {
		l.settle(now)
	}
	if l.dial != nil && !l.dial.handleTimeout(now) {
		l.giveUp(now)
	}
	l.ring.handleTimeout(now)
	switch {
	case l.done:
	case !l.up:
		if l.dial == nil && len(l.ring.keys) == 0 {
			l.down(CloseNoAnswer, false) // the peer that was accepted sent nothing
		}
	case l.ring.isStale(now):
		l.down(CloseStale, false)
	default:
		l.handleLiveness(now)
		l.goHome(now)
		l.tryUpgrade(now)
		l.renew(now)
		l.handleMTU(now)
	}
}

// giveUp ends a handshake that nobody answered.
func (l *Link) giveUp(now time.Time) {
	reason := CloseNoAnswer
	if l.dial.rejected {
		reason = CloseUnverified
	}
	l.hangUp()
	switch {
	case l.up:
		l.rekey = now.Add(rekeyRetry + l.jitter(rekeyRetry/4))
	case len(l.ring.keys) == 0:
		l.down(reason, false)
	}
}

// Rekey begins a handshake for new keys before they are due: to show a renewed
// certificate, say.
func (l *Link) Rekey(now time.Time) {
	if l.IsUp() && l.dial == nil {
		l.call(now, []Path{l.paths.current})
	}
}

// renew begins a handshake for new keys where they are due.
func (l *Link) renew(now time.Time) {
	if l.done || l.dial != nil || now.Before(l.rekey) {
		return
	}
	if !now.Before(l.ring.rekeyAt()) || l.ring.isWorn() {
		l.Rekey(now)
	}
}

// NextTimeout is when HandleTimeout has something to do.
func (l *Link) NextTimeout() (time.Time, bool) {
	if l.done {
		return time.Time{}, false
	}
	times := []time.Time{l.ring.nextTimeout(), l.ring.staleAt()}
	if l.dial != nil {
		times = append(times, l.dial.nextTimeout())
	}
	if l.up {
		times = append(times, l.liveness.nextTimeout(), l.paths.homeNext, l.paths.upgrade.next, l.mtu.nextTimeout())
		if l.dial == nil {
			due := l.ring.rekeyAt()
			if due.Before(l.rekey) {
				due = l.rekey
			}
			times = append(times, due)
		}
	}
	return earlier(times...)
}

// Drain passes on the events since the last time.
func (l *Link) Drain(f func(Event)) { l.out.drain(f) }
