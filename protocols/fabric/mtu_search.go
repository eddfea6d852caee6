package fabric

import (
	"slices"
	"time"
)

// How the longest datagram that a path carries is searched for (RFC 8899). Sizes are bytes
// of a datagram, without UDP and IP: which header the path puts in front is not known.
const (
	// MinPLPMTU is taken for granted (section 5.1.2, MIN_PLPMTU): 576 bytes of IPv4.
	MinPLPMTU = 548
	// BasePLPMTU is what nearly every path carries (section 5.1.2, BASE_PLPMTU).
	BasePLPMTU = 1200
	// MaxPLPMTU is a jumbo frame of Ethernet over IPv4 (section 5.1.2, MAX_PLPMTU).
	MaxPLPMTU = 8972
	// MaxMTUProbes is how many probes of a size are lost before it is taken for too long
	// (section 5.1.2, MAX_PROBES), while small ones sent with them pass. On a path that loses
	// many it is as many as leave one error in 1/mtuErrors, but mostMTUProbes at most.
	MaxMTUProbes  = 3
	mostMTUProbes = 14
	mtuErrors     = 1e-4
	// MTURaiseAfter is when longer ones are tried again (section 5.1.1, PMTU_RAISE_TIMER),
	// once there are full frames to send.
	MTURaiseAfter = 10 * time.Minute
	// MTURaiseQUIC is the same for the first time by a path of QUIC, which searches too, a few
	// round trips for each size, and takes none that is longer than what it has found.
	MTURaiseQUIC = 5 * time.Second
	// MTUPatience is how long the answer to a probe is waited for at least (section 5.1.1,
	// PROBE_TIMER), else twice the round trip, and MTUPatienceLast while nothing is answered.
	// MTUSilentRounds in a row without any answer end a search: the peer knows no such probes.
	MTUPatience     = 100 * time.Millisecond
	MTUPatienceLast = time.Second
	MTUSilentRounds = 10

	// FullFrame is from what length on a data frame calls for the size to be confirmed, in
	// bytes: at most every MTUConfirmEvery where mtuManyFrames went since, every
	// MTUConfirmSeldom else (section 5.1.1, CONFIRMATION_TIMER).
	FullFrame        = 1000
	MTUConfirmEvery  = 250 * time.Millisecond
	MTUConfirmSeldom = time.Second
	mtuManyFrames    = 16

	// MaxMTUPaths is of how many paths a link remembers what they carried, for
	// MTURaiseAfter.
	MaxMTUPaths = MaxPaths

	mtuPerRound   = 4  // sizes that are probed at once
	mtuSampleBits = 32 // small probes that the loss is told by
)

// mtuSizes are those that are probed for (section 5.3.2): what is left of the usual lengths
// of packets behind the headers of IPv6 and IPv4, and what carriers hold.
var mtuSizes = [...]int{
	MinPLPMTU, 1024, 1152, 1180, BasePLPMTU,
	1212,       // 1240 over IPv4
	1232,       // 1280 over IPv6
	1252,       // 1280 over IPv4, 1300 over IPv6
	1272,       // 1300 over IPv4
	1312, 1332, // 1360
	1352, 1372, // 1400; 1420 over IPv6
	1392,       // 1420 over IPv4
	1404, 1424, // 1452
	1444, // 1472 over IPv4, 1492 over IPv6
	1452, // 1500 over IPv6
	1464, // 1492 over IPv4
	1472, // 1500 over IPv4
	4072, 8152, 8952, MaxPLPMTU,
}

var (
	mtuBase     = slices.Index(mtuSizes[:], BasePLPMTU)
	mtuEthernet = slices.Index(mtuSizes[:], 1472)
)

// PLPMTUBelow is the longest size to go on with where a datagram of so many bytes was too
// long for this machine's own interface; MinPLPMTU at least.
func PLPMTUBelow(size int) int { return mtuSizes[max(1, mtuAtLeast(size))-1] }

// mtuAtLeast is the index of the first size that is no shorter; len(mtuSizes) for none.
func mtuAtLeast(size int) int {
	i, _ := slices.BinarySearch(mtuSizes[:], size)
	return i
}

// mtuSearch is the search of one link, of the path in use:
//
//	         all sizes settled
//	search ---------------------> complete --,  a confirmation, by the traffic
//	  ^  ^                         |  |  ^   |
//	  |  '---- raise timer --------'  |  '---'
//	  '------- black hole ------------'
//
// It probes several sizes at once, in rounds, with a small probe beside them: what is lost
// counts only where something of the round came back.
type mtuSearch struct {
	path      Path
	searching bool
	low       int // index of the longest size that passed; 0: none yet
	high      int // index of the shortest that does not pass
	told      int // bytes; 0: nothing
	hole      bool
	heard     bool // something came back, by this path
	losses    [len(mtuSizes)]uint8

	id       uint32 // of the last probe
	round    mtuRound
	silent   int       // rounds in a row of which nothing came back
	next     time.Time // round; zero: none is due
	raise    time.Time
	small    uint32 // the last small probes: a bit is set for each that was lost
	smallLen int

	confirmed time.Time
	full      uint64 // frames, when last looked at
	known     []mtuKnown
}

// mtuKnown is what a path carried.
type mtuKnown struct {
	path Path
	low  int
	at   time.Time
}

// mtuRound is probes that were sent together.
type mtuRound struct {
	probes  []mtuProbe
	small   mtuProbe
	ends    time.Time // zero: there is no round
	forgave bool
}

type mtuProbe struct {
	id      uint32
	size    int // index
	settled bool
	back    bool
}

// begin starts over by a path of which nothing is known, or what is remembered, which is
// confirmed at once.
func (s *mtuSearch) begin(now time.Time, path Path) {
	if s.path != (Path{}) && s.low > 0 {
		s.remember(now)
	}
	*s = mtuSearch{path: path, told: s.told, id: s.id, full: s.full, known: s.known, small: s.small, smallLen: s.smallLen}
	s.high, s.searching, s.next = len(mtuSizes), true, now
	i := slices.IndexFunc(s.known, func(k mtuKnown) bool { return k.path == path })
	if i >= 0 && now.Sub(s.known[i].at) < MTURaiseAfter {
		s.low, s.high, s.searching = s.known[i].low, s.known[i].low+1, false
		s.raise = s.known[i].at.Add(MTURaiseAfter)
	}
}

func (s *mtuSearch) remember(now time.Time) {
	s.known = slices.DeleteFunc(s.known, func(k mtuKnown) bool { return k.path == s.path })
	if len(s.known) >= MaxMTUPaths {
		s.known = slices.Delete(s.known, 0, 1)
	}
	s.known = append(s.known, mtuKnown{s.path, s.low, now})
}

// needed is how many probes of a size are to be lost.
func (s *mtuSearch) needed() int {
	lost := 0
	for b := s.small; b != 0; b &= b - 1 {
		lost++
	}
	n := MaxMTUProbes
	if lost > 0 {
		share := float64(lost) / float64(s.smallLen)
		for left := share * share * share; n < MaxMTUProbes+2 || left > mtuErrors && n < mostMTUProbes; n++ {
			left *= share
		}
	}
	if !s.searching { // what passed is given up less easily than what never did
		n++
	}
	return n
}

func (s *mtuSearch) noteSmall(lost bool) {
	s.small <<= 1
	if lost {
		s.small |= 1
	}
	s.smallLen = min(s.smallLen+1, mtuSampleBits)
}

// suspect is the shortest size of which probes were lost; high where there is none.
func (s *mtuSearch) suspect() int {
	for i := s.low + 1; i < s.high; i++ {
		if s.losses[i] > 0 {
			return i
		}
	}
	return s.high
}

// free is how many sizes behind low nothing speaks against.
func (s *mtuSearch) free() int {
	top := s.suspect() - 1
	if s.low < mtuEthernet {
		top = min(top, mtuEthernet)
	}
	return max(0, top-s.low)
}

// pick is what to probe next, short ones first: of the sizes that nothing speaks against
// some far from each other, the longest among them, and the shortest of those that
// something does.
func (s *mtuSearch) pick() []int {
	if !s.searching {
		return []int{s.low}
	}
	var sizes []int
	free := s.free()
	n := min(free, mtuPerRound)
	if s.low >= mtuEthernet {
		n, free = min(n, 1), min(free, 1) // long ones cost much
	}
	for k := 1; k <= n; k++ {
		sizes = append(sizes, s.low+free*k/n)
	}
	if top := s.low + free; s.low < mtuBase && mtuBase <= top && !slices.Contains(sizes, mtuBase) {
		sizes[0] = mtuBase // section 5.2: it is confirmed first
	}
	if suspect := s.suspect(); suspect < s.high {
		sizes = append(sizes, suspect)
	}
	return sizes
}

// handleTimeout does what is due; send takes probes of so many bytes, or of the least for 0.
func (s *mtuSearch) handleTimeout(now time.Time, rtt time.Duration, send func(id uint32, size int)) {
	r := &s.round
	switch {
	case !r.ends.IsZero() && now.Before(r.ends):
		return
	case !r.ends.IsZero() && now.Sub(r.ends) >= LateAfter && !r.forgave:
		r.forgave, r.ends = true, now.Add(MTUPatience) // this node was late, and may have answers unread
		return
	case !r.ends.IsZero():
		s.endRound(now)
	}
	for i := 0; i <= len(mtuSizes) && !s.next.IsZero() && !now.Before(s.next); i++ {
		s.startRound(now, rtt, send)
	}
}

func (s *mtuSearch) startRound(now time.Time, rtt time.Duration, send func(id uint32, size int)) {
	patience := max(MTUPatience, 2*rtt)
	patience = max(patience, min(patience<<min(s.silent, 4), MTUPatienceLast))
	s.next = time.Time{}
	s.round = mtuRound{ends: now.Add(patience)}
	for _, size := range slices.Backward(s.pick()) {
		s.id++
		s.round.probes = append(s.round.probes, mtuProbe{id: s.id, size: size})
	}
	s.id++
	s.round.small = mtuProbe{id: s.id}
	for _, p := range slices.Clone(s.round.probes) {
		send(p.id, mtuSizes[p.size]) // which may call handleRefused
	}
	if s.round.ends.IsZero() {
		return
	}
	send(s.round.small.id, 0)
}

// handleAnswer takes the answer to a probe.
func (s *mtuSearch) handleAnswer(now time.Time, id uint32) {
	r := &s.round
	if r.ends.IsZero() {
		return
	}
	if r.small.id == id {
		r.small.settled, r.small.back = true, true
	}
	for i := range r.probes {
		p := &r.probes[i]
		if p.id != id {
			continue
		}
		p.settled, p.back = true, true
		s.losses[p.size] = 0
		if s.searching && p.size > s.low && p.size < s.high {
			s.low = p.size
		}
	}
	s.endEarly(now)
}

// endEarly ends a round of which nothing more is to be learned.
func (s *mtuSearch) endEarly(now time.Time) {
	for _, p := range s.round.probes {
		if !p.settled && (!s.searching || p.size > s.low) {
			return
		}
	}
	if s.round.small.settled || slices.ContainsFunc(s.round.probes, func(p mtuProbe) bool { return p.back }) || !s.hasProbes() {
		s.endRound(now)
	}
}

// hasProbes tells whether any probe of the round is on its way.
func (s *mtuSearch) hasProbes() bool {
	return slices.ContainsFunc(s.round.probes, func(p mtuProbe) bool { return !p.settled })
}

// endRound takes account of what came back.
func (s *mtuSearch) endRound(now time.Time) {
	r := s.round
	s.round = mtuRound{}
	back, lost := r.small.back, false
	for _, p := range r.probes {
		back = back || p.back
		lost = lost || !p.settled
	}
	if !back && lost {
		s.silent++
		if s.heard { // else the peer may not have the keys yet
			s.noteSmall(true)
		}
		s.next = now
		if s.silent >= MTUSilentRounds {
			s.rest(now)
		}
		return
	}
	s.silent, s.heard = 0, true
	if r.small.back || lost {
		s.noteSmall(!r.small.back)
	}
	for _, p := range r.probes {
		if p.settled || p.size >= s.high || s.searching && p.size <= s.low {
			continue
		}
		if s.losses[p.size]++; int(s.losses[p.size]) < s.needed() {
			continue
		}
		if !s.searching {
			s.fall()
			break
		}
		s.high = p.size
	}
	s.proceed(now)
}

// proceed goes on after a round.
func (s *mtuSearch) proceed(now time.Time) {
	switch {
	case s.searching && len(s.pick()) > 0, !s.searching && s.losses[s.low] > 0:
		s.next = now
	default:
		s.rest(now)
	}
}

// fall follows a black hole (section 4.5.2): the search begins anew, with the size that
// passes no more as the longest.
func (s *mtuSearch) fall() {
	s.hole, s.searching = true, true
	s.high, s.low = s.low+1, 0
	clear(s.losses[:])
}

// rest ends a search.
func (s *mtuSearch) rest(now time.Time) {
	if s.searching || s.raise.IsZero() {
		after := MTURaiseAfter
		if s.path.Carrier == QUIC && s.raise.IsZero() {
			after = MTURaiseQUIC
		}
		s.raise = now.Add(after)
	}
	s.searching, s.next, s.confirmed = false, time.Time{}, now
	clear(s.losses[:])
}

// handleRefused takes that this machine's own interface does not take datagrams of so many
// bytes (section 4.4: a hint that is certain).
func (s *mtuSearch) handleRefused(now time.Time, size int) {
	i := max(1, mtuAtLeast(size))
	if i >= s.high && i > s.low {
		i = s.high
	}
	s.high = min(s.high, i)
	s.low = min(s.low, s.high-1)
	if s.round.ends.IsZero() {
		if s.searching {
			s.proceed(now)
		}
		return
	}
	for k := range s.round.probes {
		if p := &s.round.probes[k]; p.size >= s.high {
			p.settled = true
		}
	}
	if !s.hasProbes() {
		s.endRound(now)
	}
}

// handleTraffic takes how many full frames were sent under the keys in use.
func (s *mtuSearch) handleTraffic(now time.Time, full uint64) {
	if full < s.full {
		s.full = 0 // other keys
	}
	n := full - s.full
	if n == 0 || s.searching || !s.round.ends.IsZero() || !s.next.IsZero() {
		return
	}
	if !now.Before(s.raise) && !s.raise.IsZero() {
		s.full, s.searching, s.high, s.next = full, true, len(mtuSizes), now
		return
	}
	wait := MTUConfirmSeldom
	if n >= mtuManyFrames {
		wait = MTUConfirmEvery
	}
	if s.low > 0 && now.Sub(s.confirmed) >= wait {
		s.full, s.confirmed, s.next = full, now, now
	}
}

// news is the size that is now to be used, where it is another one: a shorter one as soon as
// the next longer one was lost, else what a search came to. hole tells that the path did not
// say so.
func (s *mtuSearch) news() (size int, hole, ok bool) {
	size = mtuSizes[s.low]
	switch {
	case s.low == 0 && (s.searching || !s.heard), size == s.told:
		return 0, false, false
	case s.searching && (s.told == 0 || size > s.told || s.free() > 0):
		return 0, false, false
	}
	hole = s.hole && size < s.told
	s.told, s.hole = size, false
	return size, hole, true
}

func (s *mtuSearch) nextTimeout() time.Time {
	if !s.round.ends.IsZero() {
		return s.round.ends
	}
	return s.next
}
