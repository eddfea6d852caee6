package neighbor

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/babel"
)

// refusedDelay gathers the packets that an interface refuses, for one event.
const refusedDelay = 5 * time.Second

// gate stands before an interface of the kernel: where it has keys, only who has one
// of them passes.
type gate struct {
	mac       *babel.Authenticator // nil: whoever is there is believed
	name      string
	acceptBad bool
	telling   bool // an event is on its way
	refused   map[babel.MACReason]uint64
}

// set makes the gate that of s. Who proved to have a key has not to do so again.
func (g *gate) set(s Speaker, local netip.Addr) (err error) {
	g.name, g.acceptBad = s.Name, s.AcceptBad
	switch {
	case len(s.Keys) == 0:
		g.mac = nil
	case g.mac == nil:
		g.mac, err = babel.NewAuthenticator(babel.MACConfig{Keys: s.Keys, AcceptBad: s.AcceptBad, Local: local, Rand: rand.Reader})
		if err != nil {
			g.mac = nil
		}
	default:
		g.mac.SetAcceptBad(s.AcceptBad)
		err = g.mac.SetKeys(s.Keys)
	}
	return err
}

// seal is a packet as it goes to a neighbor, or to all where to is the zero Addr.
func (g *gate) seal(packet []byte, to netip.Addr) []byte {
	if g.mac == nil {
		return packet
	}
	return g.mac.Seal(packet, to)
}

// provenBy names the key that a neighbor proved to have; "" is none.
func (g *gate) provenBy(now time.Time, addr netip.Addr) string {
	if g.mac == nil {
		return ""
	}
	key, _ := g.mac.ProvenBy(now, addr)
	return key
}

// pass tells whether a packet may be looked at, and answers a challenge or makes one.
func (r *router) pass(t *trusted, m heardOnKernel) babel.Opened {
	g := &t.gate
	if g.mac == nil {
		return babel.Opened{Accepted: true}
	}
	opened := g.mac.Open(r.ctx.Now(), m.body, m.from, m.to)
	if opened.Answer != nil {
		if err := t.conn.Write(m.from, opened.Answer); err != nil {
			r.ctx.Log().Debug("challenge or reply not sent", "interface", t.name, "error", err)
		}
	}
	if opened.Reason != babel.MACValid && !g.telling {
		g.telling = true
		r.ctx.After(refusedDelay, refusedThere{g})
	}
	return opened
}

// tellRefused says what an interface refused of late.
func (r *router) tellRefused(g *gate) {
	g.telling = false
	g.count(func(e babel.MACRefused) {
		text := fmt.Sprintf("on %s: %s, %d packets, the last from %s", g.name, e.Reason, e.Count, e.From)
		switch {
		case e.Reason == babel.MACNew: // each neighbor is challenged once
		case g.acceptBad:
			r.ctx.Event("unproven", text+"; accepted because of accept_bad")
		case e.Reason == babel.MACWrong || e.Reason == babel.MACMissing:
			r.ctx.Event("refused", text+"; have both ends a key in common?")
		default:
			r.ctx.Event("refused", text)
		}
	})
}

// count adds up what was refused since the last time.
func (g *gate) count(do func(babel.MACRefused)) {
	if g.mac == nil {
		return
	}
	g.mac.Drain(func(e babel.MACRefused) {
		if g.refused == nil {
			g.refused = map[babel.MACReason]uint64{}
		}
		g.refused[e.Reason] += uint64(e.Count)
		do(e)
	})
}

// speakers are the interfaces that are to speak Babel, as they are.
func (r *router) speakers() []SpeakerState {
	states := make([]SpeakerState, len(r.kept.speakers))
	for i, s := range r.kept.speakers {
		states[i] = SpeakerState{Name: s.Name, AcceptBad: s.AcceptBad}
		for _, k := range s.Keys {
			states[i].Keys = append(states[i].Keys, k.String())
		}
		for _, t := range r.kernel {
			if t.name == s.Name {
				states[i].Ifindex, states[i].Refused = t.ifindex, t.gate.refusals()
			}
		}
	}
	return states
}

func (g *gate) refusals() (all []Refusal) {
	for reason, count := range g.refused {
		all = append(all, Refusal{reason, count})
	}
	slices.SortFunc(all, func(a, b Refusal) int { return int(a.Reason) - int(b.Reason) })
	return all
}
