package neighbor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"re6st/actors/system"
	"re6st/hw/sock"
	"re6st/protocols/babel"
)

// babelGroup is where Babel is spoken on a LAN (RFC 8966 section 4).
var babelGroup = netip.MustParseAddrPort("[ff02::1:6]:6696")

// trusted is an interface of the kernel on which Babel is spoken.
type trusted struct {
	name    string
	ifindex int
	conn    *sock.Multicast
	gate    gate
	link    SpeakerLink    // as it is wanted
	cost    babel.LinkCost // as it is
}

// trustedRetry is how long after a trusted interface could not be opened, or was
// lost, it is tried again: it may be down yet, or be made later.
const trustedRetry = 5 * time.Second

// maxOnTrusted bounds the neighbors on one interface of the kernel, so that those
// cannot take the places of the links' (babel.MaxNeighbors).
const maxOnTrusted = 64

// openTrusted begins to speak on the interfaces that the operator names.
func (r *router) openTrusted() {
	for _, s := range r.kept.speakers {
		r.open(s.Name)
	}
}

// speak makes the interfaces on which Babel is spoken those of next. Who had a
// neighbor keeps it, whatever becomes of the keys.
func (r *router) speak(next []Speaker) {
	old := r.kept.speakers
	r.kept.speakers = next
	for _, id := range slices.Sorted(maps.Keys(r.kernel)) {
		t := r.kernel[id]
		i := slices.IndexFunc(next, func(s Speaker) bool { return s.Name == t.name })
		if i < 0 || next[i].Link != t.link { // other ways begin anew
			_ = t.conn.Interrupt() // its pump ends
			r.forget(id, t)
			continue
		}
		if err := t.gate.set(next[i], t.conn.Local()); err != nil {
			// Nobody is believed there who would not be with the keys that are wanted.
			_ = t.conn.Interrupt()
			r.lost(interfaceLost{id, t.conn, err})
		}
	}
	for _, s := range next {
		if !slices.ContainsFunc(old, func(o Speaker) bool { return o.Name == s.Name && o.Link == s.Link }) {
			r.open(s.Name)
		}
	}
}

// open begins to speak on one interface, now or later, if that is still wanted.
func (r *router) open(name string) {
	for _, t := range r.kernel {
		if t.name == name {
			return
		}
	}
	i := slices.IndexFunc(r.kept.speakers, func(s Speaker) bool { return s.Name == name })
	if i < 0 {
		return
	}
	if err := r.tryOpen(r.kept.speakers[i]); err != nil {
		r.ctx.Event("interface", fmt.Sprintf("%s; again in %s", err, trustedRetry))
		r.ctx.After(trustedRetry, openAgain{name})
	}
}

func (r *router) tryOpen(s Speaker) error {
	conn, err := sock.ListenMulticast(s.Name, babelGroup)
	if err != nil {
		return fmt.Errorf("interface for Babel: %w", err)
	}
	t := &trusted{name: s.Name, ifindex: conn.Ifindex(), conn: conn, link: s.Link, cost: s.Link.Cost}
	if s.Link.DetectType && conn.PointToPoint() {
		t.cost.Type = babel.Tunnel
	}
	if err := t.gate.set(s, conn.Local()); err != nil {
		return errors.Join(err, conn.Close())
	}
	id := kernelInterface(t.ifindex)
	err = r.babel.AddInterface(r.ctx.Now(), id, babel.Interface{
		Ifindex: t.ifindex, Local: conn.Local(), Local4: conn.Local4(), Multicast: true, Unicast: s.Link.Unicast,
		HelloInterval: cmp.Or(s.Link.Hello, r.kept.hello), OwnHello: s.Link.Hello != 0, Timestamps: t.cost.MeasuresRTT(),
		NoDefault: !r.cfg.Kernel.forwardsOut(), PlainDefault: slices.Contains(r.cfg.Kernel.PlainDefault, s.Name),
		MaxPacket: babel.DefaultPacket - babel.MACOverhead, // keys may come yet
	})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	r.kernel[id] = t
	r.ctx.Pump("babel on "+t.name, func(_ context.Context, p *system.Pump[Message]) error {
		return t.read(id, p)
	}, system.WithCloser(interrupter{conn}))
	return nil
}

// interrupter ends a pump's read and leaves the socket open: the router has a
// retraction to send after its pumps have been joined.
type interrupter struct{ conn *sock.Multicast }

// Close is as in io.Closer.
func (i interrupter) Close() error { return i.conn.Interrupt() }

// closeTrusted ends what openTrusted began.
func (r *router) closeTrusted() {
	for _, t := range r.kernel {
		if err := t.conn.Close(); err != nil {
			r.ctx.Log().Debug("socket not closed", "interface", t.name, "error", err)
		}
	}
}

// lost drops an interface that fails, with its neighbors, and tries it again.
func (r *router) lost(l interfaceLost) {
	t := r.kernel[l.iface]
	if t == nil || t.conn != l.conn {
		return
	}
	r.ctx.Event("interface", fmt.Sprintf("%s: %s; again in %s", t.name, l.err, trustedRetry))
	r.forget(l.iface, t)
	r.ctx.After(trustedRetry, openAgain{t.name})
}

// forget drops an interface with its neighbors.
func (r *router) forget(id babel.InterfaceID, t *trusted) {
	delete(r.kernel, id)
	for _, key := range slices.SortedFunc(maps.Keys(r.children), babel.NeighborKey.Compare) {
		if key.Interface == id {
			r.endChild(key)
		}
	}
	r.babel.RemoveInterface(r.ctx.Now(), id)
	_ = t.conn.Close() // what it has to say comes too late
}

// read passes on what is heard, until it is interrupted.
func (t *trusted) read(id babel.InterfaceID, p *system.Pump[Message]) error {
	buffer := make([]byte, babel.MaxPacket)
	for {
		n, from, to, at, err := t.conn.ReadTo(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return p.Deliver(interfaceLost{id, t.conn, err})
		}
		body := make([]byte, n)
		copy(body, buffer)
		p.Offer(heardOnKernel{id, to, packet{at, from, body}})
	}
}

// sendTrusted sends on an interface of the kernel, and notes where that is gone, or
// has our address no more.
func (r *router) sendTrusted(t *trusted, e babel.Send) {
	r.babel.Stamp(r.ctx.Now(), e.Packet)
	err := t.conn.Write(e.To, t.gate.seal(e.Packet, e.To))
	if err == nil {
		return
	}
	r.ctx.Log().Debug("babel packet not sent", "interface", t.name, "error", err)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EINVAL) {
		r.ctx.Self().Tell(interfaceLost{e.Interface, t.conn, err})
	}
}

// heard brings a packet to its neighbor, who is new where nothing was heard of
// it before.
func (r *router) heard(m heardOnKernel) {
	t := r.kernel[m.iface]
	key := babel.NeighborKey{Interface: m.iface, Addr: m.from}
	if t == nil || m.from == t.conn.Local() {
		return
	}
	opened := r.pass(t, m)
	if !opened.Accepted {
		return
	}
	if r.children[key] != nil && opened.Resync {
		r.babel.Resync(r.ctx.Now(), key)
	}
	if r.children[key] == nil {
		if err := r.neighborOn(t, key); err != nil {
			r.ctx.Event("refused", err.Error())
			return
		}
	}
	select {
	case r.children[key].inbox <- m.packet:
	default: // as a full socket would
	}
}

func (r *router) neighborOn(t *trusted, key babel.NeighborKey) error {
	there := 0
	for other := range r.children {
		if other.Interface == key.Interface {
			there++
		}
	}
	if there >= maxOnTrusted {
		return fmt.Errorf("no place for neighbor %s on %s, at most %d", key.Addr, t.name, maxOnTrusted)
	}
	if err := r.babel.AddNeighbor(r.ctx.Now(), key); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.%s.%d", key.Addr, t.name, r.ctx.Rand().Uint32())
	cfg := babel.NeighborConfig{Addr: key.Addr, Local: t.conn.Local(), Locators: r.cfg.Locators, Cost: t.cost, Epoch: r.epoch}
	err := r.addChild(name, key, cfg, nil, make(chan packet, inboxSize))
	if err != nil {
		r.babel.RemoveNeighbor(r.ctx.Now(), key)
	}
	return err
}
