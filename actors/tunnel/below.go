package tunnel

import (
	"net/netip"
	"strings"
	"time"

	"re6st/actors/system"
	kernel "re6st/hw/ktunnel"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/ktunnel"
)

// below is the tunnel of both kernels below a link: what both ends agree on, by messages in
// the link, and the path that it gives.
type below struct {
	machine *ktunnel.Machine // nil before the link is up, and where there is no kernel
	prefix  addr.Bits        // the peer's
	seen    netip.AddrPort   // where the peer sees this node
	offered bool             // something, ever
	offers  offers           // the peer's
	noPort  bool             // it was told that none is left
	lacks   []ktunnel.Kind   // that this kernel has not
	actor   *system.Ref[kernelMessage]
	child   *system.Ref[childMessage] // of OpenVPN
	runs    childSpec                 // its memory
	wanted  kernelWanted              // the actor's memory
	trusted bool                      // both ends trust the tunnel that is agreed on
	open    bool                      // this kernel cannot keep others out of a trusted one
	asked   bool                      // the actor was told to lead packets into it
	led     bool                      // it does
	path    fabric.Path               // by the tunnel that is there
	kind    ktunnel.Kind
	name    string // of its interface
}

// startBelow follows Up.
func (t *tunnel) startBelow(now time.Time, e fabric.Up) {
	if t.cfg.Kernel == nil {
		return
	}
	t.below.prefix = e.Peer.Prefix
	t.below.machine = ktunnel.New(ktunnel.Config{Self: t.cfg.Credentials.Identity.ID, Peer: e.Peer.ID, Nonce: t.ctx.Rand().Uint32()})
	t.offer(now)
}

// offer says what this end would make a tunnel with, as it is now. One with an end that the
// other sees at another address, as by a NAT, or not at all over UDP, is not possible.
func (t *tunnel) offer(now time.Time) {
	b, under := &t.below, t.link.Underlay()
	if b.machine == nil || t.ownTunnel(under.Remote.Addr()) {
		return // or the peer was the first to use the tunnel: the path below is told soon
	}
	var o ktunnel.Offer
	at := under.Local.Addr.Unmap()
	if kinds := without(t.lease.wanted.of(b.prefix), t.lacking()); len(kinds) > 0 && at.IsValid() &&
		at == b.seen.Addr().Unmap() && under.Carrier == fabric.UDP {
		mtu, err := t.cfg.Kernel.MTU(under.Local.Interface)
		if err != nil {
			t.ctx.Event("kernel tunnel", err.Error())
			kinds = nil
		}
		t.needPort(kinds)
		o = ktunnel.Offer{
			Kinds: kinds, Address: at, FOUPort: t.lease.port, WireGuardPort: t.lease.port, OpenVPNPort: t.lease.port,
			PublicKey: t.cfg.Kernel.Public, MTU: uint16(min(mtu, 1<<16-1)), Trusts: t.trusts(at, under.Remote.Addr()),
		}
	}
	if len(o.Kinds) == 0 && !b.offered {
		return
	}
	b.offered = true
	b.machine.HandleOwn(o)
	t.agree(now)
}

// needPort takes the port that kinds but GRE need; where none is left they are not offered.
func (t *tunnel) needPort(kinds []ktunnel.Kind) {
	if t.lease.port != 0 || len(without(kinds, []ktunnel.Kind{ktunnel.GRE})) == 0 {
		return
	}
	port, err := t.cfg.Kernel.TakePort()
	if err != nil && !t.below.noPort {
		t.ctx.Event("kernel tunnel", err.Error())
	}
	t.below.noPort = err != nil
	t.lease.port = port
}

// trusts tells whether packets to the peer may go unsealed in a tunnel between these addresses.
func (t *tunnel) trusts(local, remote netip.Addr) bool {
	b, k := &t.below, t.cfg.Kernel
	if k.Trust == nil || b.open || !t.lease.wanted.trusts(b.prefix, local, remote) {
		return false
	}
	_, err := k.Trust(b.prefix)
	if err != nil {
		t.ctx.Event("kernel tunnel", "packets stay sealed: "+err.Error())
	}
	return err == nil
}

// ownTunnel tells whether an address lies behind one of this node's tunnels.
func (t *tunnel) ownTunnel(a netip.Addr) bool {
	return t.cfg.Kernel != nil && strings.HasPrefix(a.Zone(), t.cfg.Kernel.Owner+"-")
}

// agree does what the two ends' agreement wants.
func (t *tunnel) agree(now time.Time) {
	t.below.machine.Drain(func(e ktunnel.Event) {
		switch e := e.(type) {
		case ktunnel.Say:
			t.exchange.HandleTunnel(now, e.Body)
		case ktunnel.Agreed:
			t.leaveTunnel(now)
			t.below.trusted = e.Agreement.Trusted
			if e.Agreement.MTU() < ktunnel.MinMTU {
				t.tellKernel(removeTunnel{})
				t.tellChild(removeChild{})
				return
			}
			if e.Agreement.Kind.IsOpenVPN() {
				t.tellKernel(removeTunnel{})
				t.tellChild(makeChild{t.childSpec(e.Agreement)})
				return
			}
			t.tellChild(removeChild{})
			t.tellKernel(makeTunnel{t.spec(e.Agreement), e.Agreement.PeerInside})
		case ktunnel.Ended:
			t.leaveTunnel(now)
			t.below.trusted = false
			t.tellKernel(removeTunnel{})
			t.tellChild(removeChild{})
		}
	})
}

// spec is this end of the tunnel, which gets its name when it is made.
func (t *tunnel) spec(a ktunnel.Agreement) kernel.Spec {
	k := t.cfg.Kernel
	var trust kernel.Trust
	if a.Trusted {
		trust, _ = k.Trust(t.below.prefix) // it was asked before that was offered
	}
	return kernel.Spec{
		Kind: a.Kind, Local: a.Local, Remote: a.Remote, Key: a.Key,
		Private: k.Private, Peer: a.PeerKey, LinkLocal: a.Inside, MTU: a.MTU(), Mark: k.Mark, Port: k.Port, Trust: trust,
	}
}

// tellKernel starts the actor with its first tunnel.
func (t *tunnel) tellKernel(m kernelMessage) {
	b := &t.below
	if _, remove := m.(removeTunnel); b.actor == nil && remove {
		return
	}
	if b.actor == nil {
		cfg, self, wanted := t.cfg.Kernel, t.ctx.Self(), &b.wanted
		ref, err := system.Spawn(t.ctx, "kernel", system.Spec[kernelMessage]{
			Kind: "kernel tunnel",
			New:  func() system.Handler[kernelMessage] { return &kernelTunnel{cfg: cfg, link: self, wanted: wanted} },
		})
		if err != nil {
			t.ctx.Event("kernel tunnel", err.Error())
			return
		}
		b.actor = &ref
	}
	b.actor.Tell(m)
}

// lacking are the kinds that this node cannot make.
func (t *tunnel) lacking() []ktunnel.Kind {
	if t.cfg.Kernel.OpenVPN != nil {
		return t.below.lacks
	}
	return append([]ktunnel.Kind{ktunnel.OpenVPNUDP, ktunnel.OpenVPNTCP}, t.below.lacks...)
}

// childSpec is this end of a tunnel of OpenVPN.
func (t *tunnel) childSpec(a ktunnel.Agreement) childSpec {
	s := childSpec{
		kind: a.Kind, peer: t.below.prefix.CN(), inside: a.Inside, mtu: a.MTU(), mark: t.cfg.Kernel.Mark,
	}
	if a.Waits {
		s.local = a.Local
	} else {
		s.remote = a.Remote
	}
	return s
}

// tellChild starts the actor of OpenVPN with its first tunnel.
func (t *tunnel) tellChild(m childMessage) {
	b := &t.below
	if _, first := m.(makeChild); b.child == nil && !first {
		return
	}
	if b.child == nil {
		cfg, self, wanted, peer := t.cfg.Kernel, t.ctx.Self(), &b.runs, t.lease.peer
		ref, err := system.Spawn(t.ctx, "openvpn", system.Spec[childMessage]{
			Kind: "openvpn",
			New: func() system.Handler[childMessage] {
				return &openvpnTunnel{kernel: cfg, cfg: cfg.OpenVPN, peer: peer, link: self, wanted: wanted}
			},
		})
		if err != nil {
			t.ctx.Event("openvpn", err.Error())
			return
		}
		b.child = &ref
	}
	b.child.Tell(m)
}

// tunnelMade offers the link the path by the tunnel that is there.
func (t *tunnel) tunnelMade(now time.Time, m tunnelMade) {
	self, peer := t.cfg.Credentials.Identity.ID.LinkLocal(), t.lease.peer.LinkLocal()
	t.below.kind, t.below.name = m.kind, m.name
	t.below.path = fabric.Path{
		Local:  fabric.Local{Addr: self, Interface: m.index},
		Remote: netip.AddrPortFrom(peer.WithZone(m.name), t.link.Underlay().Remote.Port()), // no NAT is between
	}
	t.link.SetTunnels(now, []fabric.Path{t.below.path})
	t.below.asked, t.below.led = false, false // into one before
	t.tellWay()
	t.offer(now)
}

// leaveTunnel has the link go on without it.
func (t *tunnel) leaveTunnel(now time.Time) {
	if t.below.path != (fabric.Path{}) {
		t.below.path = fabric.Path{}
		t.link.SetTunnels(now, nil)
		t.lead()
	}
}

// lead has packets go unsealed by the tunnel while the link goes by it and routes by the link,
// if both ends trust it. Only a link that is in use is probed often enough to notice its silence.
func (t *tunnel) lead() {
	b := &t.below
	if want := b.trusted && t.lease.inUse && t.link.InTunnel(); want != b.asked {
		b.asked = want
		t.tellKernel(leadPackets{b.name, want})
	}
}

// inTunnel is the kind of the tunnel by which the link goes now; "": none.
func (t *tunnel) inTunnel() string {
	if t.link.InTunnel() {
		return t.below.kind.String()
	}
	return ""
}
