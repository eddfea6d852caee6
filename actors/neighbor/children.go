package neighbor

import (
	"fmt"
	"time"

	"re6st/actors/system"
	"re6st/protocols/babel"
)

// fabricInterface is Babel's interface of a link, kernelInterface that of a
// kernel's: the two sorts of numbers must not meet.
func fabricInterface(l Link) babel.InterfaceID { return babel.InterfaceID(l.ID) }

func kernelInterface(ifindex int) babel.InterfaceID { return kernelBit | babel.InterfaceID(ifindex) }

func linkKey(l Link) babel.NeighborKey {
	return babel.NeighborKey{Interface: fabricInterface(l), Addr: l.Peer.LinkLocal()}
}

const kernelBit = 1 << 31

// syncLinks makes the router's interfaces those of the links that are up.
func (r *router) syncLinks() {
	now := r.ctx.Now()
	up := map[babel.InterfaceID]bool{}
	for _, p := range r.cfg.Links.ports() {
		id := fabricInterface(p.link)
		up[id] = true
		known, ok := r.links[id]
		switch {
		case !ok:
			r.linkUp(now, p)
		case known != p.link:
			r.links[id] = p.link
			if c := r.children[linkKey(p.link)]; c != nil {
				c.ref.Tell(linkRTT{p.link.rtt()})
			}
		}
	}
	for id, link := range r.links {
		if !up[id] {
			delete(r.links, id)
			r.settled(id)
			r.babel.RemoveInterface(now, id)
			r.endChild(linkKey(link))
		}
	}
}

func (r *router) linkUp(now time.Time, p *linkPort) {
	id := fabricInterface(p.link)
	err := r.babel.AddInterface(now, id, babel.Interface{
		Fabric: true, Link: p.link.ID, Local: r.cfg.Self.LinkLocal(), HelloInterval: r.kept.hello,
	})
	if err == nil {
		err = r.babel.AddNeighbor(now, linkKey(p.link))
	}
	if err == nil {
		r.links[id] = p.link
		name := fmt.Sprintf("%s.%d", p.link.Peer, p.link.ID)
		err = r.addChild(name, linkKey(p.link), babel.NeighborConfig{
			Addr: p.link.Peer.LinkLocal(), Local: r.cfg.Self.LinkLocal(), Fabric: true,
			Peer: p.link.Peer, Locators: r.cfg.Locators,
		}, func() time.Duration { return r.cfg.Links.rtt(p.link.ID) }, p.inbox)
	}
	if err != nil {
		r.ctx.Event("refused", err.Error())
	}
}

// addChild spawns the actor of a neighbor.
func (r *router) addChild(name string, key babel.NeighborKey, cfg babel.NeighborConfig, rtt func() time.Duration, inbox chan packet) error {
	up, c := r.ctx.Self(), &child{inbox: inbox}
	ref, err := system.Spawn(r.ctx, name, system.Spec[neighborMessage]{
		Kind: "neighbor",
		New: func() system.Handler[neighborMessage] {
			return &neighbor{cfg: cfg, key: key, rtt: rtt, inbox: inbox, router: up, self: c}
		},
	})
	if err != nil {
		return fmt.Errorf("neighbor %s: %w", name, err)
	}
	c.ref, c.path = ref, ref.Path()
	r.children[key] = c
	return nil
}

func (r *router) endChild(key babel.NeighborKey) {
	if c := r.children[key]; c != nil {
		delete(r.children, key)
		c.ref.Stop()
	}
}

// childChanged keeps the routes of a child that restarts, for a moment, and
// drops those of one that is gone.
func (r *router) childChanged(now time.Time, e system.Event) {
	for key, c := range r.children {
		if c.path != e.Actor {
			continue
		}
		switch e.Kind {
		case system.EventFaulted:
			r.babel.NeighborStale(now, key)
		case system.EventQuarantined:
			r.babel.Handle(now, key, babel.CostChanged{Cost: babel.Infinity, Rxcost: babel.Infinity})
		default: // it says itself what it costs
		}
		return
	}
}
