package simnet

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/rib"
)

// Config is what a Network is made of. The zero fields have the values that are named.
type Config struct {
	Nodes       int
	Topology    Topology      // Random
	Degree      int           // of Random: edges; of Mesh: links that a node opens, and half of those that it accepts; 10
	Originators int           // nodes that have prefixes, evenly spread; all
	Ranges      int           // prefixes of an originator beside its locator
	Seed        uint64        // of all that is drawn
	Least, Most time.Duration // one-way latency of an edge, drawn once: 5 ms to 50 ms
	Loss        float64       // share of packets that are lost, 0 to 1
	Trusting    bool          // nobody asks whether a route comes from who may announce it
	MTU         int           // bytes of a routing packet that pass an edge; babel.DefaultPacket
	Shards      int           // parts that may run at the same time; 1

	// Each calls do for 0 to n-1, in any order or at the same time, and returns when all
	// have returned. Nil: in turn.
	Each func(n int, do func(i int))
	// Stop is asked before each window; what it returns ends the simulation. Nil: never.
	Stop func() error
}

// Defaults of a Config.
const (
	DefaultDegree = 10
	DefaultLeast  = 5 * time.Millisecond
	DefaultMost   = 50 * time.Millisecond
)

// orDefault is c with its defaults, or what is wrong with it.
func (c Config) orDefault() (Config, error) {
	c.Topology = cmp.Or(c.Topology, Random)
	c.Degree = cmp.Or(c.Degree, DefaultDegree)
	c.Originators = cmp.Or(c.Originators, c.Nodes)
	c.Least, c.MTU, c.Shards = cmp.Or(c.Least, DefaultLeast), cmp.Or(c.MTU, babel.DefaultPacket), cmp.Or(c.Shards, 1)
	if c.Most == 0 {
		c.Most = max(DefaultMost, c.Least)
	}
	if c.Each == nil {
		c.Each = inTurn
	}
	for _, b := range []struct {
		what            string
		is, least, most int
	}{
		{"nodes", c.Nodes, MinNodes, MaxNodes},
		{"edges of a node", c.Degree, 1, MaxDegree},
		{"originators", c.Originators, 1, c.Nodes},
		{"ranges", c.Ranges, 0, MaxRanges},
		{"bytes of MTU", c.MTU, MinMTU, babel.MaxPacket},
		{"shards", c.Shards, 1, MaxShards},
	} {
		if b.is < b.least || b.is > b.most {
			return c, fmt.Errorf("%w: %d %s; from %d to %d are possible", ErrConfig, b.is, b.what, b.least, b.most)
		}
	}
	switch {
	case c.Least < MinLatency || c.Most > MaxLatency || c.Most < c.Least:
		return c, fmt.Errorf("%w: latencies from %v to %v; from %v to %v are possible", ErrConfig, c.Least, c.Most, MinLatency, MaxLatency)
	case !(c.Loss >= 0 && c.Loss < 1):
		return c, fmt.Errorf("%w: a loss of %v; from 0 to less than 1 is possible", ErrConfig, c.Loss)
	case c.Topology == Mesh && (c.Nodes > MaxMesh || c.Originators != c.Nodes):
		return c, fmt.Errorf("%w: a mesh of %d nodes and %d originators; at most %d are possible, each an originator", ErrConfig, c.Nodes, c.Originators, MaxMesh)
	case int64(c.Nodes)*int64(c.Originators)*int64(1+c.Ranges) > MaxCells:
		return c, fmt.Errorf("%w: %d nodes by %d prefixes are more than %d next hops; take fewer originators",
			ErrConfig, c.Nodes, c.Originators*(1+c.Ranges), MaxCells)
	}
	return c, nil
}

func inTurn(n int, do func(i int)) {
	for i := range n {
		do(i)
	}
}

// Network is nodes, the edges between them, and the time. It has a single owner.
type Network struct {
	cfg    Config
	now    int64 // ns since the start, a multiple of window
	window int64 // ns
	nodes  []node
	edges  []edge
	around [][]int32 // the edges of each node
	links  []link
	shards []*shard
	check  *checker

	acts    acts
	actSeq  uint64
	opSeq   uint64
	control source             // what the control draws
	pairs   map[[2]int32]int32 // edges by their ends
	dead    bool               // the registry

	wholeAt  int64 // since when it is whole; notWhole
	cleanAt  int64
	acted    int64 // when the network was acted on last
	problem  error
	locators netip.Prefix
}

// notWhole is the wholeAt of a network that is not.
const notWhole = math.MaxInt64

// epoch is the time at the start; machines see epoch and what has passed since.
var epoch = time.Unix(1_800_000_000, 0).UTC()

var simLocators = netip.MustParsePrefix("fd73:696d:6e65:7400::/64")

// edge is a way of the underlay between two nodes, from the lower to the higher one.
type edge struct {
	ends    [2]int32
	latency int64   // ns, one way
	silent  [2]bool // what this end sends is lost
	loss    float64 // share of packets
	version uint32  // counts changes of silent
	link    int32   // the one that was made last, while an end holds it; none
	dialing bool
}

const none = -1

// passes tells whether packets pass in both directions.
func (e *edge) passes() bool { return !e.silent[0] && !e.silent[1] }

// link is a session over an edge: what a handshake makes.
type link struct {
	edge  int32
	slots [2]int32 // where each end holds it; none
	held  [2]bool  // as the control knows: slots, or an attach under way
}

// New is a network whose nodes start at the first Advance.
func New(cfg Config) (*Network, error) {
	cfg, err := cfg.orDefault()
	if err != nil {
		return nil, err
	}
	pairs, err := cfg.Topology.pairs(cfg.Nodes, cfg.Degree, cfg.Seed)
	if err != nil {
		return nil, err
	}
	if len(pairs) > MaxLinks {
		return nil, fmt.Errorf("%w: %d edges; at most %d are possible", ErrConfig, len(pairs), MaxLinks)
	}
	n := &Network{
		cfg: cfg, window: int64(cfg.Least), nodes: make([]node, cfg.Nodes), around: make([][]int32, cfg.Nodes),
		pairs: map[[2]int32]int32{}, control: draw(cfg.Seed, 1), wholeAt: notWhole, cleanAt: notWhole, locators: simLocators,
	}
	for _, p := range pairs {
		n.addEdge(p)
		for _, i := range p {
			if len(n.around[i]) > MaxDegree {
				return nil, fmt.Errorf("%w: more than %d edges at %s; take another topology or fewer nodes", ErrConfig, MaxDegree, nodeName(i))
			}
		}
	}
	n.check = newChecker(n)
	for i := range cfg.Shards {
		n.shards = append(n.shards, newShard(n, i))
	}
	for i := range n.nodes {
		n.nodes[i].init(n, int32(i))
		n.start(int32(i))
	}
	return n, nil
}

func (n *Network) addEdge(ends [2]int32) int32 {
	r := draw(n.cfg.Seed, 2, uint64(ends[0]), uint64(ends[1]))
	e := edge{ends: ends, loss: n.cfg.Loss, link: none, latency: int64(n.cfg.Least)}
	if span := int64(n.cfg.Most - n.cfg.Least); span > 0 {
		e.latency += r.below(span + 1)
	}
	i := int32(len(n.edges))
	for _, node := range ends {
		n.around[node] = append(n.around[node], i)
	}
	n.edges, n.pairs[ends] = append(n.edges, e), i
	return i
}

// edgeOf is the edge between two nodes; none where there is none and the nodes do not
// make them as they go.
func (n *Network) edgeOf(a, b int32) int32 {
	ends := [2]int32{min(a, b), max(a, b)}
	i, ok := n.pairs[ends]
	switch {
	case ok:
		return i
	case !n.isMesh() || a == b:
		return none
	}
	return n.addEdge(ends)
}

func (n *Network) isMesh() bool { return n.cfg.Topology == Mesh }

// nodeName is n1 for the first node.
func nodeName(i int32) string { return fmt.Sprintf("n%d", i+1) }

// at is a time as the machines see it.
func at(ns int64) time.Time { return epoch.Add(time.Duration(ns)) }

// Now is how much time has passed.
func (n *Network) Now() time.Duration { return time.Duration(n.now) }

// Err is what broke: ErrLoop, ErrFeasible or ErrDriver, or what Config.Stop said; nil where
// nothing did.
func (n *Network) Err() error { return n.problem }

// Whole tells since when each running node reaches all that the underlay has a path to.
func (n *Network) Whole() (since time.Duration, ok bool) {
	return time.Duration(n.wholeAt), n.wholeAt != notWhole
}

// Clean tells since when the network is whole, and holds no route to what is not there.
func (n *Network) Clean() (since time.Duration, ok bool) {
	return time.Duration(n.cleanAt), n.cleanAt != notWhole
}

// Hash is that of all that was sent: of each node's packets, in its order, with their
// times and links.
func (n *Network) Hash() string {
	h := sha256.New()
	for i := range n.nodes {
		h.Write(n.nodes[i].hash.Sum(nil))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// destinations is how many prefixes there are.
func (n *Network) destinations() int { return n.cfg.Originators * (1 + n.cfg.Ranges) }

// originator is the node that has a prefix.
func (n *Network) originator(dest int32) int32 {
	o := int64(dest) / int64(1+n.cfg.Ranges)
	return int32(o * int64(n.cfg.Nodes) / int64(n.cfg.Originators))
}

// firstDest is the first prefix of a node; none where it has none.
func (n *Network) firstDest(node int32) int32 {
	nodes, originators := int64(n.cfg.Nodes), int64(n.cfg.Originators)
	o := (int64(node)*originators + nodes - 1) / nodes
	if o >= originators || o*nodes/originators != int64(node) {
		return none
	}
	return int32(o) * int32(1+n.cfg.Ranges)
}

func nodeID(i int32) addr.NodeID { return addr.NodeIDFromUint64(uint64(i) + 1) }

// key is the route of a prefix: the originator's locator, or a /64 of one of its ranges.
func (n *Network) key(dest int32) rib.Key {
	node, rng := n.originator(dest), dest%int32(1+n.cfg.Ranges)
	if rng == 0 {
		return rib.Key{Prefix: netip.PrefixFrom(addr.Locator(n.locators, nodeID(node)), 128)}
	}
	b := [16]byte{0xfd, 0x72, 0, byte(rng)}
	binary.BigEndian.PutUint32(b[4:], uint32(node))
	return rib.Key{Prefix: netip.PrefixFrom(netip.AddrFrom16(b), 64)}
}

// origins judges announcements as claim.Store does once all claims have arrived: an
// originator's prefix is its own.
func (n *Network) origins(a babel.Announcement) babel.Standing {
	if a.Egress == nodeID(n.originator(n.dest(a.Key))) {
		return babel.Claimed
	}
	return babel.Barred
}

// dest is the inverse of key.
func (n *Network) dest(key rib.Key) int32 {
	b := key.Prefix.Addr().As16()
	if key.Prefix.Bits() == 128 {
		return n.firstDest(int32(binary.BigEndian.Uint64(b[8:])) - 1)
	}
	return n.firstDest(int32(binary.BigEndian.Uint32(b[4:]))) + int32(b[3])
}
