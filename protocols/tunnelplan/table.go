package tunnelplan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Source is who told of a peer, in rising order of trust.
type Source uint8

// Where peers are heard of.
const (
	Gossip     Source = iota + 1 // a neighbor's peer exchange: hearsay
	LAN                          // an announcement on a local network
	Remembered                   // a link to it was up before this start
	Registry                     // the registry's answer
	Direct                       // its own hello, on a link to it
)

func (s Source) String() string {
	switch s {
	case Gossip:
		return "gossip"
	case LAN:
		return "lan"
	case Remembered:
		return "remembered"
	case Registry:
		return "registry"
	case Direct:
		return "direct"
	}
	return "unknown"
}

// Peer is what is known of another node.
type Peer struct {
	ID        addr.NodeID
	Prefix    addr.Bits
	Endpoints []netip.AddrPort // where to dial it, best first
	Static    [32]byte         // its X25519 key; zero: unknown
	TLSPort   uint16           // where it serves TLS; 0: not known
	Country   string           // as it says, or NoCountry; "": it was not heard
	Seen      time.Time        // when it was last known to be alive; zero or in the future: now
	Source    Source           // the most trusted who told of it; set by the planner
}

// Role is a node's part in the making of a link.
type Role uint8

// The roles.
const (
	Opened   Role = iota + 1 // this node dialled
	Accepted                 // the peer dialled
)

type linkState uint8

const (
	idle linkState = iota
	dialing
	up
	closing // up, until HandleDown
)

// peer is a row of the table: what is known of a node, and the link with it.
type peer struct {
	Peer
	lanUntil time.Time      // on a local network until then
	proven   time.Time      // when a link to it was last up; zero: never
	worked   netip.AddrPort // where it was last dialled with success
	vouched  bool           // more than hearsay: someone trusted told of it, or routes led to it

	failures  int       // dials failed since the last success
	notBefore time.Time // next dial
	lost      time.Time // when a link to it was last lost
	shunned   time.Time // until then, as what drove the links to it failed
	shuns     int       // in a row

	state  linkState
	since  time.Time // of state
	role   Role
	lan    bool // dialled or accepted beside the limits, as on the LAN
	repair bool // dialled beyond the limit

	preferred, barred bool // by the rules

	load     load      // exchanged with it, end to end, by whatever way
	away     int       // how many links away it is by routes
	hotSince time.Time // its load is enough for a shortcut since then; zero: it is not
	shortcut bool      // dialled or accepted for its load
	carried  load      // by the link with it, whoever's
	calm     time.Time // since when that is too little for a shortcut; zero: it is not
	useful   bool      // it was enough at some time
	tries    int       // shortcuts in a row that came to nothing
	restNext time.Time // no shortcut before

	use       LinkUse
	reachable bool // by routing, or by a link
	adjacent  bool // a neighbor of ours by an interface that is not a link

	invited  bool // dialled because the peer asked: its link, not this node's
	nonce    uint64
	meets    int       // times that it was asked in this dial
	meetNext time.Time // not again before
	met      bool      // in this dial both ends dialled at the same time
	heedNext time.Time // it is not heeded before, should it ask
	nat      nat.Kind  // that it is behind, by its answer
	obstacle nat.Obstacle

	drainSince time.Time // zero: not draining
	drainFor   CloseReason
	keepUntil  time.Time // draining it was in vain
}

func (q *peer) linked() bool { return q.state == up || q.state == closing }

// table holds the peers, sorted by id, so that no order is left to chance.
type table []*peer

func (t table) find(id addr.NodeID) (int, bool) {
	return slices.BinarySearchFunc(t, id, func(q *peer, id addr.NodeID) int { return q.ID.Compare(id) })
}

func (t table) get(id addr.NodeID) *peer {
	if i, ok := t.find(id); ok {
		return t[i]
	}
	return nil
}

// add is the row of id, new if need be. It is nil where the table is full of
// better ones than a peer known by source and seen then.
func (t *table) add(id addr.NodeID, source Source, seen time.Time) *peer {
	i, ok := t.find(id)
	if ok {
		return (*t)[i]
	}
	if len(*t) >= MaxPeers {
		if !t.evict(source, seen) {
			return nil
		}
		i, _ = t.find(id)
	}
	q := &peer{Peer: Peer{ID: id, Seen: seen, Source: source}}
	*t = slices.Insert(*t, i, q)
	return q
}

// evict drops the row that is worth the least, if it is worth less than a peer
// known by source and seen then. Hearsay thus never displaces what is vouched for.
func (t *table) evict(source Source, seen time.Time) bool {
	worst := -1
	for i, q := range *t {
		if q.state == idle && (worst < 0 || q.worth((*t)[worst]) < 0) {
			worst = i
		}
	}
	if worst < 0 {
		return false
	}
	newcomer := peer{Peer: Peer{Seen: seen, Source: source}, vouched: source > LAN}
	if newcomer.worth((*t)[worst]) <= 0 {
		return false
	}
	*t = slices.Delete(*t, worst, worst+1)
	return true
}

// worth compares what it costs to forget q and o.
func (q *peer) worth(o *peer) int {
	return cmp.Or(
		q.proven.Compare(o.proven),
		cmpBool(q.vouched, o.vouched),
		q.Seen.Compare(o.Seen),
	)
}

func cmpBool(a, b bool) int {
	if a == b {
		return 0
	} else if a {
		return 1
	}
	return -1
}

// learn merges what source says into q. Hearsay adds addresses behind the others,
// so that two nodes that tell each other come to an end, and never changes the key
// or the prefix that a better source told. Where a LAN's beacon came from goes first:
// it was there a moment ago, and there is no shorter way.
func (q *peer) learn(now time.Time, source Source, in Peer) {
	seen := in.Seen
	if seen.IsZero() || seen.After(now) {
		seen = now
	}
	if seen.After(q.Seen) {
		q.Seen = seen
	}
	if source == LAN {
		q.lanUntil = now.Add(LANLifetime)
	}
	first, second := in.Endpoints, q.Endpoints
	if source != LAN && (source < q.Source || source == Gossip) {
		first, second = second, first
	}
	q.Endpoints = mergeEndpoints([]netip.AddrPort{q.worked}, first, second)
	if source >= q.Source {
		q.Prefix = in.Prefix
		if in.Static != [32]byte{} {
			q.Static = in.Static
		}
	}
	if in.TLSPort != 0 && (q.TLSPort == 0 || source > Gossip && source >= q.Source) {
		q.TLSPort = in.TLSPort
	}
	if in.Country != "" && (source == Direct || q.Country == "") {
		q.Country = in.Country
	}
	q.Source = max(q.Source, source)
	q.vouched = q.vouched || source > LAN
}

// mergeEndpoints joins the lists in order, without repetition, in a new slice.
func mergeEndpoints(lists ...[]netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, list := range lists {
		for _, e := range list {
			if len(out) < MaxEndpoints && e.IsValid() && e.Port() != 0 && !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
	}
	return out
}

// public is a copy of q for the world outside.
func (q *peer) public() Peer {
	p := q.Peer
	p.Endpoints = slices.Clone(q.Endpoints)
	return p
}
