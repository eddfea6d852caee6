package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"re6st/actors/monitor"
	"re6st/cmd/lab/rival"
	"re6st/protocols/babel"
	"re6st/protocols/fabric"
)

// contender is one routing daemon on one topology, as the routing benchmark sees it.
type contender interface {
	// start returns the time from the first process to the last echo of all pairs.
	start(ctx context.Context) (time.Duration, error)
	probe() *prober
	// used is an edge that packets pass by now.
	used(ctx context.Context) (Edge, error)
	// cut ends an edge: told the ends, as far as the daemon's underlay can, or in silence.
	cut(ctx context.Context, e Edge, how Cut) error
	// sent is what all nodes have sent so far.
	sent(ctx context.Context) (controlBytes, error)
	pids() []int
	close() error
}

// controlBytes are bytes with IP and UDP headers, and the links that they went by.
type controlBytes struct {
	babel, liveness, other uint64
	links                  int
}

// ours is re6st in a lab.
type ours struct {
	lab   *Lab
	hello time.Duration
}

func newOurs(ctx context.Context, o Options, hello time.Duration) (contender, error) {
	l, err := Open(ctx, o)
	return &ours{l, hello}, err
}

// start has the network take the hello interval once it is whole: its parameters come by
// the registry.
func (o *ours) start(ctx context.Context) (time.Duration, error) {
	took, err := o.lab.Start(ctx)
	if err == nil && o.hello != babel.HelloInterval {
		err = o.lab.Do(ctx, Action{Verb: verbSet, Set: fmt.Sprintf("hello_interval=%v", o.hello)})
	}
	return took, err
}

func (o *ours) probe() *prober { return o.lab.prober }
func (o *ours) close() error   { return o.lab.Close() }

// used is the middle link of the path from the first node to the last.
func (o *ours) used(ctx context.Context) (e Edge, err error) {
	names := o.lab.names
	err = o.lab.routed(ctx, func(h hops) error {
		path, err := h.path(names[0], names[len(names)-1])
		if err == nil && len(path) > 1 {
			e = newEdge(path[len(path)/2-1], path[len(path)/2])
		}
		return err
	})
	return e, err
}

func (o *ours) cut(ctx context.Context, e Edge, how Cut) error {
	return o.lab.Do(ctx, Action{Verb: verbCut, A: e.A, B: e.B, How: how})
}

// datagramHeaders are IPv4's and UDP's: the lab's links run over IPv4.
const datagramHeaders = 20 + 8

func (o *ours) sent(ctx context.Context) (sum controlBytes, err error) {
	ends := 0
	for _, name := range o.lab.alive() {
		var answer monitor.Tunnels
		if err := monitor.NewClient(o.lab.program.socket(o.lab.members[name].dir)).Get(ctx, "tunnels", &answer); err != nil {
			return sum, fmt.Errorf("lab: tunnels of %s: %w", name, err)
		}
		for _, t := range answer.Tunnels {
			if t.State == "up" {
				ends++
			}
			for kind, c := range t.ControlSent {
				bytes := c.Bytes + c.Packets*datagramHeaders
				switch kind {
				case fabric.ControlBabel.String():
					sum.babel += bytes
				case fabric.ControlProbe.String(), fabric.ControlProbeAck.String(), fabric.ControlKeepAlive.String():
					sum.liveness += bytes
				default:
					sum.other += bytes
				}
			}
		}
	}
	sum.links = ends / 2
	return sum, nil
}

func (o *ours) pids() (all []int) {
	for _, s := range o.lab.snapshot() {
		if s.pid != 0 && s.name != registryName {
			all = append(all, s.pid)
		}
	}
	return all
}

// theirs is a daemon of others.
type theirs struct {
	network *rival.Network
	prober  *prober
	names   []string
	edges   []Edge
	timeout time.Duration
}

// rivalSettle is between the making of the links and the start of daemons: a kernel says
// nothing by a link that it has just made, and babeld's first words would be lost for 16 s.
const rivalSettle = 2 * time.Second

// rivals is the folder of their networks, beside the labs.
func rivals(labs string) string { return labs + "-rivals" }

func newTheirs(d rival.Daemon, o Options, hello time.Duration) (contender, error) {
	edges, err := o.Topology.edges(o.Nodes, o.Seed)
	if err != nil {
		return nil, err
	}
	t := &theirs{prober: newProber(), names: nodeNames(o.Nodes), edges: edges, timeout: o.Timeout}
	cfg := rival.Config{Daemon: d, Nodes: t.names, Hello: hello, Folder: rivals(o.Folder)}
	for _, e := range edges {
		cfg.Edges = append(cfg.Edges, rival.Edge(e))
	}
	if t.network, err = rival.Open(cfg); err != nil {
		return nil, err
	}
	for _, name := range t.names {
		if err := t.prober.open(name, t.network.NS(name), t.network.Address(name)); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

func (t *theirs) start(ctx context.Context) (time.Duration, error) {
	if err := sleep(ctx, rivalSettle); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	began := time.Now()
	if err := t.network.Start(); err != nil {
		return 0, err
	}
	last, missing := t.prober.converge(ctx, t.names)
	if len(missing) > 0 {
		return 0, fmt.Errorf("lab: %d pairs have not answered; %s", len(missing), cmp.Or(t.network.Dead(), "all daemons run"))
	}
	return last.Sub(began), nil
}

func (t *theirs) probe() *prober { return t.prober }

// used is any: the ends of a link reach each other by it.
func (t *theirs) used(context.Context) (Edge, error) { return t.edges[len(t.edges)/2], nil }

func (t *theirs) cut(_ context.Context, e Edge, how Cut) error {
	if how == Silent {
		return t.network.Silence(rival.Edge(e))
	}
	return t.network.Down(rival.Edge(e))
}

func (t *theirs) sent(context.Context) (controlBytes, error) {
	bytes, err := t.network.BabelBytes()
	return controlBytes{babel: bytes, links: len(t.edges)}, err
}

func (t *theirs) pids() (all []int) {
	for _, name := range t.names {
		all = append(all, t.network.Pid(name))
	}
	return all
}

func (t *theirs) close() error {
	t.prober.close()
	return t.network.Close()
}
