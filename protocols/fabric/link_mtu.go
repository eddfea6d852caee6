package fabric

import (
	"encoding/binary"
	"time"
)

// MTUChanged says what the link's path carries, in bytes of a datagram: what is longer is to
// be refused or split. From Link; before the first one it is not known.
type MTUChanged struct {
	MTU       int
	BlackHole bool // longer ones had passed, and were lost without a word
}

func (MTUChanged) event() {}

// MTU is the longest datagram that the link carries, in bytes; 0: not known.
func (l *Link) MTU() int { return l.mtu.told }

// HandleTooBig takes that this machine's interface refused a datagram of the link of so many
// bytes (EMSGSIZE).
func (l *Link) HandleTooBig(now time.Time, size int) {
	if l.IsUp() {
		l.mtu.handleRefused(now, size)
		l.tellMTU()
	}
}

// handleMTU does for the search what is due.
func (l *Link) handleMTU(now time.Time) {
	if !l.IsUp() || l.ring.current == nil {
		return
	}
	s := &l.mtu
	if p := l.paths.current; p != s.path {
		if s.path.covers(p) { // where the kernel's choice led
			s.path = p
		} else {
			s.begin(now, p)
		}
	}
	session := l.ring.current.session
	if size := int(session.refused.Swap(0)); size > 0 {
		s.handleRefused(now, size)
	}
	s.handleTraffic(now, session.full.Load())
	s.handleTimeout(now, l.liveness.rtt.smoothed, l.sendMTUProbe)
	l.tellMTU()
}

func (l *Link) tellMTU() {
	if size, hole, ok := l.mtu.news(); ok {
		l.out.put(MTUChanged{size, hole})
	}
}

// sendMTUProbe sends a probe that makes a datagram of so many bytes.
func (l *Link) sendMTUProbe(id uint32, size int) {
	body := make([]byte, max(ProbeLen, size-ControlOverhead))
	binary.BigEndian.PutUint32(body, id)
	l.out.put(SendControl{Kind: ControlMTUProbe, Body: body})
}

// handleMTUProbe answers by the way that the probe came.
func (l *Link) handleMTUProbe(now time.Time, f ControlFrame) {
	l.liveness.heard(now)
	if answer := ProbeAnswer(f.Body); answer != nil {
		l.out.put(SendControl{ControlMTUProbeAck, answer, f.Path})
	}
}

func (l *Link) handleMTUAck(now time.Time, body []byte) {
	l.liveness.heard(now)
	if len(body) == ProbeLen {
		l.mtu.handleAnswer(now, binary.BigEndian.Uint32(body))
	}
}
