package fabric_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// random is a source of bytes that repeats itself for a seed.
func random(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	binary.BigEndian.PutUint64(b[:], seed)
	return rand.NewChaCha8(b)
}

func edKey(seed uint64) crypto.Signer {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seed)
	sum := sha256.Sum256(b[:])
	return ed25519.NewKeyFromSeed(sum[:])
}

// rsaKey has 4096 bits, as in old networks; to draw one takes seconds.
func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile("testdata/rsa4096.pem")
	if err != nil {
		t.Fatal(err)
	}
	key, err := cert.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newIssuer(t testing.TB, key crypto.Signer) *cert.Issuer {
	t.Helper()
	ca, err := cert.NewAuthority(random(1), key, netip.MustParsePrefix("2001:db8:42::/48"), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// newCredentials are those of node id, with a boot id drawn from seed.
func newCredentials(t testing.TB, ca *cert.Issuer, key crypto.Signer, id, seed uint64) *fabric.Credentials {
	t.Helper()
	r := random(seed)
	bits, err := addr.ParseCN("5/16")
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.IssueNode(r, key.Public(), bits, addr.NodeIDFromUint64(id), epoch, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := ca.Verify(der, epoch)
	if err != nil {
		t.Fatal(err)
	}
	c := &fabric.Credentials{
		Authority: ca.Authority, Certificate: der, Identity: identity,
		Suites: []fabric.Suite{fabric.AESGCM, fabric.ChaCha20Poly1305},
	}
	if c.Static, err = fabric.GenerateStatic(r); err != nil {
		t.Fatal(err)
	}
	if c.Binding, err = cert.SignKey(r, key, ca.Fingerprint, [32]byte(c.Static.Public)); err != nil {
		t.Fatal(err)
	}
	r.Read(c.BootID[:])
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return c
}

func static(c *fabric.Credentials) *[32]byte {
	k := [32]byte(c.Static.Public)
	return &k
}

// world carries datagrams between machines in virtual time. The same seed gives
// the same run.
type world struct {
	t     testing.TB
	now   time.Time
	rand  *rand.Rand
	queue []delivery
	sites map[netip.AddrPort]*site

	loss, duplicate float64
	delay, spread   time.Duration                     // spread reorders
	mapped          map[netip.AddrPort]netip.AddrPort // by NATs: an address to how the world sees it
	by              fabric.Carrier                    // of what is being sent or delivered
	blocked         fabric.CarrierSet
	tap             func(from, to netip.AddrPort, datagram []byte) (drop bool)
}

type delivery struct {
	at       time.Time
	from, to netip.AddrPort
	datagram []byte
	carrier  fabric.Carrier
}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{
		t: t, now: epoch, rand: rand.New(random(seed)), delay: 10 * time.Millisecond, sites: make(map[netip.AddrPort]*site),
	}
}

func (w *world) send(from, to netip.AddrPort, datagram []byte) {
	if outside, ok := w.mapped[from]; ok {
		from = outside
	}
	if w.blocked.Has(w.by) || w.tap != nil && w.tap(from, to, slices.Clone(datagram)) {
		return
	}
	for copies := 1; copies > 0; copies-- {
		if w.rand.Float64() < w.duplicate {
			copies++
		}
		if w.rand.Float64() < w.loss {
			continue
		}
		d := delivery{w.now.Add(w.delay), from, to, slices.Clone(datagram), w.by}
		if w.spread > 0 {
			d.at = d.at.Add(time.Duration(w.rand.Int64N(int64(w.spread))))
		}
		i := len(w.queue)
		for i > 0 && w.queue[i-1].at.After(d.at) {
			i--
		}
		w.queue = slices.Insert(w.queue, i, d)
	}
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for idle := 0; ; {
		next := end
		if len(w.queue) > 0 && w.queue[0].at.Before(next) {
			next = w.queue[0].at
		}
		for _, s := range w.ordered() {
			if t, ok := s.nextTimeout(); ok && t.Before(next) {
				next = t
			}
		}
		if !next.Before(end) {
			w.now = end
			return
		}
		if idle++; next.After(w.now) {
			idle = 0
		}
		if idle > 10000 {
			w.t.Fatalf("at %s a machine wants to be called again and again", w.now.Sub(epoch))
		}
		w.now = maxTime(w.now, next)
		for len(w.queue) > 0 && !w.queue[0].at.After(w.now) {
			d := w.queue[0]
			w.queue = w.queue[1:]
			w.deliver(d)
		}
		for _, s := range w.ordered() {
			s.handleTimeout()
		}
	}
}

func (w *world) deliver(d delivery) {
	for inside, outside := range w.mapped {
		if d.to == outside {
			d.to = inside
			break
		}
	}
	w.by = d.carrier
	for _, s := range w.sites {
		if d.carrier == fabric.TLS && d.to.Addr() == s.addr.Addr() {
			d.to = s.addr
		}
		if s.addr == d.to || slices.Contains(s.uplinks, d.to) {
			s.handleAt(d.to, d.from, d.datagram)
			w.by = fabric.UDP
			return
		}
	}
}

// until lets time pass until something is true.
func (w *world) until(limit time.Duration, what string, f func() bool) {
	w.t.Helper()
	for start := w.now; !f(); w.run(time.Millisecond) {
		if w.now.Sub(start) > limit {
			w.t.Fatalf("after %s not yet: %s", limit, what)
		}
	}
}

func (w *world) ordered() []*site {
	var all []*site
	for _, s := range w.sites {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *site) int { return a.addr.Compare(b.addr) })
	return all
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// site is a node with its links: what a driver does.
type site struct {
	w           *world
	addr        netip.AddrPort
	credentials *fabric.Credentials
	acceptor    *fabric.Acceptor
	rand        *rand.ChaCha8
	nextIndex   uint32

	uplinks []netip.AddrPort // further addresses, whose interfaces are 1, 2 and so on

	links    []*siteLink // those that ended too
	expected map[uint32]*siteLink
	opened   map[uint32]*siteLink // by local index
	sessions map[uint32]*fabric.LinkSession
	events   []fabric.Event // of the acceptor
	admit    func(*cert.Identity) fabric.CloseReason
	deaf     bool
	old      bool // knows no probes of sizes

	starved bool // has no CPU: datagrams wait, and timers
	inbox   []delivery
}

type siteLink struct {
	*fabric.Link
	peer    addr.NodeID
	current *fabric.LinkSession
	path    fabric.Path
	events  []fabric.Event
	times   []time.Time // of the events
	got     [][]byte    // bodies of Babel frames
}

const tlsPort = 443

func endpoint(n uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(n >> 8), byte(n), 15: 1}), 1194)
}

func (w *world) site(n uint16, c *fabric.Credentials) *site {
	s := &site{
		w: w, addr: endpoint(n), credentials: c, rand: random(uint64(n) + binary.BigEndian.Uint64(c.BootID[:])),
		nextIndex: uint32(n) << 16,
		expected:  make(map[uint32]*siteLink), opened: make(map[uint32]*siteLink), sessions: make(map[uint32]*fabric.LinkSession),
	}
	s.acceptor = fabric.NewAcceptor(fabric.AcceptorConfig{
		Credentials: c, Rand: s.rand, NewIndex: s.newIndex,
		Admit: func(id *cert.Identity) fabric.CloseReason {
			if s.admit == nil {
				return fabric.CloseNone
			}
			return s.admit(id)
		},
	})
	w.sites[s.addr] = s
	return s
}

func (s *site) newIndex() uint32 { s.nextIndex++; return s.nextIndex }

func (s *site) id() addr.NodeID { return s.credentials.Identity.ID }

// live is the link with a peer that has not ended.
func (s *site) live(peer addr.NodeID) *siteLink {
	for _, l := range s.links {
		if l.peer == peer && !l.IsDown() {
			return l
		}
	}
	return nil
}

func (s *site) open(peer addr.NodeID, static *[32]byte) *siteLink {
	l := &siteLink{peer: peer, Link: fabric.NewLink(fabric.LinkConfig{
		Credentials: s.credentials, Rand: s.rand, NewIndex: s.newIndex, Peer: peer, Static: static,
	})}
	s.links = append(s.links, l)
	return l
}

func (s *site) dial(peer addr.NodeID, static *[32]byte, endpoints ...netip.AddrPort) *siteLink {
	l := s.open(peer, static)
	l.Dial(s.w.now, endpoints)
	s.drain()
	return l
}

func (s *site) handle(from netip.AddrPort, datagram []byte) { s.handleAt(s.addr, from, datagram) }

// handleAt takes a datagram at one of the site's addresses.
func (s *site) handleAt(at, from netip.AddrPort, datagram []byte) {
	switch {
	case s.deaf:
		return
	case s.starved:
		s.inbox = append(s.inbox, delivery{from: from, to: at, datagram: datagram})
		return
	}
	datagram = slices.Clone(datagram) // OpenControl spoils it
	t, err := fabric.TypeOf(datagram)
	switch {
	case err != nil:
	case t.IsHandshake():
		index, err := fabric.HandshakeIndex(datagram)
		if l := s.expected[index]; err == nil && l != nil {
			l.HandleHandshake(s.w.now, s.path(at, from), datagram)
		} else {
			s.acceptor.HandleDatagram(s.w.now, s.path(at, from), datagram)
		}
	case t == fabric.TypeControl:
		index := fabric.ControlLinkIndex(datagram)
		session := s.sessions[index]
		if session == nil {
			break
		}
		counter := fabric.ControlCounter(datagram)
		if kind, body, err := session.OpenControl(datagram); err == nil && !(s.old && kind == fabric.ControlMTUProbe) {
			if kind == fabric.ControlBabel {
				s.opened[index].got = append(s.opened[index].got, slices.Clone(body))
			}
			s.opened[index].HandleControl(s.w.now, fabric.ControlFrame{
				At: s.w.now, Index: index, Counter: counter, Kind: kind, Body: body, Path: s.path(at, from),
			})
		}
	}
	s.drain()
}

// starve has a site do nothing for d; then its timers come first, as the worst order.
func (w *world) starve(d time.Duration, sites ...*site) {
	for _, s := range sites {
		s.starved = true
	}
	w.run(d)
	for _, s := range sites {
		s.starved = false
		s.handleTimeout()
		inbox := s.inbox
		s.inbox = nil
		for _, d := range inbox {
			s.handleAt(d.to, d.from, d.datagram)
		}
	}
}

func (s *site) handleTimeout() {
	if s.starved {
		return
	}
	s.acceptor.HandleTimeout(s.w.now)
	for _, l := range s.links {
		l.HandleTimeout(s.w.now)
	}
	s.drain()
}

func (s *site) nextTimeout() (first time.Time, ok bool) {
	if s.deaf || s.starved {
		return first, false
	}
	first, ok = s.acceptor.NextTimeout()
	for _, l := range s.links {
		if t, set := l.NextTimeout(); set && (!ok || t.Before(first)) {
			first, ok = t, true
		}
	}
	return first, ok
}

// drain carries out events until there are none.
func (s *site) drain() {
	for again := true; again; {
		again = false
		s.acceptor.Drain(func(e fabric.Event) {
			again = true
			s.events = append(s.events, e)
			s.carryOut(e)
		})
		for _, l := range slices.Clone(s.links) {
			l.Drain(func(e fabric.Event) {
				again = true
				l.events, l.times = append(l.events, e), append(l.times, s.w.now)
				s.carryOutLink(l, e)
			})
		}
	}
}

func (s *site) carryOut(e fabric.Event) {
	switch e := e.(type) {
	case fabric.Send:
		s.send(e.To, e.Datagram)
	case fabric.Accepted:
		l := s.live(e.Peer.ID)
		if l == nil {
			l = s.open(e.Peer.ID, nil)
		}
		if !l.HandleAccepted(s.w.now, e) {
			l = s.open(e.Peer.ID, nil)
			if !l.HandleAccepted(s.w.now, e) {
				s.w.t.Fatal("a new link does not take what was accepted")
			}
		}
	case fabric.Verify:
		if l := s.live(e.Peer); l != nil {
			l.Verify(s.w.now)
		}
	}
}

func (s *site) carryOutLink(l *siteLink, e fabric.Event) {
	switch e := e.(type) {
	case fabric.Send:
		s.send(e.To, e.Datagram)
	case fabric.SendControl:
		s.controlBy(l, e.To, e.Kind, e.Body)
	case fabric.Expect:
		s.expected[e.Index] = l
	case fabric.Forget:
		delete(s.expected, e.Index)
	case fabric.Install:
		s.sessions[e.Session.LocalIndex()], s.opened[e.Session.LocalIndex()] = e.Session, l
	case fabric.Retire:
		delete(s.sessions, e.Index)
		delete(s.opened, e.Index)
	case fabric.Use:
		l.current, l.path = e.Session, e.Path
	case fabric.Up:
		l.peer = e.Peer.ID
		s.acceptor.HandleUp(e.Peer.ID, e.BootID)
	case fabric.Down:
		if s.live(l.peer) == nil {
			s.acceptor.HandleDown(l.peer)
		}
	case fabric.Verified:
		s.acceptor.HandleVerified(s.w.now, e.Peer)
	}
}

func (s *site) control(l *siteLink, kind fabric.ControlKind, body []byte) {
	s.controlBy(l, fabric.Path{}, kind, body)
}

func (s *site) controlBy(l *siteLink, by fabric.Path, kind fabric.ControlKind, body []byte) {
	b, err := l.current.SealControl(nil, kind, body)
	if err != nil {
		s.w.t.Fatal(err)
	}
	if !by.Remote.IsValid() {
		by = l.path
	}
	s.send(by, b)
}

// path is how a datagram came.
func (s *site) path(at, from netip.AddrPort) fabric.Path {
	i := slices.Index(s.uplinks, at)
	return fabric.Path{Local: fabric.Local{Addr: at.Addr(), Interface: i + 1}, Remote: from, Carrier: s.w.by}
}

// send sends by a path; by one that the site does not have any more nothing goes.
func (s *site) send(by fabric.Path, datagram []byte) {
	at := s.addr
	if i := by.Local.Interface; i > 0 && i <= len(s.uplinks) {
		at = s.uplinks[i-1]
	}
	if by.Local.Addr.IsValid() && by.Local.Addr != at.Addr() {
		return
	}
	if by.Carrier == fabric.TLS && by.Remote.Port() != tlsPort { // at the end that was dialled
		at = netip.AddrPortFrom(at.Addr(), tlsPort)
	}
	s.w.by = by.Carrier
	s.w.send(at, by.Remote, datagram)
	s.w.by = fabric.UDP
}

// move gives a site another address in the place of its first.
func (s *site) move(to netip.AddrPort) {
	delete(s.w.sites, s.addr)
	s.addr = to
	s.w.sites[to] = s
}

// quiet makes sure that nothing was left behind but what the live links have.
func (s *site) quiet() {
	s.w.t.Helper()
	if n := s.acceptor.HalfOpen(); n != 0 {
		s.w.t.Errorf("%s: %d handshakes are half open", s.addr, n)
	}
	if len(s.expected) != 0 {
		s.w.t.Errorf("%s: %d indices are still expected", s.addr, len(s.expected))
	}
	up := 0
	for _, l := range s.links {
		if l.IsUp() {
			up++
		}
	}
	if len(s.sessions) > 2*up {
		s.w.t.Errorf("%s: %d sessions for %d links", s.addr, len(s.sessions), up)
	}
}

func of[E fabric.Event](events []fabric.Event) (found []E) {
	for _, e := range events {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

func drops(d fabric.Drops, name string) uint64 {
	for n, count := range d.All() {
		if n == name {
			return count
		}
	}
	return 0
}

// pair is two sites of one network, of nodes 1 and 2.
func pair(t testing.TB, seed uint64) (w *world, a, b *site) {
	t.Helper()
	w = newWorld(t, seed)
	ca := newIssuer(t, edKey(1))
	a = w.site(1, newCredentials(t, ca, edKey(11), 1, seed+11))
	b = w.site(2, newCredentials(t, ca, edKey(12), 2, seed+12))
	return w, a, b
}

// joined is a pair whose link, dialled by a, is up.
func joined(t testing.TB, seed uint64) (w *world, a, b *site, la, lb *siteLink) {
	t.Helper()
	w, a, b = pair(t, seed)
	la = a.dial(b.id(), static(b.credentials), b.addr)
	w.until(time.Second, "link up at both ends", func() bool { return la.IsUp() && b.live(a.id()) != nil && b.live(a.id()).IsUp() })
	return w, a, b, la, b.live(a.id())
}
