package tunnel

import (
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/claim"
)

// Claims are what nodes say of the routes that they announce, as this node has them. All
// tunnels use it at once.
type Claims interface {
	claim.Ledger
	// Take verifies one and keeps it; false where it is no news.
	Take(signed []byte) (by addr.NodeID, news bool, err error)
}

// Claimed says that this node has another claim: its own, to the manager; another's,
// from it.
type Claimed struct{ Node addr.NodeID }

// claimTaken says that a tunnel has taken one.
type claimTaken struct{ Node addr.NodeID }

// claimAdded has the peer told of a claim.
type claimAdded struct{ Node addr.NodeID }

func (Claimed) managerMessage()    {}
func (Claimed) event()             {}
func (claimTaken) managerMessage() {}
func (claimAdded) tunnelMessage()  {}

// startClaims begins to compare claims with the peer.
func (t *tunnel) startClaims(now time.Time) {
	if t.cfg.Claims != nil {
		t.claims = claim.NewSync(now, t.cfg.Credentials.Identity.ID, t.lease.peer, t.cfg.Claims, t.ctx.Rand())
	}
}

// hearOfClaims takes what the peer says of claims.
func (t *tunnel) hearOfClaims(body []byte) {
	if t.claims == nil {
		return
	}
	if err := t.claims.HandleMessage(t.ctx.Now(), body); err != nil {
		t.ctx.Log().Debug("message about claims refused", "error", err)
	}
	t.claims.Drain(func(r claim.Received) {
		node, news, err := t.cfg.Claims.Take(r.Signed)
		switch {
		case err != nil:
			t.ctx.Event("refused", "claim from the peer: "+err.Error())
		case news:
			t.manager.Tell(claimTaken{node})
		}
	})
}

// speakOfClaims says what is next, as soon as nothing else is under way.
func (t *tunnel) speakOfClaims() {
	for t.claims != nil && t.exchange.Idle() {
		body := t.claims.Next()
		if body == nil {
			return
		}
		t.exchange.HandleClaims(t.ctx.Now(), body)
	}
}

// peerTimeout is when the exchange or the comparison of claims is due.
func (t *tunnel) peerTimeout() (time.Time, bool) {
	next, ok := t.exchange.NextTimeout()
	if t.claims == nil {
		return next, ok
	}
	if at, due := t.claims.NextTimeout(); due && (!ok || at.Before(next)) {
		return at, true
	}
	return next, ok
}
