package dataplane

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"re6st/hw/sock"
	"re6st/hw/tun"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/inbound"
	"re6st/protocols/rib"
	"re6st/tsn/class"
)

// The depths of the queues towards the actors.
const (
	handshakeQueue = 256
	transitQueue   = 256
	meetingQueue   = 64
	wantedQueue    = maxWaiting
	unknownQueue   = 64
	traceQueue     = 64
)

const (
	// maxFrame is the longest datagram that is read: a jumbo frame of Ethernet.
	maxFrame = 9216
	// maxBatch is how many bytes of frames leave by one call at most, and how many of
	// datagrams one read of the sockets may bring: all that either has memory for.
	maxBatch = sock.ReadRoom
	// housekeeping is how often what has timed out is looked for.
	housekeeping = time.Second
	// innerAt is where an inner packet lies in its frame.
	innerAt = fabric.HopHeaderLen + fabric.SessionHeaderLen
	// controlTOS is the outer traffic class of control and handshakes: CS6.
	controlTOS = 48 << 2
)

// Config tells what a Plane works with.
type Config struct {
	Self addr.NodeID
	TUN  tun.Device
	Conn sock.Conn
	// MoreTUNs are further queues of the TUN, and MoreConns further sockets of Conn's port; none
	// of either is needed. Each is read by a goroutine of its own, which answers by it too.
	MoreTUNs  []tun.Device
	MoreConns []sock.Conn
	// Classes are the network's; SetClasses changes them.
	Classes class.Table
	// Strict is the topology of the classes that have links of their own.
	Strict map[class.ID]rib.Topology
	// Address is the source of ICMPv6 errors: one of the node's own.
	Address netip.Addr
	// Accept tells whether a peer may send from an inner source. It is called per
	// packet, by the goroutines that read the sockets.
	Accept func(peer addr.NodeID, src netip.Addr) bool
	// Inbound is what of the mesh's packets may leave it here; nil: all. SetInbound
	// changes it.
	Inbound *inbound.Filter
	// Marked tells whether the first datagram of a handshake is of this network
	// (fabric.Marked); nil: all are taken for it.
	Marked func(datagram []byte) bool
	// Proven is told of each control frame that came by another carrier than UDP, once it is
	// opened, by which path and whose it is, by the goroutine that reads the sockets; nil:
	// nobody is.
	Proven func(path fabric.Path, peer addr.NodeID)
}

// Plane is the packet path of one node. Its methods may be called by any
// goroutine; none blocks.
type Plane struct {
	self    addr.NodeID
	tuns    []tun.Device // queues of one
	conns   []sock.Conn  // of one port
	classes atomic.Pointer[class.Table]
	strict  map[class.ID]rib.Topology
	address netip.Addr
	accept  func(addr.NodeID, netip.Addr) bool
	inbound atomic.Pointer[inbound.Filter]
	ipv4    atomic.Pointer[ipv4] // nil: IPv4 is not carried
	marked  func([]byte) bool
	proven  func(fabric.Path, addr.NodeID)
	start   time.Time

	change   sync.Mutex // who replaces a snapshot
	view     atomic.Pointer[rib.View]
	links    atomic.Pointer[links]
	sessions atomic.Pointer[sessions]
	reserved reservations

	recent     recents
	paths      endToEnd
	waiting    *waiting
	fragments  sync.Mutex
	reassembly *fabric.Reassembler

	handshakes chan Handshake
	transits   chan Transit
	rendezvous chan Transit
	probes     chan Probed
	answers    chan Traced
	wanted     chan addr.NodeID
	unknown    chan addr.NodeID

	transitLimit *limiter[addr.NodeID]
	errorLimit   *limiter[addr.NodeID]
	unknownLimit *limiter[addr.NodeID]
	traceLimit   *limiter[addr.NodeID]
	pathLimit    *limiter[addr.NodeID]

	traceLinkLimit *limiter[rib.LinkID]
	icmpLimit      *limiter[netip.Addr]
	callLimit      *limiter[struct{}]
	answerLimit    *limiter[struct{}]

	drops                    [reasonCount]atomic.Uint64
	ingress, egress, relayed counter
	splits, relayErrors      atomic.Uint64
	readErrors               atomic.Uint64
	icmpSent                 atomic.Uint64

	workers sync.Pool // of those who call from outside
	seed    maphash.Seed
	stop    chan struct{}
	once    sync.Once
	running atomic.Pointer[chan struct{}] // closed when Run returns; nil: it was not called yet
}

// Handshake is a datagram for the handshake machines.
type Handshake struct {
	Path     fabric.Path // by which it came
	Datagram []byte      // the receiver's
	At       time.Time
}

// New makes a Plane, which owns the TUN and the Conn from then on. It fails with
// ErrConfig.
func New(c Config) (*Plane, error) {
	if c.Self.IsZero() || c.TUN == nil || c.Conn == nil || c.Accept == nil || len(c.Classes.All()) == 0 {
		return nil, fmt.Errorf("%w: it needs Self, TUN, Conn, Accept and Classes", ErrConfig)
	}
	if room := maxFrame - fabric.Overhead; c.TUN.MTU() > room {
		return nil, fmt.Errorf("%w: the TUN's MTU is %d, at most %d", ErrConfig, c.TUN.MTU(), room)
	}
	p := &Plane{
		self: c.Self, tuns: append([]tun.Device{c.TUN}, c.MoreTUNs...), conns: append([]sock.Conn{c.Conn}, c.MoreConns...), strict: c.Strict, address: c.Address, accept: c.Accept, marked: c.Marked,
		proven:  c.Proven,
		start:   time.Now(),
		waiting: newWaiting(), reassembly: fabric.NewReassembler(),
		handshakes: make(chan Handshake, handshakeQueue), transits: make(chan Transit, transitQueue),
		rendezvous: make(chan Transit, meetingQueue),
		probes:     make(chan Probed, traceQueue), answers: make(chan Traced, traceQueue),
		wanted: make(chan addr.NodeID, wantedQueue), unknown: make(chan addr.NodeID, unknownQueue),
		transitLimit: newLimiter[addr.NodeID](transitRate, transitBurst),
		errorLimit:   newLimiter[addr.NodeID](relayErrorRate, relayErrorBurst),
		unknownLimit: newLimiter[addr.NodeID](unknownRate, unknownBurst),
		traceLimit:   newLimiter[addr.NodeID](traceRate, traceBurst), traceLinkLimit: newLimiter[rib.LinkID](traceLinkRate, traceLinkBurst),
		pathLimit:   newLimiter[addr.NodeID](pathRate, pathBurst),
		icmpLimit:   newLimiter[netip.Addr](icmpRate, icmpBurst),
		callLimit:   newLimiter[struct{}](callRate, callBurst),
		answerLimit: newLimiter[struct{}](answerRate, answerBurst),
		seed:        maphash.MakeSeed(),
		stop:        make(chan struct{}),
	}
	p.workers.New = func() any { return p.newWorker(maxFrame) }
	p.classes.Store(&c.Classes)
	p.inbound.Store(c.Inbound)
	p.view.Store(&rib.View{})
	p.links.Store(&links{})
	p.sessions.Store(&sessions{})
	return p, nil
}

// Run moves packets until ctx ends or Close is called, which is no error, or until
// the TUN or the sockets are gone, or give nothing but errors for readPatience. Call
// it once. When it returns, its
// goroutines have ended and both devices are closed.
func (p *Plane) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	p.running.Store(&over)
	defer close(over)
	failed := make(chan error, len(p.tuns)+len(p.conns))
	var workers sync.WaitGroup
	for i := range p.tuns {
		workers.Go(func() { failed <- p.readTUN(p.workerOf(i, maxBatch)) })
	}
	for i := range p.conns {
		workers.Go(func() { failed <- p.readConn(p.workerOf(i, maxFrame)) })
	}
	workers.Go(func() { p.keepHouse(ctx, p.newWorker(maxFrame)) })
	var err error
	select {
	case <-ctx.Done():
	case <-p.stop:
	case err = <-failed:
	}
	cancel()
	closing := p.closeAll()
	workers.Wait()
	select {
	case <-p.stop: // Close may have closed both before this began
		return nil
	default:
		return errors.Join(err, closing)
	}
}

// Close ends Run and waits for it. Without a Run it closes the devices, and one that is
// called later ends at once.
func (p *Plane) Close() {
	p.once.Do(func() { close(p.stop) })
	if over := p.running.Load(); over != nil {
		<-*over
	}
	_ = p.closeAll()
}

func (p *Plane) closeAll() (err error) {
	for _, d := range p.tuns {
		err = errors.Join(err, d.Close())
	}
	for _, c := range p.conns {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Queues are how many queues of the TUN and how many sockets there are, each with a reader.
func (p *Plane) Queues() (tun, conn int) { return len(p.tuns), len(p.conns) }

func (p *Plane) readTUN(w *worker) error {
	w.super = make([]byte, tun.SuperRoom)
	for t := (trouble{}); ; {
		n, offload, err := w.tun.Read(w.super, true)
		for err == nil {
			t = trouble{}
			w.fromKernel(n, offload)
			n, offload, err = w.tun.Read(w.super, false)
		}
		w.depart()
		if errors.Is(err, tun.ErrNothing) {
			continue
		}
		p.readErrors.Add(1)
		if err := t.endure(err); err != nil {
			return fmt.Errorf("dataplane: TUN %s: %w", w.tun.Name(), err)
		}
	}
}

// roomFor is where packets are read to: the first may be of several datagrams.
func roomFor(count int) []sock.Packet {
	room := make([]byte, maxBatch+(count-1)*maxFrame)
	packets := make([]sock.Packet, count)
	packets[0].Data, room = room[:0:maxBatch], room[maxBatch:]
	for i := range packets[1:] {
		packets[i+1].Data, room = room[:0:maxFrame], room[maxFrame:]
	}
	return packets
}

func (p *Plane) readConn(w *worker) error {
	packets := roomFor(sock.ReadPackets)
	for t := (trouble{}); ; {
		n, err := w.conn.ReadBatch(packets)
		if err == nil {
			t = trouble{}
			for i := range packets[:n] {
				w.fromConn(&packets[i])
			}
			w.endBatch()
			continue
		}
		p.readErrors.Add(1)
		if err := t.endure(err); err != nil {
			return fmt.Errorf("dataplane: the underlay socket: %w", err)
		}
	}
}

// keepHouse ends what waits for too long.
func (p *Plane) keepHouse(ctx context.Context, w *worker) {
	ticker := time.NewTicker(housekeeping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p.fragments.Lock()
			p.reassembly.HandleTimeout(now)
			p.fragments.Unlock()
			w.forgetPaths(now)
			for _, inner := range p.waiting.expire(now, func(n int) { p.drops[DropQueueTimeout].Add(uint64(n)) }) {
				w.refuse(inner, icmpUnreachable, codeAddressUnreachable, 0)
			}
		}
	}
}

// SetView replaces the routes.
func (p *Plane) SetView(v *rib.View) { p.view.Store(v) }

// SetInbound replaces what may leave the mesh here; nil: all.
func (p *Plane) SetInbound(f *inbound.Filter) { p.inbound.Store(f) }

// SetQueueBytes lowers how many bytes of packets wait for a session with each node: 64 KB
// at most. The newest stay.
func (p *Plane) SetQueueBytes(bytes int) { p.waiting.setLimit(bytes) }

// SetClasses replaces the network's classes.
func (p *Plane) SetClasses(t class.Table) { p.classes.Store(&t) }

// Handshakes are the datagrams for the handshake machines, 256 of them at most.
func (p *Plane) Handshakes() <-chan Handshake { return p.handshakes }

// Wanted are egress nodes that packets wait for and that have no session.
func (p *Plane) Wanted() <-chan addr.NodeID { return p.wanted }

// UnknownSessions are egress nodes of which a relay error said that they do not
// know our session: at most one per node and 5 s, and only a hint.
func (p *Plane) UnknownSessions() <-chan addr.NodeID { return p.unknown }

// reservations are the indices that NewIndex gave out last.
type reservations struct {
	taken map[uint32]bool
	order []uint32
}

// maxReserved is how many indices may be on their way into use.
const maxReserved = 8192

// NewIndex gives an index for a link's or session's keys: random, not zero, not in
// use, and not given out lately.
func (p *Plane) NewIndex() uint32 {
	p.change.Lock()
	defer p.change.Unlock()
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // it never fails: see crypto/rand
		index := binary.BigEndian.Uint32(b[:])
		_, link := p.links.Load().byIndex[index]
		_, session := p.sessions.Load().byIndex[index]
		if index == 0 || link || session || p.reserved.taken[index] {
			continue
		}
		p.reserved.add(index)
		return index
	}
}

func (r *reservations) add(index uint32) {
	if r.taken == nil {
		r.taken = make(map[uint32]bool)
	}
	if len(r.order) == maxReserved {
		delete(r.taken, r.order[0])
		r.order = r.order[1:]
	}
	r.taken[index] = true
	r.order = append(r.order, index)
}
