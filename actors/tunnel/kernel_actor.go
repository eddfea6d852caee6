package tunnel

import (
	"errors"
	"fmt"
	"time"

	"re6st/actors/system"
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
	makeTunnel   struct{ spec kernel.Spec } // in place of the one before
	removeTunnel struct{}
	kernelTick   struct{}
)

func (makeTunnel) kernelMessage()   {}
func (removeTunnel) kernelMessage() {}
func (kernelTick) kernelMessage()   {}

// kernelTunnel keeps one end of a tunnel in the kernel, below one link. It makes it anew
// where somebody else has removed it, and removes it at its own end.
type kernelTunnel struct {
	cfg    *Kernel
	link   system.Ref[tunnelMessage]
	wanted *kernel.Spec // points to what all incarnations share; no Kind: none is wanted, no Name: it is not made

	tunnels KernelTunnels
	index   int // of the interface that is there; 0: none
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
		if err := k.remove(); err != nil {
			return err
		}
		*k.wanted = m.spec
	case removeTunnel:
		err := k.remove()
		*k.wanted = kernel.Spec{}
		return err
	case kernelTick: // reconcile looks
	}
	return k.reconcile(ctx)
}

// reconcile makes the tunnel that is wanted, unless it is there.
func (k *kernelTunnel) reconcile(ctx *system.Context[kernelMessage]) error {
	if k.wanted.Kind == 0 {
		return nil
	}
	k.check.Rearm(ctx.Now().Add(kernelCheck), true)
	if k.index != 0 {
		index, err := k.tunnels.Index(k.wanted.Name)
		if err != nil || index == k.index {
			return err
		}
		ctx.Event("kernel tunnel", fmt.Sprintf("%v: somebody removed it; it is made again", k.wanted))
	}
	if err := k.remove(); err != nil {
		return err
	}
	k.wanted.Name = fmt.Sprintf("%s-%x", k.cfg.Owner, k.cfg.Made.Add(1))
	w := *k.wanted
	switch err := k.tunnels.Add(w); {
	case errors.Is(err, kernel.ErrUnsupported):
		ctx.Event("kernel tunnel", err.Error())
		*k.wanted = kernel.Spec{}
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

func (k *kernelTunnel) remove() error {
	if k.wanted.Name == "" {
		return nil
	}
	name := k.wanted.Name
	k.index, k.wanted.Name = 0, ""
	return k.tunnels.Remove(name)
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
	tunnelLacks struct{ kind ktunnel.Kind } // the kernel has no such tunnels
)

func (tunnelMade) tunnelMessage()  {}
func (tunnelLacks) tunnelMessage() {}
