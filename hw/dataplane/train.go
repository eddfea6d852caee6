package dataplane

import (
	"time"

	"re6st/hw/sock"
	"re6st/protocols/fabric"
	"re6st/tsn/class"
)

// train is frames that leave by one call: for one link, by one path, of one length, but for
// the last, which may be shorter. They lie one behind another in memory, where they came in
// or were sealed.
type train struct {
	link    *link
	path    *fabric.Path
	tos     uint8
	relayed bool // else they entered the mesh here
	length  int
	count   int
	frames  []byte
}

// Together is how many packets as long as an MTU, in bytes, leave by one call.
func Together(mtu int) int { return min(sock.MaxSegments, sock.MaxBatch/(fabric.Overhead+mtu)) }

// takes tells whether a frame may be the next.
func (t *train) takes(l *link, path *fabric.Path, tos uint8, relayed bool, frame []byte) bool {
	n := len(t.frames)
	return t.link == l && t.path == path && t.tos == tos && t.relayed == relayed &&
		len(frame) <= t.length && n+len(frame) <= sock.MaxBatch &&
		n < cap(t.frames) && &t.frames[:n+1][n] == &frame[0]
}

// board has a frame leave with the train, which waits for nobody: it leaves when
// the next frame is for another one, and when the readers have nothing more at once.
func (w *worker) board(l *link, path *fabric.Path, tos uint8, relayed bool, frame []byte) {
	t := &w.train
	if t.count > 0 && t.takes(l, path, tos, relayed, frame) {
		t.frames = t.frames[:len(t.frames)+len(frame)]
		t.count++
	} else {
		w.depart()
		*t = train{link: l, path: path, tos: tos, relayed: relayed, length: len(frame), count: 1, frames: frame}
	}
	if len(frame) < t.length || t.count == sock.MaxSegments {
		w.depart()
	}
}

// depart sends the train. Each of its frames is counted.
func (w *worker) depart() {
	t := &w.train
	if t.count == 0 {
		return
	}
	if why, ok := t.stamp(); !ok {
		w.drops[why].Add(uint64(t.count))
		t.link.dropped.Add(uint64(t.count))
		*t = train{}
		return
	}
	packet := packetBy(*t.path, t.frames, t.tos)
	if t.count > 1 {
		packet.Segment = t.length
	}
	n, _ := w.send(packet)
	if lost := t.count - n; lost > 0 {
		w.drops[DropUnderlay].Add(uint64(lost))
		t.link.dropped.Add(uint64(lost))
		if w.out[0].TooBig {
			w.refusedHere(t.link, t.length)
		}
	}
	if n > 0 {
		bytes := len(t.frames)
		if n < t.count { // nobody tells which
			bytes = n * t.length
		}
		t.link.sent.addAll(n, bytes)
		if t.relayed {
			touch(&t.link.lastData, w.since) // it came a moment ago
			w.relayed.addAll(n, bytes)
		} else {
			t.link.lastData.Store(w.sinceStart(time.Now()))
			w.ingress.addAll(n, bytes-n*fabric.Overhead)
		}
	}
	*t = train{}
}

// transmit sends a data frame by a link, split where it does not fit. hop is its
// header; relayed tells that it did not enter the mesh here. most is what the path beyond
// the link carries, in bytes; 0: not less.
func (w *worker) transmit(l *link, frame []byte, hop *fabric.HopHeader, relayed bool, most int) {
	limit := int(l.mtu.Load())
	if most > 0 && (limit == 0 || most < limit) {
		limit = most
	}
	if limit == 0 || len(frame) <= limit {
		w.board(l, l.path.Load(), w.outerTOS(hop), relayed, frame)
		return
	}
	w.depart() // its frames come first
	sent := true
	err := fabric.Split(w.piece, frame, limit, func(piece []byte) { sent = w.sendPiece(l, piece, hop) && sent })
	if err != nil {
		w.dropAt(l, DropTooBig)
		return
	}
	w.splits.Add(1)
	switch {
	case !sent:
	case relayed:
		w.relayed.add(len(frame))
	default:
		w.ingress.add(len(frame) - fabric.Overhead)
	}
}

// stamp makes the frames ready for the link, with the keys that it has now; else why not.
func (t *train) stamp() (why Reason, ok bool) {
	session := t.link.session.Load()
	if session == nil || !t.path.Remote.IsValid() {
		return DropNoKeys, false
	}
	if session.StampHops(t.frames, t.length) != nil {
		return DropKeysUsedUp, false
	}
	return 0, true
}

// sendPiece sends a fragment.
func (w *worker) sendPiece(l *link, piece []byte, hop *fabric.HopHeader) bool {
	alone := train{link: l, path: l.path.Load(), length: len(piece), frames: piece}
	if why, ok := alone.stamp(); !ok {
		w.dropAt(l, why)
		return false
	}
	if n, _ := w.send(packetBy(*alone.path, piece, w.outerTOS(hop))); n == 0 {
		w.dropAt(l, DropUnderlay)
		if w.out[0].TooBig {
			w.refusedHere(l, len(piece))
		}
		return false
	}
	l.sent.add(len(piece))
	l.lastData.Store(w.sinceStart(time.Now()))
	return true
}

func (w *worker) outerTOS(hop *fabric.HopHeader) uint8 {
	classes := w.classes.Load().All()
	for i := range classes { // a Class is long, and is not copied for each frame
		if classes[i].ID == class.ID(hop.Class) {
			return classes[i].DSCP<<2 | hop.ECN
		}
	}
	return hop.ECN
}
