package tunnel

import (
	"encoding/binary"
	"time"

	"re6st/protocols/fabric"
)

// standIn keeps watch over the peer from the restart of a tunnel until its own handshake
// has come to an end: routes go on by the keys of the incarnation before, whose silence
// nobody else would notice.
type standIn struct {
	due    time.Time // the next probe; zero: it keeps no watch
	heard  time.Time // the peer, last
	probes int       // since then
}

// watch begins to, where the link is up with keys of the incarnation before.
func (t *tunnel) watch() {
	if !t.lease.told || len(t.leftovers) == 0 {
		return
	}
	now := t.ctx.Now()
	t.stand.due, t.stand.heard = now, now
	t.look()
}

// look probes the peer, and ends a link that is silent.
func (t *tunnel) look() {
	now, s := t.ctx.Now(), &t.stand
	if t.link.IsUp() || t.link.IsDown() {
		s.due = time.Time{}
		return
	}
	if late := now.Sub(s.due); late >= fabric.LateAfter { // as fabric.Link forgives it
		s.heard = s.heard.Add(late)
	}
	if s.probes >= fabric.ProbeLosses && now.Sub(s.heard) >= max(fabric.IdlePatience, 2*t.lease.rtt) {
		t.link.Close(fabric.CloseSilence)
		return
	}
	var id [fabric.ProbeLen]byte
	binary.BigEndian.PutUint32(id[:], t.ctx.Rand().Uint32())
	t.sendControl(fabric.ControlProbe, id[:])
	s.probes++
	s.due = now.Add(fabric.ProbeInterval)
	t.ctx.After(fabric.ProbeInterval, standTick{})
}

// answer takes a frame under keys of the incarnation before.
func (t *tunnel) answer(m controlled) {
	t.stand.heard, t.stand.probes = t.ctx.Now(), 0
	switch answer := fabric.ProbeAnswer(m.Body); {
	case m.Kind == fabric.ControlProbe && answer != nil:
		t.sendControl(fabric.ControlProbeAck, answer)
	case m.Kind == fabric.ControlClose && len(m.Body) > 0:
		t.link.Close(fabric.CloseReason(m.Body[0]))
	}
}
