package simnet

import (
	"re6st/protocols/babel"
)

// ReportVersion is that of the JSON of a Report.
const ReportVersion = 1

// Report is what came of a simulation. Times are seconds of virtual time.
type Report struct {
	Version     int          `json:"version"`
	Topology    Topology     `json:"topology"`
	Nodes       int          `json:"nodes"`
	Edges       int          `json:"edges"`
	Links       int          `json:"links"` // that both ends hold at the end
	Originators int          `json:"originators"`
	Prefixes    int          `json:"prefixes"`
	Seed        uint64       `json:"seed"`
	OK          bool         `json:"ok"`
	Problem     string       `json:"problem,omitempty"` // the invariant that was broken
	Steps       []StepReport `json:"steps"`
	Virtual     float64      `json:"virtual_s"`
	Sent        Totals       `json:"sent"`
	BytesNode   float64      `json:"bytes_node"` // sent by a node, the mean
	BytesLink   float64      `json:"bytes_link"` // sent over an edge in both directions, the mean
	Tables      Tables       `json:"tables"`
	Checks      Checks       `json:"checks"`
	Hash        string       `json:"hash"` // of all that was sent
}

// Tables are the sizes of the routers' tables at the end, of Nodes nodes.
type Tables struct {
	Nodes    int     `json:"nodes"`
	Routes   float64 `json:"routes"` // the mean
	Most     int     `json:"most_routes"`
	Sources  float64 `json:"sources"`
	Requests int     `json:"requests"` // pending, all in all
}

// Report is what came of it until now, but for the steps and whether they were OK.
func (n *Network) Report() Report {
	r := Report{
		Version: ReportVersion, Topology: n.cfg.Topology, Nodes: len(n.nodes), Edges: len(n.edges), Originators: n.cfg.Originators,
		Prefixes: n.destinations(), Seed: n.cfg.Seed, Steps: []StepReport{}, Virtual: n.Now().Seconds(), Tables: n.tables(), Hash: n.Hash(),
	}
	for l := range n.links {
		r.Links += int(count(n.check.isHeld(int32(l))))
	}
	for i := range n.nodes {
		r.Sent.add(n.nodes[i].count)
	}
	for _, p := range n.check.parts {
		r.Checks.Loops += p.Loops
		r.Checks.Feasible += p.Feasible
		r.Checks.Columns += p.Columns
	}
	r.BytesNode = float64(r.Sent.Bytes) / float64(r.Nodes)
	r.BytesLink = float64(r.Sent.Bytes) / float64(max(1, r.Edges))
	if n.problem != nil {
		r.Problem = n.problem.Error()
	}
	return r
}

// tables counts those of sampleTables running nodes, evenly spread.
func (n *Network) tables() (t Tables) {
	sources := 0
	routes := 0
	for k := range min(sampleTables, len(n.nodes)) {
		d := &n.nodes[k*len(n.nodes)/min(sampleTables, len(n.nodes))]
		if d.router == nil {
			continue
		}
		s := d.router.Status()
		t.Nodes++
		t.Most = max(t.Most, learned(s))
		t.Requests += s.Requests
		routes += learned(s)
		sources += s.Sources
	}
	t.Routes, t.Sources = float64(routes)/float64(max(1, t.Nodes)), float64(sources)/float64(max(1, t.Nodes))
	return t
}

// learned counts the routes that neighbors announced.
func learned(s babel.Status) (n int) {
	for _, nb := range s.Neighbors {
		n += nb.Routes
	}
	return n
}
