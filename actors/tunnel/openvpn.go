package tunnel

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	kernel "re6st/hw/ktunnel"
	"re6st/hw/openvpn"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/ktunnel"
)

// OpenVPN is what the children that run OpenVPN below links are started with. Its functions
// are called by any goroutine.
type OpenVPN struct {
	Program string // "": as PATH has it
	Folder  string // for management sockets
	Open    func() (TAPs, error)
	// Identity is this node's newest, as PEM.
	Identity func() (ca, certificate, key []byte, err error)
	// Revocations is the newest list; nil: this node has heard of none.
	Revocations func() *cert.RevocationList
	Run         func(stop context.Context, s openvpn.Spec, report func(openvpn.Event)) error
}

// TAPs are those in the kernel: hw/ktunnel's. For one goroutine.
type TAPs interface {
	AddTAP(kernel.TAP) error
	Index(name string) (int, error)
	Remove(name string) error
	Close()
}

// How long a child that ended stays away, doubling; one that connected begins anew.
const (
	childFirst = 500 * time.Millisecond
	childLast  = 30 * time.Second
)

// childMessage is what an openvpnTunnel takes.
//
//sumtype:decl
type childMessage interface{ childMessage() }

type (
	makeChild   struct{ childSpec } // in place of the one before
	removeChild struct{}
	renewChild  struct{} // this node has another certificate
	judgeChild  struct{} // there is a newer revocation list
	childAgain  struct{}
	childSaid   struct {
		number int
		event  openvpn.Event
	}
	childEnded struct {
		number int
		err    error
	}
)

func (makeChild) childMessage()   {}
func (removeChild) childMessage() {}
func (renewChild) childMessage()  {}
func (judgeChild) childMessage()  {}
func (childAgain) childMessage()  {}
func (childSaid) childMessage()   {}
func (childEnded) childMessage()  {}

// childSpec is one end of a tunnel, without what the node knows of itself. Comparable.
type childSpec struct {
	kind          ktunnel.Kind
	local, remote netip.AddrPort // one of them is valid
	peer          string         // the common name of its certificate
	inside        netip.Addr
	mtu           int
	mark          uint32
}

// openvpnTunnel keeps a TAP and a child that carries its frames, below one link. A child that
// ended is started again after a while; both are gone at the actor's end.
type openvpnTunnel struct {
	kernel *Kernel
	cfg    *OpenVPN
	peer   addr.NodeID
	link   system.Ref[tunnelMessage]
	wanted *childSpec // points to what all incarnations share; no kind: none is wanted

	ctx     *system.Context[childMessage]
	taps    TAPs
	tap     string               // the one that is there; "": none
	number  int                  // of the child that was started last
	runs    childSpec            // what it runs
	end     context.CancelFunc   // of that child; nil: it has ended
	there   []openvpn.Client     // connections with the peer
	list    *cert.RevocationList // that the child was started with
	again   *system.Timer
	waiting bool // for again
	wait    time.Duration
}

// Start makes what the incarnation before had.
func (o *openvpnTunnel) Start(ctx *system.Context[childMessage]) (err error) {
	o.ctx, o.wait = ctx, childFirst
	if o.taps, err = o.cfg.Open(); err != nil {
		return err
	}
	o.again = ctx.NewTimer(childAgain{})
	return o.reconcile()
}

// Handle takes one message.
func (o *openvpnTunnel) Handle(ctx *system.Context[childMessage], message childMessage) error {
	switch m := message.(type) {
	case makeChild:
		*o.wanted, o.waiting, o.wait = m.childSpec, false, childFirst
	case removeChild:
		*o.wanted, o.waiting = childSpec{}, false
	case renewChild:
		if o.end != nil {
			o.end()
		}
	case judgeChild:
		o.judge()
	case childAgain:
		o.waiting = false
	case childSaid:
		if m.number == o.number && o.end != nil && o.runs == *o.wanted {
			o.said(m.event)
		}
	case childEnded:
		if m.number == o.number {
			o.ended(ctx, m.err)
		}
	}
	return o.reconcile()
}

// reconcile ends a child that is not wanted, and starts the one that is.
func (o *openvpnTunnel) reconcile() error {
	w := *o.wanted
	if o.end != nil {
		if o.runs != w {
			o.gone()
			o.end() // childEnded comes back here
		}
		return nil
	}
	if o.tap != "" && o.runs != w {
		if err := o.taps.Remove(o.tap); err != nil {
			return err
		}
		o.tap = ""
	}
	if w.kind == 0 || o.waiting {
		return nil
	}
	if err := o.needTAP(w); err != nil {
		return err
	}
	return o.start(w)
}

// needTAP makes the TAP, unless it is there. Its name is another one each time.
func (o *openvpnTunnel) needTAP(w childSpec) error {
	if o.tap != "" {
		if index, err := o.taps.Index(o.tap); err != nil || index != 0 {
			return err
		}
	}
	name := fmt.Sprintf("%s-o%x", o.kernel.Owner, o.kernel.Made.Add(1))
	tap := kernel.TAP{Name: name, LinkLocal: w.inside, MTU: w.mtu, Port: o.kernel.Port}
	err := o.taps.AddTAP(tap)
	if errors.Is(err, kernel.ErrUnfiltered) {
		o.ctx.Event("openvpn", unfiltered+err.Error())
		tap.Unfiltered = true
		err = o.taps.AddTAP(tap)
	}
	if err != nil {
		return err
	}
	o.tap = name
	return nil
}

// start runs a child in a pump of its own.
func (o *openvpnTunnel) start(w childSpec) error {
	ca, certificate, key, err := o.cfg.Identity()
	if err != nil {
		return err
	}
	list := o.cfg.Revocations()
	if _, gone := list.Node(o.peer); gone {
		o.later(errPeerRevoked)
		return nil
	}
	spec := openvpn.Spec{
		Program: o.cfg.Program, Device: o.tap, Kind: w.kind, Local: w.local, Remote: w.remote, Peer: w.peer,
		CA: ca, Certificate: certificate, Key: key, Revocations: cert.EncodeRevocations(list), MTU: w.mtu, Mark: w.mark, Folder: o.cfg.Folder,
	}
	newest, peer, log, run, device := o.cfg.Revocations, o.peer, o.ctx.Log(), o.cfg.Run, o.tap
	spec.Admit = func(c openvpn.Client) error { return admit(newest(), peer, c) }
	spec.Log = func(line string) { log.Debug("openvpn", "device", device, "says", line) }
	life, end := context.WithCancel(context.Background())
	o.number++
	number := o.number
	o.end, o.runs, o.there, o.list = end, w, nil, list
	o.ctx.Pump("openvpn", func(stop context.Context, p *system.Pump[childMessage]) error {
		defer end()
		defer context.AfterFunc(stop, end)()
		err := run(life, spec, func(e openvpn.Event) { _ = p.Deliver(childSaid{number, e}) }) // fails where nobody waits any more
		_ = p.Deliver(childEnded{number, err})
		return nil
	})
	return nil
}

// said takes what a child reports.
func (o *openvpnTunnel) said(e openvpn.Event) {
	switch e := e.(type) {
	case openvpn.Waiting:
	case openvpn.Connected:
		o.wait = childFirst
		o.there = append(o.there, e.Client)
		index, err := o.taps.Index(o.tap)
		if err != nil || index == 0 {
			o.end() // somebody took the TAP away: it is made anew
			return
		}
		o.ctx.Event("openvpn", fmt.Sprintf("%v tunnel %s: connected with %v", o.runs.kind, o.tap, e.Address))
		o.link.Tell(tunnelMade{o.tap, o.runs.kind, index})
	case openvpn.Refused:
		o.ctx.Event("openvpn", fmt.Sprintf("%v tunnel %s: refused %v: %v", o.runs.kind, o.tap, e.Address, e.Reason))
	case openvpn.Disconnected:
		if i := slices.Index(o.there, e.Client); i >= 0 {
			o.there = slices.Delete(o.there, i, i+1)
		}
		if len(o.there) == 0 {
			o.ctx.Event("openvpn", fmt.Sprintf("%v tunnel %s: %v is gone", o.runs.kind, o.tap, e.Address))
			o.gone()
		}
	}
}

// gone has the link go on without the tunnel.
func (o *openvpnTunnel) gone() { o.link.Tell(tunnelGone{o.runs.kind}) }

// ended takes note of a child's end.
func (o *openvpnTunnel) ended(ctx *system.Context[childMessage], err error) {
	o.end = nil
	o.gone()
	if *o.wanted != o.runs { // it was told to end
		return
	}
	if errors.Is(err, openvpn.ErrMissing) || errors.Is(err, openvpn.ErrSpec) {
		ctx.Event("openvpn", err.Error())
		*o.wanted = childSpec{}
		o.link.Tell(tunnelLacks{o.runs.kind})
		return
	}
	if err == nil { // by renewChild or judgeChild
		return
	}
	o.later(err)
}

// later tells why there is no child, and tries again after a while.
func (o *openvpnTunnel) later(err error) {
	o.ctx.Event("openvpn", err.Error())
	o.waiting = true
	o.again.Rearm(o.ctx.Now().Add(o.wait), true)
	o.wait = min(2*o.wait, childLast)
}

var (
	errPeerRevoked        = errors.New("no tunnel of OpenVPN: the peer is revoked")
	errCertificateRevoked = errors.New("its certificate is revoked")
)

// admit tells why the other end of a connection, whose certificate names the peer, is kept out.
func admit(list *cert.RevocationList, peer addr.NodeID, c openvpn.Client) error {
	number, ok := new(big.Int).SetString(c.Serial, 16)
	if !ok || list.RevokesSerial(peer, number) {
		return errCertificateRevoked
	}
	return nil
}

// judge ends a child that a newer list speaks of: by who is connected with the end that waits;
// by any certificate of the peer's at the one that dials, whose child alone sees which it is.
func (o *openvpnTunnel) judge() {
	if o.end == nil {
		return
	}
	list := o.cfg.Revocations()
	bad := entries(list, o.peer) != entries(o.list, o.peer)
	if o.runs.local.IsValid() {
		bad = slices.ContainsFunc(o.there, func(c openvpn.Client) bool { return admit(list, o.peer, c) != nil })
	}
	if _, gone := list.Node(o.peer); gone || bad {
		o.gone()
		o.end() // childEnded starts another, if there is to be one
	}
}

// entries are how many certificates of a node are on a list.
func entries(l *cert.RevocationList, node addr.NodeID) (n int) {
	if l == nil {
		return 0
	}
	for _, e := range l.Entries {
		if e.Node == node {
			n++
		}
	}
	return n
}

// Stop leaves nothing in the kernel. The child has ended by now.
func (o *openvpnTunnel) Stop(ctx *system.Context[childMessage]) {
	if o.taps == nil {
		return
	}
	if o.tap != "" {
		if err := o.taps.Remove(o.tap); err != nil {
			ctx.Log().Warn("a TAP is left behind", "error", err)
		}
	}
	o.taps.Close()
}

// tunnelGone says that nobody carries what goes by the tunnel.
type tunnelGone struct{ kind ktunnel.Kind }

func (tunnelGone) tunnelMessage() {}
