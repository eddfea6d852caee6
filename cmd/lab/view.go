package lab

import (
	"net/netip"
	"slices"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/addr"
)

// viewVersion is the version of View. Within one version fields are only added.
const viewVersion = 1

// View is a whole lab as it is now: the answer to /v1/lab.
type View struct {
	Version  int         `json:"version"`
	Now      time.Time   `json:"now"`
	ID       string      `json:"id"`
	Topology Topology    `json:"topology"`
	Registry string      `json:"registry"` // running or dead
	Nodes    []NodeView  `json:"nodes"`
	Edges    []EdgeView  `json:"edges"` // of the underlay; of full and lan, those that something was done to
	Links    []LinkView  `json:"links"` // of the mesh
	Events   []EventView `json:"events"`
}

// Of a node beside monitor.State, and of the registry.
const (
	stateRunning = string(monitor.Running)
	stateDead    = "dead"   // no process
	stateSilent  = "silent" // a process that does not answer
)

// NodeView is one node.
type NodeView struct {
	Name      string          `json:"name"`
	State     string          `json:"state"` // starting, running, degraded, stopping, silent or dead
	Problems  []string        `json:"problems,omitempty"`
	PID       int             `json:"pid,omitempty"`
	Started   time.Time       `json:"started,omitzero"`
	Node      string          `json:"node,omitempty"` // its id
	Prefix    string          `json:"prefix,omitempty"`
	Address   netip.Addr      `json:"address,omitzero"` // of the general class
	Links     int             `json:"links"`
	Reachable int             `json:"reachable"` // other nodes, as it says
	Routes    int             `json:"routes"`
	Restarts  uint64          `json:"restarts"` // of its actors that live
	Memory    uint64          `json:"memory"`   // resident, in bytes
	Sent      monitor.Traffic `json:"sent"`     // by links that are up
	Received  monitor.Traffic `json:"received"`
}

// EdgeView is one edge of the underlay.
type EdgeView struct {
	A    string  `json:"a"`
	B    string  `json:"b"`
	Cut  Cut     `json:"cut,omitempty"`
	Loss float64 `json:"loss,omitempty"` // percent
}

// LinkView is one link of the mesh: where all of its ends that answer say that it
// is up.
type LinkView struct {
	A     string          `json:"a"`
	B     string          `json:"b"`
	State string          `json:"state"` // up or draining
	Since time.Time       `json:"since"`
	RTT   int64           `json:"rtt_us"` // 0: not known yet
	Suite string          `json:"suite,omitempty"`
	AToB  monitor.Traffic `json:"a_to_b"` // as the sender counts it
	BToA  monitor.Traffic `json:"b_to_a"`
}

// EventView is what happened to a node, or what the lab did.
type EventView struct {
	Seq   uint64    `json:"seq"` // from 1, in the order in which the lab heard of it
	Time  time.Time `json:"time"`
	Node  string    `json:"node"` // or "lab"
	Actor string    `json:"actor,omitempty"`
	Kind  string    `json:"kind"`
	Text  string    `json:"text,omitempty"`
}

// report is what one node answered.
type report struct {
	member  memberState
	memory  uint64
	heard   bool // it answered; else what follows is empty
	status  monitor.Status
	tunnels []monitor.Tunnel
	actors  []monitor.Actor
}

// view makes a View of what the nodes answered, which are in order.
func (v View) of(reports []report) View {
	names := map[addr.NodeID]string{}
	for _, r := range reports {
		if !r.member.who.id.IsZero() {
			names[r.member.who.id] = r.member.name
		}
	}
	v.Version, v.Nodes = viewVersion, make([]NodeView, 0, len(reports))
	for _, r := range reports {
		v.Nodes = append(v.Nodes, r.node())
	}
	v.Links = links(reports, names)
	return v
}

func (r report) node() NodeView {
	n := NodeView{
		Name: r.member.name, State: stateDead, PID: r.member.pid, Prefix: r.member.who.prefix,
		Address: r.member.who.addresses[generalClass], Memory: r.memory,
	}
	if id := r.member.who.id; !id.IsZero() {
		n.Node = id.String()
	}
	switch {
	case n.PID == 0:
		return n
	case !r.heard:
		n.State = stateSilent
		return n
	}
	n.State, n.Problems, n.Started = string(r.status.State), r.status.Problems, r.status.Started.UTC()
	n.Reachable, n.Routes = r.status.Reachable, r.status.Routes
	n.Links = r.status.Links.Opened + r.status.Links.Accepted + r.status.Links.LAN
	for _, a := range r.actors {
		n.Restarts += a.Restarts
	}
	for _, t := range r.tunnels {
		if isUp(t) {
			n.Sent, n.Received = sum(n.Sent, t.Sent), sum(n.Received, t.Received)
		}
	}
	return n
}

func sum(a, b monitor.Traffic) monitor.Traffic {
	return monitor.Traffic{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}

func isUp(t monitor.Tunnel) bool { return t.State == "up" || t.State == "draining" }

// links joins what both ends say.
func links(reports []report, names map[addr.NodeID]string) []LinkView {
	ends := map[Edge]map[string]monitor.Tunnel{} // by who says it
	answers := map[string]bool{}
	for _, r := range reports {
		answers[r.member.name] = r.heard || r.member.pid == 0 // the dead have no links
		for _, t := range r.tunnels {
			peer := names[t.Node]
			if peer == "" || !isUp(t) {
				continue
			}
			e := newEdge(r.member.name, peer)
			if ends[e] == nil {
				ends[e] = map[string]monitor.Tunnel{}
			}
			ends[e][r.member.name] = t
		}
	}
	all := []LinkView{}
	for e, said := range ends {
		a, byA := said[e.A]
		b, byB := said[e.B]
		if answers[e.A] && !byA || answers[e.B] && !byB {
			continue
		}
		l := LinkView{A: e.A, B: e.B, State: "up", AToB: a.Sent, BToA: b.Sent}
		if !byA {
			a, l.AToB = b, b.Received
		}
		if !byB {
			l.BToA = a.Received
		}
		if a.State == "draining" || b.State == "draining" {
			l.State = "draining"
		}
		l.Since, l.RTT, l.Suite = a.Since.UTC(), a.RTT, a.Suite
		all = append(all, l)
	}
	slices.SortFunc(all, func(x, y LinkView) int { return Edge{x.A, x.B}.compare(Edge{y.A, y.B}) })
	return all
}

// views are the edges as they are now.
func (f *firewall) views() []EdgeView {
	all := []EdgeView{}
	for _, e := range f.edges {
		v := EdgeView{A: e.A, B: e.B, Cut: f.cuts[e], Loss: float64(f.losses[e]) / 100}
		untouched := v.Cut == "" && v.Loss == 0
		if untouched && (e.B == registryName || f.topology == Full || f.topology == LAN) {
			continue
		}
		all = append(all, v)
	}
	return all
}
