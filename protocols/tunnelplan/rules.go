package tunnelplan

import (
	"slices"
	"time"

	"re6st/protocols/addr"
)

// NoCountry is the country of a peer that says none: outside of all countries.
const NoCountry = "-"

// SameCountry is why a link is not made between two countries, as Outlook tells it.
const SameCountry = "same_country"

// Rules are whom a node prefers as peers, and with whom it makes no links.
type Rules struct {
	// Neighbours are dialled before others, and links with them are not shed.
	Neighbours []Neighbour
	// Country of this node, two letters (ISO 3166); "": none.
	Country string
	// SameCountry are those out of which, and into which, no link goes.
	SameCountry []string
}

// Neighbour is a node by its id or, where that is zero, the nodes of a prefix.
type Neighbour struct {
	ID     addr.NodeID
	Prefix addr.Bits
}

// part tells whether rules forbid a link with a node of a country. One that was not
// heard yet is none.
func (r *Rules) part(country string) bool {
	if country == "" || country == r.Country || country == NoCountry && r.Country == "" {
		return false
	}
	return slices.Contains(r.SameCountry, country) || slices.Contains(r.SameCountry, r.Country)
}

func (r *Rules) prefer(q *peer) bool {
	return slices.ContainsFunc(r.Neighbours, func(n Neighbour) bool {
		return n.ID == q.ID || n.ID.IsZero() && q.Prefix.HasPrefix(n.Prefix)
	})
}

// HandleRules changes the rules. Links that they forbid are closed.
func (p *Planner) HandleRules(now time.Time, r Rules) {
	r.Neighbours, r.SameCountry = slices.Clone(r.Neighbours), slices.Clone(r.SameCountry)
	p.rules = r
	for _, q := range p.peers {
		p.judge(now, q)
	}
	p.plan(now)
}

// judge applies the rules to a peer of which something is new.
func (p *Planner) judge(now time.Time, q *peer) {
	q.preferred, q.barred = p.rules.prefer(q), p.rules.part(q.Country)
	switch {
	case !q.barred:
	case q.state == up:
		p.close(now, q, OtherCountry)
	case q.state == dialing:
		p.emit(Cancel{ID: q.ID})
		q.state, q.since, q.repair, q.shortcut = idle, now, false, false
		q.endMeeting()
	}
}
