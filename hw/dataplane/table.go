package dataplane

import (
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/fabric"
	"re6st/protocols/rib"
)

// links is a snapshot: its maps are never changed.
type links struct {
	byID    map[rib.LinkID]*link
	byPeer  map[addr.NodeID]*link
	byIndex map[uint32]receiving // local index
}

// receiving is a set of keys by which frames of a link may come.
type receiving struct {
	link    *link
	session *fabric.LinkSession
}

// link is one link; it is shared by all snapshots that have it.
type link struct {
	id      rib.LinkID
	peer    addr.NodeID
	control func(Control)

	path    atomic.Pointer[fabric.Path]
	session atomic.Pointer[fabric.LinkSession] // to send with; nil without keys
	mtu     atomic.Int32                       // longest datagram; 0: not known

	sent, received         counter
	controlSent            [fabric.ControlKinds]counter // part of sent
	controlReceived        counter                      // part of received
	dropped                atomic.Uint64                // frames, here, for or from the link
	lastReceived, lastData atomic.Int64
}

// sessions is a snapshot: its maps are never changed.
type sessions struct {
	byIndex  map[uint32]*fabric.Session      // local index: to open with
	byEgress map[addr.NodeID]*fabric.Session // to seal with
}

// Control is a control frame of a link. Body is the receiver's only until its
// function returns.
type Control struct {
	Link    rib.LinkID
	Index   uint32 // local index of the keys by which it came
	Kind    fabric.ControlKind
	Body    []byte
	Counter uint64      // of those keys
	Path    fabric.Path // may be new: see SetPath
	At      time.Time
}

func (p *Plane) changeLinks(f func(*links)) {
	p.change.Lock()
	defer p.change.Unlock()
	old := p.links.Load()
	next := &links{maps.Clone(old.byID), maps.Clone(old.byPeer), maps.Clone(old.byIndex)}
	if next.byID == nil {
		next = &links{make(map[rib.LinkID]*link), make(map[addr.NodeID]*link), make(map[uint32]receiving)}
	}
	f(next)
	p.links.Store(next)
}

func (p *Plane) changeSessions(f func(*sessions)) {
	p.change.Lock()
	defer p.change.Unlock()
	old := p.sessions.Load()
	next := &sessions{maps.Clone(old.byIndex), maps.Clone(old.byEgress)}
	if next.byIndex == nil {
		next = &sessions{make(map[uint32]*fabric.Session), make(map[addr.NodeID]*fabric.Session)}
	}
	f(next)
	p.sessions.Store(next)
}

// AddLink makes a link known. The remote may be the zero AddrPort until it is
// known, and is taken as that where it lies inside the mesh. control gets the control frames, but for transit messages, on the packet
// path. A link that is there already keeps its keys.
func (p *Plane) AddLink(id rib.LinkID, peer addr.NodeID, remote netip.AddrPort, control func(Control)) {
	if p.inside(remote.Addr()) {
		remote = netip.AddrPort{}
	}
	p.changeLinks(func(t *links) {
		l := &link{id: id, peer: peer, control: control}
		l.path.Store(&fabric.Path{Remote: remote})
		if old := t.byID[id]; old != nil {
			l.session.Store(old.session.Load())
			l.mtu.Store(old.mtu.Load())
			for index, r := range t.byIndex {
				if r.link == old {
					t.byIndex[index] = receiving{l, r.session}
				}
			}
		}
		t.byID[id], t.byPeer[peer] = l, l
	})
}

// RemoveLink forgets a link and its keys.
func (p *Plane) RemoveLink(id rib.LinkID) {
	p.changeLinks(func(t *links) {
		l := t.byID[id]
		if l == nil {
			return
		}
		delete(t.byID, id)
		if t.byPeer[l.peer] == l {
			delete(t.byPeer, l.peer)
			for _, id := range slices.Sorted(maps.Keys(t.byID)) { // another link with the same peer
				if o := t.byID[id]; o.peer == l.peer {
					t.byPeer[l.peer] = o
				}
			}
		}
		maps.DeleteFunc(t.byIndex, func(_ uint32, r receiving) bool { return r.link == l })
	})
}

// InstallLink accepts frames with these keys. Without the link it does nothing.
func (p *Plane) InstallLink(id rib.LinkID, s *fabric.LinkSession) {
	p.changeLinks(func(t *links) {
		if l := t.byID[id]; l != nil {
			t.byIndex[s.LocalIndex()] = receiving{l, s}
		}
	})
}

// UseLink sends with these keys from now on.
func (p *Plane) UseLink(id rib.LinkID, s *fabric.LinkSession) {
	if l := p.links.Load().byID[id]; l != nil {
		l.session.Store(s)
	}
}

// RetireLink ends the keys with this local index.
func (p *Plane) RetireLink(index uint32) {
	p.changeLinks(func(t *links) {
		if r, ok := t.byIndex[index]; ok {
			r.link.session.CompareAndSwap(r.session, nil)
			delete(t.byIndex, index)
		}
	})
}

// SetPath sends the link's frames by another path. One into the mesh is refused in
// silence: the link would carry itself.
func (p *Plane) SetPath(id rib.LinkID, path fabric.Path) {
	if l := p.links.Load().byID[id]; l != nil && !p.inside(path.Remote.Addr()) {
		l.path.Store(&path)
	}
}

// InstallSession accepts packets with these keys.
func (p *Plane) InstallSession(s *fabric.Session) {
	p.changeSessions(func(t *sessions) { t.byIndex[s.LocalIndex()] = s })
}

// UseSession seals for its peer with these keys from now on, and sends what waits.
func (p *Plane) UseSession(s *fabric.Session) {
	p.changeSessions(func(t *sessions) { t.byEgress[s.Peer()] = s })
	w := p.borrow()
	defer p.giveBack(w)
	w.flush(s.Peer())
}

// RetireSession ends the keys with this local index.
func (p *Plane) RetireSession(index uint32) {
	p.changeSessions(func(t *sessions) {
		s := t.byIndex[index]
		if s == nil {
			return
		}
		delete(t.byIndex, index)
		if t.byEgress[s.Peer()] == s {
			delete(t.byEgress, s.Peer())
		}
	})
}

// inside tells whether an address belongs to the mesh.
func (p *Plane) inside(a netip.Addr) bool {
	_, ok := p.classes.Load().Classify(a)
	return ok || p.ipv4.Load().contains(a)
}
