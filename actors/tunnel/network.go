package tunnel

import (
	"slices"
	"time"

	"re6st/protocols/fabric"
)

// fromNetwork takes what changes while links are up, and has all of them take it.
func (m *manager) fromNetwork(now time.Time, message Message) {
	switch msg := message.(type) {
	case ParamsChanged:
		if m.kept.limits != msg.Limits {
			m.kept.limits = msg.Limits
			m.planner.HandleLimits(now, msg.Limits)
		}
		m.kept.rules = msg.Rules
		m.kept.rules.Country = m.cfg.Rules.Country
		m.planner.HandleRules(now, m.kept.rules)
		if m.kept.pace != msg.Pace {
			m.kept.pace = msg.Pace
			m.tellAll(setPace{msg.Pace})
		}
		m.document(msg.Params)
	case Revoked:
		m.revoked(now, msg)
	case TunnelsWanted:
		m.kept.wanted = msg.Wanted
		m.tellAll(newWanted(msg))
	case Renewed:
		m.kept.credentials = msg.Credentials
		m.acceptor.SetCredentials(msg.Credentials)
		m.tellAll(newCredentials{msg.Credentials})
	default: // Handle has the others
	}
}

// revoked closes the links with revoked nodes, those too that are about to be. These
// hear the list first: they may have no other way to it.
func (m *manager) revoked(now time.Time, r Revoked) {
	m.kept.revoked = r.Nodes
	m.planner.HandleRevoked(now, r.Nodes)
	m.document(r.List)
	for _, id := range r.Nodes {
		if t := m.byPeer[id]; t != nil {
			t.next = nil
			t.ref.Tell(expel{})
		}
	}
	m.gossipSoon(now)
	if slices.Contains(r.Nodes, m.self()) {
		m.ctx.Event("revoked", "this node is out of the network: its links are closed")
	}
}

// expelAfter is how long a link with a revoked node stays, for the list: the node closes
// it sooner, once it has that. No route and no session is with it by then.
const expelAfter = time.Second

// expel closes the link of a peer that is revoked: at once where it cannot hear of that.
func (t *tunnel) expel() {
	switch {
	case t.exchange == nil:
		t.link.Close(fabric.CloseRevoked)
	case !t.lease.expelled:
		t.ctx.After(expelAfter, closeLink{fabric.CloseRevoked})
	}
	t.lease.expelled = true
}

// document has the peers offered a newer document.
func (m *manager) document(d Document) {
	m.kept.documents[d.Kind] = d
	m.tellAll(newDocument{d})
}
