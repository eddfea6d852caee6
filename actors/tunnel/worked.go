package tunnel

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"re6st/actors/system"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

const (
	// MaxWorked is of how many peers and networks it is kept in mind by which carrier, other
	// than UDP, the peer was reached from there.
	MaxWorked = 256
	// WorkedLifetime is for how long that is believed.
	WorkedLifetime = 30 * 24 * time.Hour
	// workedAgain is after how long it is stored again though nothing but its age has changed,
	// workedHold is between two times that it is stored.
	workedAgain = 24 * time.Hour
	workedHold  = 5 * time.Second
)

// Worked is by what carrier a peer was reached, where that was not UDP, and from which network.
type Worked struct {
	Peer    addr.NodeID
	Network netip.Prefix // of the uplink; not valid: there was none
	Carrier fabric.Carrier
	At      time.Time // when it last began
}

// note keeps in mind by what a peer is reached; true: that is to be stored.
func (r *reaches) note(now time.Time, id addr.NodeID, uplinks []fabric.Uplink, by fabric.Carrier) bool {
	network := networkOf(uplinks)
	i := slices.IndexFunc(r.worked, func(w Worked) bool { return w.Peer == id && w.Network == network })
	switch {
	case by == fabric.UDP && i < 0:
		return false
	case i >= 0 && r.worked[i].Carrier == by && now.Sub(r.worked[i].At) < workedAgain:
		return false
	case i >= 0:
		r.worked = slices.Delete(r.worked, i, i+1)
	case len(r.worked) >= MaxWorked:
		r.worked = slices.Delete(r.worked, 0, 1) // the oldest
	}
	if by != fabric.UDP {
		r.worked = append(r.worked, Worked{id, network, by, now})
	}
	return true
}

// first is what to begin with: what worked from this network, or last from any while it is not
// known which this is.
func (r *reaches) first(now time.Time, id addr.NodeID, uplinks []fabric.Uplink) fabric.Carrier {
	network := networkOf(uplinks)
	for _, w := range slices.Backward(r.worked) {
		if w.Peer == id && (w.Network == network || !network.IsValid()) && now.Sub(w.At) < WorkedLifetime {
			return w.Carrier
		}
	}
	return fabric.UDP
}

// restore takes what an earlier run had in mind.
func (r *reaches) restore(all []Worked) {
	r.worked = slices.Clone(all)
	slices.SortStableFunc(r.worked, func(a, b Worked) int { return a.At.Compare(b.At) })
	r.worked = r.worked[max(0, len(r.worked)-MaxWorked):]
}

// reachedBy notes it, and has it stored.
func (m *manager) reachedBy(id addr.NodeID, by fabric.Carrier) {
	if !m.kept.reaches.note(m.ctx.Now(), id, m.kept.uplinks, by) || m.cfg.StoreWorked == nil {
		return
	}
	select {
	case <-m.worked: // what is newer comes
	default:
	}
	m.worked <- slices.Clone(m.kept.reaches.worked)
}

// startWorked has a pump store it.
func (m *manager) startWorked() {
	m.worked = make(chan []Worked, 1)
	keep, worked, log := m.cfg.StoreWorked, m.worked, m.ctx.Log()
	if keep == nil {
		return
	}
	m.ctx.Pump("carriers", func(stop context.Context, p *system.Pump[Message]) error {
		for {
			var all []Worked
			select {
			case all = <-worked:
			case <-stop.Done():
				select {
				case all = <-worked: // the last word
				default:
					return nil
				}
			}
			if err := p.Work("a write", func() error { return keep(all) }); err != nil {
				log.Warn("carriers that worked not stored", "error", err)
			}
			select {
			case <-stop.Done():
			case <-time.After(workedHold):
			}
		}
	}, system.WithTurn())
}
