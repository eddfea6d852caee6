package tunnel

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"re6st/hw/netlink"
	"re6st/protocols/fabric"
	"re6st/protocols/firsthop"
)

// Gateways are routers on links of this machine through which it reaches the peers that it
// dials, by turns. Links that peers open stay as the kernel has them: they are to answer by
// where the peer came.
type Gateways struct {
	Addrs  []netip.Addr // that firsthop.Check finds well, until GatewaysWanted; there may be none
	Routes HostRoutes   // the manager's alone
}

// HostRoutes is what Gateways need of the kernel; netlink.HostRoutes is the real one.
type HostRoutes interface {
	Routers(routers []netip.Addr) (links map[netip.Addr]int, faults map[netip.Addr]error, err error)
	Set(set []netlink.HostRoute, remove []netip.Addr) error
	Reconcile(want []netlink.HostRoute) error
}

// UnderlaySeen says that something of this machine's links may have changed: routes that
// Gateways have may be gone with them.
type UnderlaySeen struct{}

// GatewaysWanted brings other routers, that firsthop.Check finds well. Without Config.Gateways
// nothing comes of it.
type GatewaysWanted struct{ Addrs []netip.Addr }

func (UnderlaySeen) managerMessage()   {}
func (GatewaysWanted) managerMessage() {}

// routers is what the manager knows of its Gateways.
type routers struct {
	plan   *firsthop.Plan // nil: there can be none
	links  map[netip.Addr]int
	faults map[netip.Addr]string // as was told
}

// startGateways begins without routes: those of an incarnation before ended with its links.
func (m *manager) startGateways() {
	if m.cfg.Gateways == nil {
		return
	}
	m.routers = routers{plan: firsthop.New(m.kept.gateways), faults: map[netip.Addr]string{}}
	m.lookAtGateways()
}

// gatewaysWanted has the links go through other routers from now on.
func (m *manager) gatewaysWanted(addrs []netip.Addr) {
	if m.routers.plan == nil || slices.Equal(addrs, m.kept.gateways) {
		return
	}
	m.kept.gateways = slices.Clone(addrs)
	maps.DeleteFunc(m.routers.faults, func(g netip.Addr, _ string) bool { return !slices.Contains(addrs, g) })
	m.routers.plan.HandleGateways(addrs)
	m.lookAtGateways()
	m.tellUplinks()
}

// lookAtGateways finds which can be used, and has the kernel hold the routes that follow.
func (m *manager) lookAtGateways() {
	r := &m.routers
	if r.plan == nil || len(m.kept.gateways)+len(r.links) == 0 {
		return
	}
	links, faults, err := m.cfg.Gateways.Routes.Routers(m.kept.gateways)
	if err != nil {
		m.ctx.Event("gateway", "not looked for: "+err.Error())
		return
	}
	m.tellOfGateways(faults)
	r.links = links
	var usable []netip.Addr
	for _, g := range m.kept.gateways {
		if _, ok := links[g]; ok {
			usable = append(usable, g)
		}
	}
	var near []netip.Prefix
	for _, u := range m.kept.uplinks {
		near = append(near, u.OnLink)
	}
	r.plan.HandleUnderlay(usable, near)
	r.plan.Drain(func(firsthop.Event) {}) // all of them follow
	var want []netlink.HostRoute
	for _, route := range r.plan.Routes() {
		want = append(want, m.hostRoute(route))
	}
	if err := m.cfg.Gateways.Routes.Reconcile(want); err != nil {
		m.ctx.Event("gateway", err.Error())
	}
}

func (m *manager) hostRoute(r firsthop.Route) netlink.HostRoute {
	return netlink.HostRoute{Addr: r.Addr, Via: r.Via, Link: m.routers.links[r.Via]}
}

// tellOfGateways tells which can no longer be used, or can be again.
func (m *manager) tellOfGateways(faults map[netip.Addr]error) {
	told := m.routers.faults
	for _, g := range m.kept.gateways {
		fault := ""
		if err := faults[g]; err != nil {
			fault = err.Error()
		}
		switch fault {
		case told[g]:
		case "":
			m.ctx.Event("gateway", fmt.Sprintf("%v can be used again", g))
		default:
			m.ctx.Event("gateway", fmt.Sprintf("%v is not used: %s", g, fault))
		}
		told[g] = fault
	}
}

// routeTo has the kernel route the addresses of a link's peer. It comes before the first packet.
func (m *manager) routeTo(t *tunnelState) {
	if m.routers.plan == nil || !t.opened {
		return
	}
	var at []netip.Addr
	if t.snap.Remote.IsValid() {
		at = append(at, t.snap.Remote.Addr())
	}
	for _, e := range t.endpoints {
		at = append(at, e.Addr())
	}
	m.routers.plan.HandleLink(t.snap.ID, t.snap.Peer, at)
	m.setRoutes()
}

// setRoutes has the kernel follow the plan.
func (m *manager) setRoutes() {
	var set []netlink.HostRoute
	var remove []netip.Addr
	m.routers.plan.Drain(func(e firsthop.Event) {
		switch e := e.(type) {
		case firsthop.Set:
			set = append(set, m.hostRoute(e.Route))
		case firsthop.Remove:
			remove = append(remove, e.Addr)
		}
	})
	if len(set)+len(remove) == 0 {
		return
	}
	if err := m.cfg.Gateways.Routes.Set(set, remove); err != nil {
		m.ctx.Event("gateway", err.Error())
	}
}

// routed takes note that a link is up.
func (m *manager) routed(t *tunnelState) {
	if m.routers.plan == nil || !t.opened {
		return
	}
	m.routers.plan.HandleUp(t.snap.ID)
	m.routeTo(t)
	t.ref.Tell(newUplinks{m.uplinksOf(t)}) // it may go by the others too, if need be
}

// unroute takes the routes of a link away that has ended.
func (m *manager) unroute(t *tunnelState, down fabric.Down) {
	if m.routers.plan == nil || !t.opened {
		return
	}
	// A peer that tells of silence did not hear this end.
	m.routers.plan.HandleEnd(t.snap.ID, down.Reason == fabric.CloseNoAnswer || down.Reason == fabric.CloseSilence)
	m.setRoutes()
}

// tellUplinks tells the links this node's addresses.
func (m *manager) tellUplinks() {
	for _, id := range slices.Sorted(maps.Keys(m.tunnels)) {
		t := m.tunnels[id]
		t.ref.Tell(newUplinks{m.uplinksOf(t)})
	}
}

// uplinksOf are this node's addresses as a link is to use them: those first by which its
// gateways are reached, and no others to dial by.
func (m *manager) uplinksOf(t *tunnelState) []fabric.Uplink {
	plan, up := m.routers.plan, t.snap.Up
	if plan == nil || up && !plan.Via(t.snap.Remote.Addr()).IsValid() {
		return m.kept.uplinks
	}
	uplinks := slices.Clone(m.kept.uplinks)
	last := func(u fabric.Uplink) int {
		via := plan.Of(t.snap.ID, u.Addr.Is4())
		if via.IsValid() && m.routers.links[via] != u.Interface {
			return 1
		}
		return 0
	}
	for i, u := range uplinks {
		switch {
		case !plan.Of(t.snap.ID, u.Addr.Is4()).IsValid():
		case last(u) == 0:
			uplinks[i].Default = true
		case !up:
			uplinks[i].Default = false
		}
	}
	slices.SortStableFunc(uplinks, func(a, b fabric.Uplink) int { return cmp.Compare(last(a), last(b)) })
	return uplinks
}

// gatewayOf is that of a link that is up, while it goes by the interface that leads there.
func (m *manager) gatewayOf(t *tunnelState) netip.Addr {
	if m.routers.plan == nil || !t.snap.Up {
		return netip.Addr{}
	}
	via := m.routers.plan.Via(t.snap.Remote.Addr())
	if t.iface != 0 && t.iface != m.routers.links[via] {
		return netip.Addr{}
	}
	return via
}
