package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"re6st/actors/discovery"
	"re6st/actors/monitor"
	"re6st/actors/registry"
	"re6st/actors/session"
	"re6st/actors/tunnel"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	wire "re6st/protocols/registry"
)

// identity is what the node has to show for itself, and how others take it. It is
// safe for concurrent use.
type identity struct {
	renewing sync.Mutex // one renewal at a time

	mu       sync.Mutex // guards what follows
	member   *registry.Member
	barred   string               // by the registry; empty: it is not
	refusals map[addr.NodeID]bool // by peers
	failed   string               // why the certificate is not renewed yet
	asked    ipv4Range            // the network's IPv4 when the certificate was renewed last
}

func (i *identity) start(m *registry.Member) { i.member, i.refusals = m, map[addr.NodeID]bool{} }

// newest is the identity with the newest certificate.
func (i *identity) newest() *registry.Member {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.member
}

func (i *identity) change(f func(*identity)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

// maxRefusals bounds how many peers are remembered that refuse this node.
const maxRefusals = 64

// refusedBy takes note of a peer that refuses this node as revoked; false where it
// has said so before.
func (i *identity) refusedBy(peer addr.NodeID) (first bool) {
	i.change(func(i *identity) {
		if first = !i.refusals[peer] && len(i.refusals) < maxRefusals; first {
			i.refusals[peer] = true
		}
	})
	return first
}

// Messages about this node's own certificate.
type (
	fromRegistry struct{ event registry.WatcherEvent }
	renewed      struct{ member *registry.Member }
)

func (fromRegistry) rootMessage() {}
func (renewed) rootMessage()      {}

// spawnWatcher has the registry's news awaited, and the certificate renewed in time.
func (r *root) spawnWatcher() (err error) {
	self := r.ctx.Self()
	r.watcher, err = registry.SpawnWatcher(r.ctx, registry.WatcherConfig{
		Client: r.client,
		Held: func() wire.Held {
			return wire.Held{Params: r.parameters.Load().Number, CRL: cert.NumberOf(r.revocations.Load())}
		},
		Dates: func() (time.Time, time.Time) {
			c := r.identity.newest().Identity.Certificate
			return c.NotBefore, c.NotAfter
		},
		Renew: func(ctx context.Context) error {
			_, err := r.renew(ctx, false)
			return err
		},
		Early: r.lacksIPv4,
		Now:   r.now,
		Emit:  func(e registry.WatcherEvent) { self.Tell(fromRegistry{e}) },
	})
	return err
}

// fromRegistry takes what the registry said.
func (r *root) fromRegistry(e registry.WatcherEvent) {
	switch e := e.(type) {
	case registry.Updated:
		r.identity.change(func(i *identity) { i.barred = "" })
		if e.CRL != nil {
			r.adoptRevocations(e.CRL)
		}
		if e.Params != nil {
			r.adopt(e.Params)
		}
	case registry.Barred:
		r.identity.change(func(i *identity) { i.barred = e.Err.Error() })
		l := r.revocations.Load()
		nodes := append(l.Nodes(), r.member.Identity.ID) // on a list that this node has not seen
		r.tunnels.Tell(tunnel.Revoked{List: revocationsDocument(l), Nodes: nodes})
	case registry.RenewalFailed:
		r.identity.change(func(i *identity) { i.failed = e.Err.Error() })
	}
}

// renew gets another certificate, and has it shown.
func (r *root) renew(ctx context.Context, newKey bool) (*registry.Member, error) {
	r.identity.renewing.Lock()
	defer r.identity.renewing.Unlock()
	asked := rangeOf(r.parameters.Load().Params)
	m, err := registry.Renew(ctx, registry.Renewing{Dir: r.dir, Member: r.identity.newest(), Client: r.client, NewKey: newKey, Now: r.now})
	if err != nil {
		return nil, err
	}
	r.identity.change(func(i *identity) { i.member, i.failed, i.asked = m, "", asked })
	r.client.SetMember(m)
	r.ctx.Self().Tell(renewed{m})
	return m, nil
}

// renewByCommand is the control socket's; it runs on its goroutines.
func (r *root) renewByCommand(ctx context.Context, newKey bool) (monitor.Certificate, error) {
	m, err := r.renew(ctx, newKey)
	if err != nil {
		return monitor.Certificate{}, err
	}
	return certificate(m), nil
}

func certificate(m *registry.Member) monitor.Certificate {
	c := m.Identity.Certificate
	return monitor.Certificate{Serial: c.SerialNumber.Text(16), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC()}
}

// showRenewed has links and sessions show the new certificate.
func (r *root) showRenewed(m *registry.Member) {
	c := credentials(m, r.credentials.BootID)
	c.Verify, c.Revoked = r.credentials.Verify, r.credentials.Revoked
	if err := c.Check(); err != nil {
		r.ctx.Event("renewal", "the new certificate is of no use: "+err.Error())
		return
	}
	r.credentials = c
	r.wall.Raise(m.Identity.Certificate.NotBefore)
	r.tunnels.Tell(tunnel.Renewed{Credentials: c})
	r.sessions.Tell(session.Renewed{Credentials: c})
	r.takeIPv4()
	r.claimAnew()
	if r.lan != nil {
		r.lan.Tell(discovery.Renewed{Self: r.beacon(m)})
	}
	r.watcher.Tell(registry.CallAgain{}) // the use of a new key ends the old one
	r.ctx.Event("renewed", "certificate until "+m.Identity.Certificate.NotAfter.UTC().Format(time.RFC3339))
}

// barredText says why this node is out of the network; empty: it is not.
func (n *parts) barredText() string {
	if own, ok := n.revocations.Load().Node(n.member.Identity.ID); ok {
		return fmt.Sprintf("this node's certificate was revoked at %s, %s; the operator can let the machine in again with a new join line: re6st join --force",
			own.Time.UTC().Format(time.RFC3339), own.Reason)
	}
	n.identity.mu.Lock()
	defer n.identity.mu.Unlock()
	return n.identity.barred
}

// identityStatus adds how this node's own certificate is.
func (n *parts) identityStatus(s *monitor.Status) {
	m := n.identity.newest()
	s.Certificate, s.CRL, s.Notices = certificate(m), cert.NumberOf(n.revocations.Load()), n.restartWanted()
	var problems []error
	n.identity.mu.Lock()
	if n.identity.failed != "" {
		problems = append(problems, fmt.Errorf("the certificate ends at %s and is not renewed yet: %s", s.Certificate.NotAfter.Format(time.RFC3339), n.identity.failed))
	}
	if refusals := len(n.identity.refusals); refusals > 0 && s.Links.Opened+s.Links.Accepted == 0 {
		problems = append(problems, fmt.Errorf("%d peers say that this node's certificate is revoked", refusals))
	}
	n.identity.mu.Unlock()
	if n.now().After(m.Identity.Certificate.NotAfter) {
		problems = append(problems, errors.New("the certificate has ended: no peer takes it"))
	}
	for _, p := range problems {
		s.Problems = append(s.Problems, p.Error())
		s.State = monitor.Degraded
	}
	if text := n.barredText(); text != "" {
		s.Problems = append(s.Problems, text)
		s.State = monitor.Revoked
	}
}
