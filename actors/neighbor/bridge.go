package neighbor

import (
	"maps"
	"time"

	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

const (
	// relearn is how long a restarted router lets the packet path and the kernel use
	// the last table of its predecessor at most: by then the neighbors have answered its
	// requests, which they do once a second (babel's dumpSpacing), though an answer
	// was lost and came again.
	relearn = 2500 * time.Millisecond
	// answered is how long after its first updates a neighbor has told all: it may put
	// its answer off for a second, and what is many takes a moment.
	answered = 1300 * time.Millisecond
)

// hold has the last table of the predecessor stand in for what is not learned yet.
func (r *router) hold() {
	r.held, r.waiting, r.answering = true, map[rib.Key]babel.InterfaceID{}, map[babel.InterfaceID]bool{}
	r.ctx.After(relearn, publishView{})
	if r.kept.view == nil {
		return
	}
	for _, route := range r.kept.view.Routes() {
		by := babel.InterfaceID(route.NextHop.Link) // 0 by the kernel: for nobody's word
		if _, up := r.links[by]; route.Origin == rib.OriginBabel && !route.Unreachable && (up || by == 0) {
			r.waiting[route.Key()] = by
		}
	}
}

// confirm takes note of what a neighbor says of the routes by it while the last table is
// held: its word counts from now on, be it that it has lost one.
func (r *router) confirm(id babel.InterfaceID, e babel.NeighborEvent) {
	said, ok := e.(babel.Updates)
	if !r.held || !ok {
		return
	}
	r.bridged = nil
	for _, u := range said.Updates {
		if !u.Prefix.IsValid() { // all of them
			r.settled(id)
		} else if r.waiting[u.Key()] == id {
			delete(r.waiting, u.Key())
		}
	}
	if !r.answering[id] {
		r.answering[id] = true
		r.ctx.After(answered, hasAnswered{id})
	}
}

// settled has no route by an interface wait for its neighbor's word any more.
func (r *router) settled(id babel.InterfaceID) {
	r.bridged = nil
	maps.DeleteFunc(r.waiting, func(_ rib.Key, by babel.InterfaceID) bool { return by == id })
}

// letGo ends the hold. What the predecessor announced, and is reached no more, the
// neighbors cannot know of: they would send it here until it expires.
func (r *router) letGo() {
	r.held = false
	var announced []rib.Key
	for _, view := range []*rib.View{r.kept.view, r.kept.learned} {
		if view == nil {
			continue
		}
		for _, route := range view.Routes() {
			announced = append(announced, route.Key())
		}
	}
	r.kept.learned = nil
	r.babel.Disown(r.ctx.Now(), announced)
}

// bridge is what was learned by now, and in place of what waits for a neighbor's word the
// last table of the predecessor, but for what went by links that are gone. What is
// learned to be unreachable counts later, when all has been heard.
func (r *router) bridge(learned *rib.View) *rib.View {
	linked := map[rib.LinkID]bool{0: true}
	for _, l := range r.links {
		linked[l.ID] = true
	}
	table, now := rib.NewTable(r.cfg.Locators), r.ctx.Now()
	offer := func(view *rib.View, wanted func(rib.Route) bool) {
		if view == nil {
			return
		}
		for _, route := range view.Routes() {
			if !linked[route.NextHop.Link] || route.Unreachable || !wanted(route) {
				continue
			}
			if _, _, err := table.Offer(now, route.Origin, route); err != nil {
				r.ctx.Log().Debug("route not kept", "prefix", route.Prefix, "error", err)
			}
		}
	}
	offer(learned, func(rib.Route) bool { return true })
	offer(r.kept.view, func(route rib.Route) bool { // in place of the former
		_, waits := r.waiting[route.Key()]
		return waits || route.Origin != rib.OriginBabel
	})
	return table.View()
}
