package babel

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Timestamp is a router's clock in microseconds, modulo 2^32 (RFC 9616 section 3),
// about 71 minutes. 0 is none: a clock that reads 0 says 1.
type Timestamp uint32

// timestamp is the clock that was 0 at epoch.
func timestamp(epoch, now time.Time) Timestamp {
	return max(1, Timestamp(now.Sub(epoch)/time.Microsecond))
}

// since is how long after u t is; false where that is negative, or so long that one
// of the two is likely from before a restart.
func (t Timestamp) since(u Timestamp) (time.Duration, bool) {
	d := time.Duration(int32(t-u)) * time.Microsecond
	return d, d >= 0 && d <= maxTimestampAge
}

// stampHellos writes the time of sending into the timestamps of a packet's Hellos.
// The packet is one that an Encoder made.
func stampHellos(packet []byte, at Timestamp) {
	const fixed = 2 + 6 // a Hello without its sub-TLVs
	for b := packet[headerLen:]; len(b) >= 2; b = b[min(len(b), 2+int(b[1])):] {
		if b[0] == typeHello && int(b[1]) == fixed-2+2+4 && b[fixed] == subTimestamp {
			binary.BigEndian.PutUint32(b[fixed+2:], uint32(at))
		}
	}
}

// RTT is how the round trip to a neighbor adds to the cost of the link (RFC 9616
// section 4): nothing up to Min, MaxPenalty from Max on, in between in proportion.
type RTT struct {
	Decay      int           // weight of a new sample in 256ths, 1 to 256
	Min, Max   time.Duration // 0 < Min < Max
	MaxPenalty uint16        // 0: the round trip is measured, and costs nothing
}

// DefaultRTT is what tunnels of re6st take.
var DefaultRTT = RTT{Decay: 125, Min: 10 * time.Millisecond, Max: 500 * time.Millisecond, MaxPenalty: 5000}

func (r RTT) check() error {
	switch {
	case r.Decay < 1 || r.Decay > 256:
		return fmt.Errorf("RTT decay %d, want 1 to 256", r.Decay)
	case r.Min <= 0 || r.Max <= r.Min || r.Max > maxRTT:
		return fmt.Errorf("RTT from %s to %s, want 0 < from < to <= %s", r.Min, r.Max, maxRTT)
	case r.MaxPenalty == Infinity:
		return fmt.Errorf("RTT penalty %d, want at most %d", r.MaxPenalty, Infinity-1)
	}
	return nil
}

// penalty is the cost of a round trip (RFC 9616 section 4.2).
func (r RTT) penalty(rtt time.Duration) uint16 {
	switch {
	case rtt <= r.Min:
		return 0
	case rtt >= r.Max:
		return r.MaxPenalty
	}
	return uint16(int64(r.MaxPenalty) * int64(rtt-r.Min) / int64(r.Max-r.Min))
}

// roundTrip is what is known of the round trip to a neighbor.
type roundTrip struct {
	window   [rttWindow]time.Duration // the latest samples
	samples  int                      // in window, at most as many as it holds
	next     int                      // place of the next one
	smoothed time.Duration
	expires  time.Time // zero: nothing is known
	penalty  uint16    // as it counts
}

// sample takes in a round trip. The least of the latest few is smoothed (RFC 9616
// section 4.1): of a link whose queue fills and drains it is the delay of the way, so
// that its own load does not drive traffic from it, and back. It is good for as long as
// the IHU with it.
func (t *roundTrip) sample(now time.Time, cfg RTT, rtt, ihuInterval time.Duration) {
	t.window[t.next] = rtt
	t.next = (t.next + 1) % rttWindow
	t.samples = min(t.samples+1, rttWindow)
	least := rtt
	for _, s := range t.window[:t.samples] {
		least = min(least, s)
	}
	if t.expires.IsZero() {
		t.smoothed = least
	} else {
		t.smoothed = (time.Duration(cfg.Decay)*least + time.Duration(256-cfg.Decay)*t.smoothed) / 256
	}
	t.expires = now.Add(max(rttExpiry, time.Duration(ihuHold*float64(ihuInterval))))
	t.settle(cfg)
}

// settle lets the penalty follow only what is more than noise: a sixteenth of all there
// is, or an end of the scale (hysteresis, RFC 9616 section 4.3; that of appendix A.3 of
// RFC 8966 comes on top).
func (t *roundTrip) settle(cfg RTT) {
	is := cfg.penalty(t.smoothed)
	gap := max(is, t.penalty) - min(is, t.penalty)
	if gap >= max(1, cfg.MaxPenalty/16) || is == 0 || is == cfg.MaxPenalty {
		t.penalty = is
	}
}

// timeout forgets a round trip that was not measured for long.
func (t *roundTrip) timeout(now time.Time) {
	if !t.expires.IsZero() && !now.Before(t.expires) {
		*t = roundTrip{}
	}
}

// handleTimes measures the round trip (RFC 9616 section 3.2): what passed here since our
// Hello was sent, less what of it passed there.
func (n *Neighbor) handleTimes(at time.Time, hello Hello, ihu IHU) {
	if hello.Sent == 0 || n.cfg.Cost.RTT == (RTT{}) {
		return
	}
	received := timestamp(n.cfg.Epoch, at)
	n.events = append(n.events, TimesHeard{hello.Sent, received, at})
	here, ok := received.since(ihu.Origin)
	there, plausible := hello.Sent.since(ihu.Received)
	if ihu.Origin != 0 && ok && plausible {
		n.rtt.sample(at, n.cfg.Cost.RTT, max(0, here-there), ihu.Interval)
	}
}
