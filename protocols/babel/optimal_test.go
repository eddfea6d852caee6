package babel_test

import (
	"testing"
	"time"

	"re6st/protocols/babel"
)

// judge has the ends of a link learn of another round trip, one a moment after the other.
func (n *network) judge(l *link, rtt time.Duration) {
	l.rtt = rtt
	for _, i := range l.ends {
		n.nodes[i].neighbors[l.id].HandleLink(n.now, true, rtt)
		n.settle(i)
		n.run(n.delay)
	}
}

// drained is the round trip that the tunnels tell of a link that is to be left.
const drained = time.Second

// It must not wait for the next full update, which is minutes away.
//
//	0 ---- 1
//	|      |
//	x      |
//	|      |
//	3 ---- 2
func TestADrainedLinkIsLeftByBothEnds(t *testing.T) {
	rtt := func(n *network) time.Duration { return time.Duration(n.rnd.Intn(10)) * time.Millisecond }
	for seed := range int64(200) {
		n := newNetwork(t, seed, 4)
		for i := range 3 {
			n.connect(i, i+1, rtt(n))
		}
		n.run(20 * time.Second)
		l := n.connect(0, 3, rtt(n))
		n.run(20 * time.Second)
		n.judge(l, drained)
		n.run(20 * time.Second)
		for _, i := range l.ends {
			if path, _ := n.walk(i, 0, l.peer(i)); len(path) != 4 {
				t.Errorf("seed %d: node %d still goes by %v", seed, i, path)
			}
		}
	}
}

func (l *link) cost() int {
	return int(min(babel.BaseCost+l.rtt/time.Millisecond, babel.MaxLinkCost))
}

// best is what the best path between any two nodes costs.
func (n *network) best() [][]int {
	const none = 1 << 20
	best := make([][]int, len(n.nodes))
	for i := range best {
		best[i] = make([]int, len(n.nodes))
		for j := range best[i] {
			if i != j {
				best[i][j] = none
			}
		}
	}
	for _, l := range n.links {
		a, b := l.ends[0], l.ends[1]
		best[a][b] = min(best[a][b], l.cost())
		best[b][a] = best[a][b]
	}
	for k := range best {
		for i := range best {
			for j := range best {
				best[i][j] = min(best[i][j], best[i][k]+best[k][j])
			}
		}
	}
	return best
}

// spent is what the path that packets take from one node to another costs.
func (n *network) spent(from, to int) (cost int) {
	n.t.Helper()
	path, arrived := n.walk(from, 0, to)
	if !arrived {
		n.t.Fatalf("from %d to %d packets go by %v", from, to, path)
	}
	for _, at := range path[:len(path)-1] {
		id, _ := n.nodes[at].table.View().Relay(0, nodeID(to))
		cost += n.links[id].cost()
	}
	return cost
}

// A change of metric of less than 64 need not be told at once, nor need a better way be asked
// for that is better by less; on a path of two or three links that adds up.
func TestPathsFollowLinksThatBecomeBetterAndWorse(t *testing.T) {
	const tolerated = 150
	for seed := range int64(40) {
		n := newNetwork(t, seed, 7)
		links := n.random(5)
		n.run(20 * time.Second)
		for step := range 12 {
			rtt := time.Duration(n.rnd.Intn(100)) * time.Millisecond
			if n.rnd.Intn(2) == 0 {
				rtt = drained
			}
			n.judge(links[n.rnd.Intn(len(links))], rtt)
			n.run(30 * time.Second)
			for from, row := range n.best() {
				for to, best := range row {
					if spent := n.spent(from, to); spent > best+tolerated {
						t.Errorf("seed %d, step %d: from %d to %d packets go by a path of %d, the best has %d", seed, step, from, to, spent, best)
					}
				}
			}
		}
	}
}
