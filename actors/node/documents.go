package node

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"re6st/actors/neighbor"
	"re6st/actors/registry"
	"re6st/actors/session"
	"re6st/actors/system"
	"re6st/actors/tunnel"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/peer"
	wire "re6st/protocols/registry"
)

// startStore starts what writes newer documents into the node's folder.
func (r *root) startStore() {
	r.params, r.crl = make(chan *wire.SignedParams, 1), make(chan *cert.RevocationList, 1)
	params, crl, dir, log := r.params, r.crl, r.dir, r.ctx.Log()
	r.ctx.Pump("documents", func(stop context.Context, pump *system.Pump[message]) error {
		for {
			select {
			case <-stop.Done():
				return nil
			case p := <-params:
				if err := pump.Work("a write", func() error { return registry.SaveParams(dir, p) }); err != nil {
					log.Warn("parameters not stored", "error", err)
				}
			case l := <-crl:
				if err := pump.Work("a write", func() error { return registry.SaveCRL(dir, l) }); err != nil {
					log.Warn("revocation list not stored", "error", err)
				}
			}
		}
	}, system.WithTurn())
}

// document takes one that a peer passed on, if the CA has signed it.
func (r *root) document(d tunnel.Document) {
	var err error
	if d.Kind == peer.Revocations {
		var l *cert.RevocationList
		if l, err = r.member.Authority.ParseRevocations(d.Signed); err == nil {
			r.adoptRevocations(l)
		}
	} else {
		var p *wire.SignedParams
		if p, err = wire.VerifyParams(r.member.Authority, d.Signed); err == nil {
			r.adopt(p)
		}
	}
	if err != nil {
		r.ctx.Event("refused", fmt.Sprintf("%s from a peer: %v", d.Kind, err))
	}
}

// adopt takes newer parameters: into the node's folder, to the peers, and into force
// as far as that goes without a restart.
func (r *root) adopt(p *wire.SignedParams) {
	old := r.parameters.Load()
	if !p.Supersedes(old) {
		return
	}
	r.parameters.Store(p)
	r.origins.setParams(p.Params, r.settings.get().Origins)
	if r.takeIPv4() || !reflect.DeepEqual(old.RightOf(r.member.Identity.ID), p.RightOf(r.member.Identity.ID)) {
		r.claimAnew()
	}
	r.router.Tell(neighbor.OriginsChanged{})
	system.Replace(r.params, p)
	r.client.SetRegistries(p.Registries)
	r.router.Tell(neighbor.HelloChanged{Interval: time.Duration(p.HelloInterval)})
	r.router.Tell(neighbor.RoutesLimited{Routes: p.Limits.Routes})
	r.sessions.Tell(session.Limited{Limits: sessionLimits(p.Limits)})
	r.plane.SetQueueBytes(p.Limits.QueueBytes)
	r.tunnels.Tell(tunnel.ParamsChanged{Params: paramsDocument(p), Limits: r.limits(), Rules: r.peerRules(), Pace: pace(p.Params)})
	r.ctx.Event("parameters", fmt.Sprintf("number %d%s", p.Number, changes(old, p)))
}

// changes tells what became of each parameter that is another one.
func changes(old, next *wire.SignedParams) string {
	list, err := old.ChangesTo(next.Params)
	if err != nil {
		return ": " + err.Error()
	}
	var b strings.Builder
	for i, c := range list {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		state := "in force"
		if !c.Live {
			state = "after a restart"
		}
		fmt.Fprintf(&b, "%s %s instead of %s, %s", c.Key, c.New, c.Old, state)
	}
	return b.String()
}

// restartWanted lists the parameters that are others than at the start, and that a
// running node does not take.
func (n *parts) restartWanted() (notices []string) {
	list, err := n.member.Params.ChangesTo(n.parameters.Load().Params)
	if err != nil {
		return nil
	}
	for _, c := range list {
		if !c.Live {
			notices = append(notices, fmt.Sprintf("restart this node to take the network's %s: %s instead of %s", c.Key, c.New, c.Old))
		}
	}
	return notices
}

// adoptRevocations takes a newer revocation list: into force first, then to the peers
// and into the node's folder.
func (r *root) adoptRevocations(l *cert.RevocationList) {
	if !l.Supersedes(r.revocations.Load()) {
		return
	}
	r.revocations.Store(l)
	r.cleanClaims()
	r.wall.Raise(l.Updated)
	nodes := l.Nodes()
	r.sessions.Tell(session.Revoked{Nodes: nodes})
	r.router.Tell(neighbor.Revoked{Nodes: nodes})
	r.tunnels.Tell(tunnel.Revoked{List: revocationsDocument(l), Nodes: nodes})
	system.Replace(r.crl, l)
	r.ctx.Event("revocations", fmt.Sprintf("list %d: %d nodes revoked", l.Number, len(nodes)))
	if _, own := l.Node(r.member.Identity.ID); own {
		r.ctx.Event("revoked", r.barredText())
		r.ctx.Log().Error("this node is out of the network", "reason", r.barredText())
	}
}

// isRevoked tells whether a peer's certificate counts no more.
func (n *parts) isRevoked(peer *cert.Identity) bool { return n.revocations.Load().Revokes(peer) }

// sessionLimits are the network's for sessions end to end.
func sessionLimits(l wire.Limits) session.Limits {
	return session.Limits{Sessions: l.Sessions, Idle: time.Duration(l.SessionIdle)}
}

// pace is how often the network wants links probed.
func pace(p wire.Params) fabric.Pace {
	return fabric.Pace{
		InUse: time.Duration(p.Liveness.InUse), IdleFirst: time.Duration(p.Liveness.IdleMin), IdleLast: time.Duration(p.Liveness.IdleMax),
	}
}

// paramsDocument is the parameters as peers pass them on.
func paramsDocument(p *wire.SignedParams) tunnel.Document {
	return tunnel.Document{Kind: peer.Params, Number: p.Number, Signed: p.Bytes}
}

// revocationsDocument is the revocation list as peers pass it on; of number 0 where
// there is none.
func revocationsDocument(l *cert.RevocationList) tunnel.Document {
	d := tunnel.Document{Kind: peer.Revocations, Number: cert.NumberOf(l)}
	if l != nil {
		d.Signed = l.Bytes
	}
	return d
}

// outcast says that a peer refuses this node as revoked.
type outcast struct{ by addr.NodeID }

func (outcast) rootMessage() {}

// outcast takes note of it: one peer can say what it likes, the list counts.
func (r *root) outcast(by addr.NodeID) {
	if r.identity.refusedBy(by) {
		r.ctx.Event("revoked", fmt.Sprintf("node %s says that this node's certificate is revoked", by))
	}
}
