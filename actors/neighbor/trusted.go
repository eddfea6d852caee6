package neighbor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"re6st/actors/system"
	"re6st/hw/sock"
	"re6st/protocols/babel"
)

// babelGroup is where Babel is spoken on a LAN (RFC 8966 section 4).
var babelGroup = netip.MustParseAddrPort("[ff02::1:6]:6696")

// trusted is an interface of the kernel on which Babel is believed.
type trusted struct {
	name    string
	ifindex int
	conn    *sock.Multicast
}

// openTrusted begins to speak on the interfaces that the operator trusts.
func (r *router) openTrusted() error {
	if r.cfg.Kernel == nil {
		return nil
	}
	for _, name := range r.cfg.Kernel.Trusted {
		conn, err := sock.ListenMulticast(name, babelGroup)
		if err != nil {
			return fmt.Errorf("trusted interface: %w", err)
		}
		t := &trusted{name, conn.Ifindex(), conn}
		id := kernelInterface(t.ifindex)
		r.kernel[id] = t
		err = r.babel.AddInterface(r.ctx.Now(), id, babel.Interface{
			Ifindex: t.ifindex, Local: conn.Local(), Multicast: true, HelloInterval: r.cfg.HelloInterval,
		})
		if err != nil {
			return err
		}
		r.ctx.Pump("babel on "+name, func(_ context.Context, p *system.Pump[Message]) error {
			return t.read(id, p)
		}, system.WithCloser(conn))
	}
	return nil
}

// read passes on what is heard, until the socket is closed.
func (t *trusted) read(id babel.InterfaceID, p *system.Pump[Message]) error {
	buffer := make([]byte, babel.MaxPacket)
	for {
		n, from, at, err := t.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read on %s: %w", t.name, err)
		}
		body := make([]byte, n)
		copy(body, buffer)
		p.Offer(heardOnKernel{id, packet{at, from, body}})
	}
}

func (t *trusted) send(log *slog.Logger, e babel.Send) {
	if err := t.conn.Write(e.To, e.Packet); err != nil {
		log.Debug("babel packet not sent", "interface", t.name, "error", err)
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
	c := r.children[key]
	if c == nil {
		if err := r.neighborOn(t, key); err != nil {
			r.ctx.Event("refused", err.Error())
			return
		}
		c = r.children[key]
	}
	c.ref.Tell(received{m.packet})
}

func (r *router) neighborOn(t *trusted, key babel.NeighborKey) error {
	if err := r.babel.AddNeighbor(r.ctx.Now(), key); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.%s.%d", key.Addr, t.name, r.ctx.Rand().Uint32())
	cfg := babel.NeighborConfig{Addr: key.Addr, Local: t.conn.Local(), Locators: r.cfg.Locators}
	err := r.addChild(name, key, cfg, 0, nil)
	if err != nil {
		r.babel.RemoveNeighbor(r.ctx.Now(), key)
	}
	return err
}
