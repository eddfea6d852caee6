package simnet

import (
	"fmt"
	"time"
)

// convergeWithin is how long a network may take to be whole for the first time.
const convergeWithin = 2 * time.Minute

// restartTakes is how long a node that restarts is away.
const restartTakes = 300 * time.Millisecond

// StepReport is what came of one step.
type StepReport struct {
	Line int    `json:"line"` // 0: the start
	Text string `json:"text"`
	// At is when the step began, and Took how long after the last action what it expects
	// was so; seconds of virtual time.
	At   float64 `json:"at_s"`
	Took float64 `json:"took_s"`
	OK   bool    `json:"ok"`
	Says string  `json:"says,omitempty"` // why it is not
}

// Play waits until the network is whole and then does what the scenario says, line by
// line; after each it calls say. It stops where an expectation is not met, which the
// last report says, and with an error where an action cannot be done or Err is not nil.
func (n *Network) Play(s *Scenario, say func(StepReport)) (ok bool, err error) {
	start := Step{Text: "start all, expect whole", Expect: &Expect{What: wordWhole, Within: convergeWithin}}
	n.acted = n.now
	if ok, err = n.step(start, 0, say); !ok || err != nil {
		return false, err
	}
	begin := n.Now()
	for _, step := range s.Steps {
		if ok, err = n.step(step, begin, say); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (n *Network) step(s Step, begin time.Duration, say func(StepReport)) (bool, error) {
	if s.Timed {
		if err := n.Run(begin + s.At - n.Now()); err != nil {
			return false, err
		}
	}
	r := StepReport{Line: s.Line, Text: s.Text, At: n.Now().Seconds(), OK: true}
	var err error
	if s.Action != nil {
		err = n.Do(*s.Action)
	} else {
		r, err = n.expect(*s.Expect, r)
	}
	if err != nil {
		return false, fmt.Errorf("line %d, %s: %w", s.Line, s.Text, err)
	}
	say(r)
	return r.OK, nil
}

func (n *Network) expect(e Expect, r StepReport) (StepReport, error) {
	is := n.Whole
	if e.What == wordClean {
		is = n.Clean
	}
	until := time.Duration(n.acted) + e.Within
	if e.For > 0 {
		until = n.Now() + e.For
	}
	for {
		since, yes := is()
		switch {
		case e.For > 0 && !yes:
			r.OK, r.Says = false, n.missing(e.What)
			return r, nil
		case e.For == 0 && yes:
			r.Took = max(0, since-time.Duration(n.acted)).Seconds()
			return r, nil
		}
		if !n.Advance(until) {
			break
		}
	}
	if r.Took = e.For.Seconds(); e.For == 0 {
		r.Took = time.Duration(n.now - n.acted).Seconds()
		r.OK, r.Says = false, n.missing(e.What)
	}
	return r, n.problem
}

// Do acts on the network now. An action that takes time lets it pass.
func (n *Network) Do(a Action) error {
	for _, i := range []int{a.A, a.B} {
		if i > len(n.nodes) {
			return fmt.Errorf("%w: %s is no node here, the last is %s", ErrAction, nodeName(int32(i-1)), nodeName(int32(len(n.nodes)-1)))
		}
	}
	switch a.Verb {
	case verbWait:
		return n.Run(a.Time)
	case verbRestart:
		return n.restart(a)
	case verbFlap:
		return n.flap(a)
	}
	err := n.do(a)
	n.acted = n.now
	n.check.settle()
	return err
}

func (n *Network) do(a Action) error {
	switch a.Verb {
	case verbKill, verbStart:
		if a.Registry {
			n.dead = a.Verb == verbKill
			return nil
		}
		for _, i := range n.chosen(a) {
			if a.Verb == verbKill {
				n.kill(i)
			} else {
				n.start(i)
			}
		}
		return nil
	case verbRogue:
		return n.rogue(int32(a.A-1), int32(a.B-1))
	case verbSplit:
		for _, i := range n.across() {
			n.mute(i, 0, true)
			n.mute(i, 1, true)
		}
		return nil
	}
	edges, err := n.between(a)
	for _, i := range edges {
		if err == nil {
			err = n.doEdge(a, i)
		}
	}
	return err
}

func (n *Network) doEdge(a Action, i int32) error {
	e := &n.edges[i]
	switch a.Verb {
	case verbCut:
		n.mute(i, 0, true)
		n.mute(i, 1, true)
	case verbMute:
		n.mute(i, n.nodes[a.A-1].endOf(e), true)
	case verbHeal:
		n.mute(i, 0, false)
		n.mute(i, 1, false)
	case verbLoss:
		e.loss = a.Share
	case verbDelay:
		return n.delay(i, a.Time)
	case verbRekey:
		n.rekey(i)
	}
	return nil
}

// chosen are the nodes of an action: one, all, or a share of those that run.
func (n *Network) chosen(a Action) (nodes []int32) {
	if a.A > 0 {
		return []int32{int32(a.A - 1)}
	}
	for i := range n.nodes {
		if a.Share == 0 || n.nodes[i].alive {
			nodes = append(nodes, int32(i))
		}
	}
	if a.Share == 0 {
		return nodes
	}
	few := int(a.Share*float64(len(nodes)) + 0.5)
	for i := range few { // the first of a shuffle
		j := i + int(n.control.below(int64(len(nodes)-i)))
		nodes[i], nodes[j] = nodes[j], nodes[i]
	}
	return nodes[:few]
}

// across are the edges between the first half of the nodes and the second.
func (n *Network) across() (edges []int32) {
	half := int32(len(n.nodes) / 2)
	if n.isMesh() {
		for a := range half {
			for b := half; b < int32(len(n.nodes)); b++ {
				edges = append(edges, n.edgeOf(a, b))
			}
		}
		return edges
	}
	for i, e := range n.edges {
		if e.ends[0] < half && e.ends[1] >= half {
			edges = append(edges, int32(i))
		}
	}
	return edges
}

// between are the edges of an action: the one between two nodes, or all.
func (n *Network) between(a Action) (edges []int32, err error) {
	if a.A == 0 {
		for i := range n.edges {
			edges = append(edges, int32(i))
		}
		if a.Verb == verbLoss {
			n.cfg.Loss = a.Share // of edges that come later
		}
		return edges, nil
	}
	if i := n.edgeOf(int32(a.A-1), int32(a.B-1)); i != none {
		return []int32{i}, nil
	}
	return nil, fmt.Errorf("%w: no edge between n%d and n%d", ErrAction, a.A, a.B)
}

// restart restarts nodes, one after the other where there is a time between them.
func (n *Network) restart(a Action) error {
	nodes := n.chosen(Action{A: a.A})
	groups := [][]int32{nodes}
	if a.Time > 0 {
		groups = nil
		for _, i := range nodes {
			groups = append(groups, []int32{i})
		}
	}
	for _, group := range groups {
		for _, verb := range []string{verbKill, verbStart} {
			for _, i := range group {
				if err := n.do(Action{Verb: verb, A: int(i) + 1}); err != nil {
					return err
				}
			}
			n.acted = n.now
			n.check.settle()
			pass := restartTakes
			if verb == verbStart {
				pass = max(0, a.Time-restartTakes)
			}
			if err := n.Run(pass); err != nil {
				return err
			}
		}
	}
	return nil
}

// flap cuts and heals an edge again and again, for half of the time each.
func (n *Network) flap(a Action) error {
	for range a.Count {
		for _, verb := range []string{verbCut, verbHeal} {
			if err := n.Do(Action{Verb: verb, A: a.A, B: a.B}); err != nil {
				return err
			}
			if err := n.Run(a.Time / 2); err != nil {
				return err
			}
		}
	}
	return nil
}

// missing names one thing that keeps the network from being whole, or clean.
func (n *Network) missing(what string) string {
	for d := range n.check.columns {
		col, dest := &n.check.columns[d], int32(d)
		prefix, origin := n.key(dest).Prefix, nodeName(n.originator(dest))
		switch {
		case !col.whole:
			return fmt.Sprintf("%d of %d nodes have a route to %s of %s, or one does not arrive", col.routes, col.expected, prefix, origin)
		case what == wordClean && col.routes != col.expected:
			return fmt.Sprintf("%d nodes have a route to %s of %s, which %d can reach", col.routes, prefix, origin, col.expected)
		case what == wordClean && col.lost > 0:
			return fmt.Sprintf("%d nodes hold %s of %s as unreachable", col.lost, prefix, origin)
		}
	}
	return ""
}
