package dataplane

import (
	"cmp"
	"slices"

	"re6st/protocols/addr"
	"re6st/protocols/rib"
)

// Exchanged is what a session has sealed and opened, in whole frames, since it was made.
type Exchanged struct {
	Peer  addr.NodeID
	Index uint32 // local index of its keys: another session has another
	Count
}

// Exchanged counts the traffic with other nodes from end to end, by whatever links, in
// the order of Index. It costs the packets nothing: sessions count what their keys serve for.
func (p *Plane) Exchanged() []Exchanged {
	sessions := p.sessions.Load()
	all := make([]Exchanged, 0, len(sessions.byIndex))
	for index, s := range sessions.byIndex {
		bytes, frames := s.Usage()
		all = append(all, Exchanged{s.Peer(), index, Count{frames, bytes}})
	}
	slices.SortFunc(all, func(a, b Exchanged) int { return cmp.Compare(a.Index, b.Index) })
	return all
}

// Carried counts the data frames, whoever's, that a link has sent and received since
// AddLink; nothing for a link that was not added.
func (p *Plane) Carried(id rib.LinkID) Count {
	l := p.links.Load().byID[id]
	if l == nil {
		return Count{}
	}
	// What is part of another count is read first, so that it is never more than that.
	control := l.controlReceived.load()
	for kind := range l.controlSent {
		c := l.controlSent[kind].load()
		control = Count{control.Packets + c.Packets, control.Bytes + c.Bytes}
	}
	sent, received := l.sent.load(), l.received.load()
	return Count{sent.Packets + received.Packets - control.Packets, sent.Bytes + received.Bytes - control.Bytes}
}
