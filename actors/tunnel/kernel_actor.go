package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"re6st/actors/system"
	"re6st/hw/dataplane"
	kernel "re6st/hw/ktunnel"
	"re6st/protocols/ktunnel"
)

// kernelCheck is how often it is looked whether a tunnel is still there.
const kernelCheck = 2 * time.Second

// kernelMessage is what a kernelTunnel takes.
//
//sumtype:decl
type kernelMessage interface{ kernelMessage() }

type (
	makeTunnel struct { // in place of the one before
		spec kernel.Spec
		via  netip.Addr // the peer's address inside
	}
	removeTunnel struct{}
	leadPackets  struct { // into the tunnel of that name, which is trusted
		name string
		on   bool
	}
	kernelTick struct{}
)

func (makeTunnel) kernelMessage()   {}
func (removeTunnel) kernelMessage() {}
func (leadPackets) kernelMessage()  {}
func (kernelTick) kernelMessage()   {}

// kernelWanted is what one end is to be.
type kernelWanted struct {
	kernel.Spec // no Kind: none is wanted, no Name: it is not made
	via         netip.Addr
	leads       bool // packets are to go by it unsealed
}

// kernelTunnel keeps one end of a tunnel in the kernel, below one link. It makes it anew
// where somebody else has removed it, and removes it at its own end.
type kernelTunnel struct {
	cfg    *Kernel
	link   system.Ref[tunnelMessage]
	wanted *kernelWanted // what all incarnations share

	tunnels KernelTunnels
	index   int    // of the interface that is there; 0: none
	leads   bool   // packets go by it unsealed
	refusal string // why they do not, as it was told
	check   *system.Timer
}

// Start makes what the incarnation before had.
func (k *kernelTunnel) Start(ctx *system.Context[kernelMessage]) (err error) {
	if k.tunnels, err = k.cfg.Open(); err != nil {
		return err
	}
	k.check = ctx.NewTimer(kernelTick{})
	return k.reconcile(ctx)
}

// Handle takes one message.
func (k *kernelTunnel) Handle(ctx *system.Context[kernelMessage], message kernelMessage) error {
	switch m := message.(type) {
	case makeTunnel:
		k.replace(kernelWanted{Spec: m.spec, via: m.via})
	case removeTunnel:
		k.replace(kernelWanted{})
	case leadPackets:
		if m.name == k.wanted.Name {
			k.wanted.leads = m.on
		}
	case kernelTick: // reconcile looks
	}
	return k.reconcile(ctx)
}

// reconcile makes the tunnel that is wanted, unless it is there.
func (k *kernelTunnel) reconcile(ctx *system.Context[kernelMessage]) error {
	if k.wanted.Kind == 0 {
		return k.remove()
	}
	k.check.Rearm(ctx.Now().Add(kernelCheck), true)
	if k.index != 0 {
		index, err := k.tunnels.Index(k.wanted.Name)
		switch {
		case err != nil:
			return err
		case index == k.index:
			return k.lead(ctx)
		}
		ctx.Event("kernel tunnel", fmt.Sprintf("%v: somebody removed it; it is made again", &k.wanted.Spec))
	}
	if err := k.remove(); err != nil {
		return err
	}
	k.wanted.Name = fmt.Sprintf("%s-%x", k.cfg.Owner, k.cfg.Made.Add(1))
	w := k.wanted.Spec
	switch err := k.tunnels.Add(w); {
	case errors.Is(err, kernel.ErrUnfiltered) && (w.Trust == (kernel.Trust{}) || w.Kind == kernel.WireGuard):
		ctx.Event("kernel tunnel", unfiltered+err.Error())
		k.wanted.Unfiltered = true
		return k.reconcile(ctx)
	case errors.Is(err, kernel.ErrUnfiltered):
		ctx.Event("kernel tunnel", "packets stay sealed: "+err.Error())
		*k.wanted = kernelWanted{}
		k.link.Tell(tunnelOpen{})
		return nil
	case errors.Is(err, kernel.ErrUnsupported):
		ctx.Event("kernel tunnel", err.Error())
		*k.wanted = kernelWanted{}
		k.link.Tell(tunnelLacks{w.Kind})
		return nil
	case err != nil:
		return err
	}
	var err error
	if k.index, err = k.tunnels.Index(w.Name); err != nil {
		return err
	}
	ctx.Event("kernel tunnel", fmt.Sprintf("made %v", &w))
	k.link.Tell(tunnelMade{w.Name, w.Kind, k.index})
	return nil
}

// unfiltered is said of a tunnel that is made all the same.
const unfiltered = "what else comes by a tunnel reaches what listens on this machine: "

// replace has reconcile remove what is there, and make what is wanted now. The link may hear
// only now that what is there was made.
func (k *kernelTunnel) replace(w kernelWanted) {
	if k.index != 0 {
		k.link.Tell(tunnelGone{k.wanted.Kind})
	}
	w.Name = k.wanted.Name
	*k.wanted, k.index = w, 0
}

// remove keeps the name of what it could not remove: the next incarnation tries again. What is
// somebody else's by now is not ours to remove.
func (k *kernelTunnel) remove() error {
	if k.wanted.Name == "" {
		return nil
	}
	if err := k.tunnels.Remove(k.wanted.Name); err != nil && !errors.Is(err, kernel.ErrForeign) {
		return err
	}
	k.index, k.wanted.Name, k.wanted.leads, k.leads = 0, "", false, false // routes go with the interface
	return nil
}

// lead has packets go by the tunnel unsealed, or not, as it is wanted.
func (k *kernelTunnel) lead(ctx *system.Context[kernelMessage]) error {
	if !k.wanted.leads {
		if err := k.tunnels.Unlead(k.wanted.Spec); err != nil {
			return err // which removes the tunnel: nothing goes where nobody may be
		}
		k.tellLeads(false)
		return nil
	}
	if err := k.tunnels.Lead(k.wanted.Spec, k.wanted.via); err != nil {
		if text := err.Error(); text != k.refusal {
			k.refusal = text
			ctx.Event("kernel tunnel", "packets stay sealed: "+text)
		}
		k.tellLeads(false)
		return nil // the next tick tries again
	}
	k.refusal = ""
	k.tellLeads(true)
	packets, bytes, err := k.tunnels.Carried(k.wanted.Name)
	if err == nil {
		k.link.Tell(tunnelCarried{dataplane.Count{Packets: packets, Bytes: bytes}})
	}
	return err
}

// tellLeads tells the link whether packets go by the tunnel unsealed, where that is news.
func (k *kernelTunnel) tellLeads(now bool) {
	if k.leads != now {
		k.leads = now
		k.link.Tell(tunnelLeads{now})
	}
}

// Stop leaves nothing in the kernel.
func (k *kernelTunnel) Stop(ctx *system.Context[kernelMessage]) {
	if k.tunnels == nil {
		return
	}
	if err := k.remove(); err != nil {
		ctx.Log().Warn("a tunnel of the kernel is left behind", "error", err)
	}
	k.tunnels.Close()
}

// What a kernelTunnel tells its link.
type (
	tunnelMade struct {
		name  string
		kind  ktunnel.Kind
		index int
	}
	tunnelLacks   struct{ kind ktunnel.Kind } // the kernel has no such tunnels
	tunnelOpen    struct{}                    // the kernel has no filters for trusted ones
	tunnelLeads   struct{ on bool }           // packets go by it unsealed
	tunnelCarried struct{ dataplane.Count }   // while they do, of all
)

func (tunnelMade) tunnelMessage()    {}
func (tunnelLacks) tunnelMessage()   {}
func (tunnelOpen) tunnelMessage()    {}
func (tunnelLeads) tunnelMessage()   {}
func (tunnelCarried) tunnelMessage() {}
