package tunnel

import (
	"net/netip"
	"time"

	"re6st/protocols/ktunnel"
)

// heedEvery is how far apart a peer's offers of a tunnel are heeded at least: each may have
// an interface, or a process, end and another one made.
const heedEvery = time.Second

// offers is what the peer says of tunnels and is not heeded yet.
type offers struct {
	newest []byte // nil: nothing
	next   time.Time
	waits  bool // for heedOffer
}

// heedOffer looks at the newest offer again.
type heedOffer struct{}

func (heedOffer) tunnelMessage() {}

// hearOfTunnel takes what the peer says of a tunnel. Of what it says in a row the newest counts.
func (t *tunnel) hearOfTunnel(now time.Time, body []byte) {
	if t.below.machine != nil {
		t.below.offers.newest = body
		t.heed(now)
	}
}

// heed follows the newest offer, in its turn.
func (t *tunnel) heed(now time.Time) {
	o := &t.below.offers
	body, again := o.due(now, t.link.Underlay().Remote.Addr().Unmap())
	if again > 0 && !o.waits {
		o.waits = true
		t.ctx.After(again, heedOffer{})
	}
	if body == nil {
		return
	}
	if err := t.below.machine.HandleMessage(body); err != nil {
		t.ctx.Log().Debug("the peer's offer of a tunnel refused", "error", err)
		return
	}
	t.agree(now)
}

// due gives what is to be heeded now, or tells when to look again; 0: there is nothing. One
// that has another address than that at which the peer is seen waits until it is seen
// there: else a peer could have this node dial whom it likes.
func (o *offers) due(now time.Time, seen netip.Addr) (body []byte, again time.Duration) {
	if o.newest == nil {
		return nil, 0
	}
	if wait := o.next.Sub(now); wait > 0 {
		return nil, wait
	}
	if at, err := ktunnel.Address(o.newest); err == nil && at.IsValid() && at != seen {
		return nil, heedEvery
	}
	body, o.newest, o.next = o.newest, nil, now.Add(heedEvery)
	return body, 0
}
