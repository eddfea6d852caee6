package fabric

import (
	"crypto/subtle"
	"io"
	"net/netip"
	"slices"
	"time"
)

// A link goes on when an address changes at either end, with the same keys. As in
// QUIC (RFC 9000 section 9), whose words these are: a frame of the peer from a new
// address is a sign that it moved; before it gets more than answers there, it answers
// a challenge from there. Challenges and their responses move nobody: by them a link
// whose path has become silent tries others, and takes the first that answers.
//
//	peer moved:    frame, new path ->   <- challenge   response ->       path in use
//	path silent:   challenges by all others ->   <- response   probe ->  peer moved
//	silent, back:  challenges, 3 in a row answered                       path in use
const (
	// ChallengeEvery is how often a peer that has moved is challenged.
	ChallengeEvery = ProbeInterval / 2
	// ChallengeFor is for how long a response counts.
	ChallengeFor = 2 * time.Second
	// HomeFirst and HomeLast are how far apart are the rounds in which the path that
	// was left for its silence is tried again, doubling. HomeAnswers in a row take the
	// link back; each has HomePatience, or twice the round trip.
	HomeFirst    = 5 * time.Second
	HomeLast     = 5 * time.Minute
	HomeAnswers  = 3
	HomePatience = time.Second
	// HoldLast is for how long at most an end does not follow the peer again, doubling from
	// twice ProbeInterval and the round trip with each move within HomeFirst of the last.
	HoldLast = 2 * time.Second

	challengeLen      = 8
	maxChallenges     = 4 * (MaxPaths + 2*MaxCarrierPaths)
	maxNewestCounters = 16
)

// intent is what a challenge is for.
type intent uint8

const (
	toFollow  intent = iota // the peer, which moved
	toReplace               // the path in use, which is silent
	toReturn                // to the path that was left
	toUpgrade               // to a better carrier
)

// challenge is one that waits for its response.
type challenge struct {
	token [challengeLen]byte
	path  Path
	why   intent
	sent  time.Time
}

// pathChecks is what a link knows of other paths than that in use.
type pathChecks struct {
	movedAt    time.Time // to the path in use, without a handshake
	newest     map[uint32]uint64
	challenges []challenge // oldest first
	followNext time.Time
	ready      Path // answered a challenge while the path in use was silent
	left       Path // by this end's own will
	holdUntil  time.Time
	hold       time.Duration // until holdUntil, from the last move on

	home        Path // left for its silence; zero: none
	homeNext    time.Time
	homeWait    time.Duration // until the next round
	homeAnswers int           // in a row
	homeAsked   bool
	wentHome    bool // by this end's own will, since it was last led out of a tunnel
}

// take notes the path of a handshake.
func (l *Link) take(p Path) {
	if l.paths.current != p {
		l.kept = keptCookie{} // it was for another way
	}
	l.paths.use(p)
}

// SetUplinks tells the addresses of this node, best first. Where that of the path in
// use is gone the link moves at once; where a better interface has come it moves once
// that has proved to lead to the peer.
func (l *Link) SetUplinks(now time.Time, uplinks []Uplink) {
	l.paths.uplinks = slices.Clone(uplinks)
	if !l.IsUp() {
		return
	}
	p := &l.paths
	if !p.has(p.home) {
		p.home, p.homeNext = Path{}, time.Time{}
	}
	if p.has(p.under) { // a tunnel goes where the path below it goes
		if best, ok := p.better(); ok && p.home == (Path{}) {
			p.home, p.homeWait = best, HomeFirst
			p.restAtHome(now)
		}
		return
	}
	next := Path{Remote: p.under.Remote, Carrier: p.under.Carrier}
	if under := p.underlays(); len(under) > 0 {
		next = under[max(0, slices.IndexFunc(under, func(q Path) bool { return q.Carrier == p.under.Carrier }))]
	}
	l.lead(now, next)
	l.challengeOthers(now)
}

// SetEndpoints tells where else the peer may be, best first.
func (l *Link) SetEndpoints(endpoints []netip.AddrPort) {
	l.paths.endpoints = slices.Clone(endpoints[:min(len(endpoints), MaxEndpoints)])
}

// Path is the way that is used; the zero Path before Up.
func (l *Link) Path() Path { return l.paths.current }

// lead moves by this end's own will. Frames of the peer that are still on the path that
// was left are no sign for a while; and where both ends lead, the one with the greater
// node id is followed.
func (l *Link) lead(now time.Time, p Path) {
	left := l.paths.current
	l.move(now, p)
	l.paths.left = left
	l.stay(now, l.holdFirst())
}

// stay has this end not follow for a while.
func (l *Link) stay(now time.Time, hold time.Duration) {
	l.paths.hold, l.paths.holdUntil = hold, now.Add(hold)
}

func (l *Link) holdFirst() time.Duration { return 2 * (ProbeInterval + l.liveness.rtt.smoothed) }

// follow moves after the peer. Where that followed this end meanwhile both have changed places:
// so the one with the greater node id stays for a while, for longer each time.
func (l *Link) follow(now time.Time, path Path) {
	p := &l.paths
	hold := l.holdFirst()
	if now.Sub(p.movedAt) < HomeFirst {
		hold = max(hold, min(2*p.hold, HoldLast))
	}
	l.move(now, path)
	p.left = Path{}
	l.stay(now, hold)
}

// holds tells whether a frame's path is not to be followed, for now.
func (l *Link) holds(now time.Time, p Path) bool {
	return now.Before(l.paths.holdUntil) && (l.paths.left.covers(p) || l.self().Compare(l.peer) > 0)
}

// move has the link go on by another path, and shows it to the peer.
func (l *Link) move(now time.Time, p Path) {
	l.paths.holdUntil = time.Time{}
	l.take(p)
	l.paths.movedAt, l.paths.ready = now, Path{}
	if p == l.paths.home {
		l.paths.home, l.paths.homeNext = Path{}, time.Time{}
	}
	l.missTunnel(now)
	l.liveness.moved(now)
	l.planUpgrade(now)
	l.out.put(Use{l.ring.current.session, p})
	l.probe(now)
}

// see looks where a frame came from that the peer sent by the path that it uses: all
// but challenges, responses and acknowledgements, which go back where they came from. Of
// those under one key only the newest counts: others were overtaken.
func (l *Link) see(now time.Time, f ControlFrame) {
	p := &l.paths
	if !l.up || !f.Path.Remote.IsValid() || !p.isNewest(f) {
		return
	}
	switch {
	case !p.current.covers(f.Path):
		if !now.Before(p.followNext) && !l.holds(now, f.Path) {
			p.followNext = now.Add(ChallengeEvery)
			l.challenge(now, f.Path, toFollow)
		}
	case p.current != f.Path: // where the kernel's choice led
		p.use(f.Path)
		l.out.put(Use{l.ring.current.session, f.Path})
	}
}

func (p *pathChecks) isNewest(f ControlFrame) bool {
	if last, ok := p.newest[f.Index]; ok && f.Counter <= last {
		return false
	}
	if p.newest == nil || len(p.newest) >= maxNewestCounters {
		p.newest = map[uint32]uint64{}
	}
	p.newest[f.Index] = f.Counter
	return true
}

// challenge asks for a response by a path.
func (l *Link) challenge(now time.Time, path Path, why intent) {
	c := challenge{path: path, why: why, sent: now}
	if _, err := io.ReadFull(l.rand, c.token[:]); err != nil {
		l.drops.add(dropRandom)
		return
	}
	p := &l.paths
	p.challenges = slices.DeleteFunc(p.challenges, func(c challenge) bool { return now.Sub(c.sent) >= ChallengeFor })
	if len(p.challenges) >= maxChallenges {
		p.challenges = slices.Delete(p.challenges, 0, 1)
	}
	p.challenges = append(p.challenges, c)
	l.out.put(SendControl{ControlPathChallenge, slices.Clone(c.token[:]), path})
}

// challengeOthers tries all paths but that in use.
func (l *Link) challengeOthers(now time.Time) {
	for _, p := range l.paths.all() {
		if !l.paths.current.covers(p) {
			l.challenge(now, p, toReplace)
		}
	}
}

// handleChallenge answers by the way that the challenge came.
func (l *Link) handleChallenge(f ControlFrame) {
	if len(f.Body) >= challengeLen {
		l.out.put(SendControl{ControlPathResponse, slices.Clone(f.Body[:challengeLen]), f.Path})
	}
}

// handleResponse takes the proof that a path leads to the peer.
func (l *Link) handleResponse(now time.Time, f ControlFrame) {
	p := &l.paths
	i := slices.IndexFunc(p.challenges, func(c challenge) bool { return subtle.ConstantTimeCompare(c.token[:], f.Body) == 1 })
	if i < 0 || !l.up {
		return
	}
	c := p.challenges[i]
	p.challenges = slices.Delete(p.challenges, i, i+1)
	if !c.path.covers(f.Path) || now.Sub(c.sent) >= ChallengeFor {
		return
	}
	switch c.why {
	case toFollow:
		if !p.current.covers(f.Path) && !l.holds(now, f.Path) {
			l.follow(now, f.Path)
		}
	case toReplace:
		if p.ready == (Path{}) || c.path.Carrier <= p.ready.Carrier {
			p.ready = f.Path
		}
		l.replace(now)
	case toReturn:
		l.homeAnswered(now, c.path)
	case toUpgrade:
		l.upgradeAnswered(now, c.path)
	}
}

// doubt follows each probe: where the ones before went unanswered it tries others.
func (l *Link) doubt(now time.Time) {
	switch {
	case !l.liveness.isLate(now, 0):
		l.paths.ready = Path{}
	case l.paths.ready == Path{}:
		l.challengeOthers(now)
	default:
		l.replace(now)
	}
}

// replace takes the path that answered, once that in use had one more chance.
func (l *Link) replace(now time.Time) {
	p := &l.paths
	if p.ready == (Path{}) || p.current.covers(p.ready) || !l.liveness.isLate(now, l.liveness.busy()/2) {
		return
	}
	if p.home == (Path{}) && !p.isTunnel(p.ready) {
		if now.Sub(p.movedAt) > HomeLast {
			p.homeWait = HomeFirst // it served well for long
		}
		p.home = p.current
		p.restAtHome(now)
	}
	l.lead(now, p.ready)
}

// restAtHome ends a round.
func (p *pathChecks) restAtHome(now time.Time) {
	p.homeAnswers, p.homeAsked = 0, false
	p.homeNext = now.Add(p.homeWait)
	p.homeWait = min(2*p.homeWait, HomeLast)
}

// goHome tries the path that was left. A round ends with the first challenge that is
// not answered.
func (l *Link) goHome(now time.Time) {
	p := &l.paths
	switch {
	case p.homeNext.IsZero() || now.Before(p.homeNext):
	case p.homeAsked:
		p.restAtHome(now)
	default:
		p.homeAsked, p.homeNext = true, now.Add(max(HomePatience, 2*l.liveness.rtt.smoothed))
		l.challenge(now, p.home, toReturn)
	}
}

func (l *Link) homeAnswered(now time.Time, path Path) {
	p := &l.paths
	if path != p.home || !p.homeAsked {
		return
	}
	p.homeAsked = false
	if p.homeAnswers++; p.homeAnswers < HomeAnswers {
		p.homeNext = now.Add(ProbeInterval)
		return
	}
	p.wentHome = true
	l.lead(now, path)
}
