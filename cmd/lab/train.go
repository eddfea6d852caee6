package lab

import (
	"time"
)

// train is a row of echoes from one node to another, and what became of each. Times
// are since the prober started. Not for concurrent use: the prober's lock guards it.
type train struct {
	id     uint32
	pair   Pair
	echoes []fate
	late   int           // that were sent more than an interval after their time, by steady
	latest time.Duration // by how much the latest was
}

// fate is what became of one echo: answered is 0 as long as no reply has come.
type fate struct{ sent, answered time.Duration }

// next adds an echo sent at now and returns its number.
func (t *train) next(now time.Duration) uint32 {
	t.echoes = append(t.echoes, fate{sent: now})
	return uint32(len(t.echoes) - 1)
}

// tempo is when echoes are due: a fixed interval apart from the first, whenever the ones
// before were sent.
type tempo struct {
	start, every time.Duration
	sent         int
}

func (t tempo) due() time.Duration { return t.start + time.Duration(t.sent)*t.every }

// owed is how many are due at now and were not sent.
func (t tempo) owed(now time.Duration) int { return int((now-t.start)/t.every) + 1 - t.sent }

// pause is how long to wait after sending: for the next one, or while some are late.
func (t tempo) pause(now time.Duration) time.Duration {
	if wait := t.due() - now; wait > 0 {
		return max(wait, t.every/4)
	}
	return t.every
}

// keep counts an echo that is sent at now, and by how much it is late.
func (t *train) keep(tempo *tempo, now time.Duration) {
	late := now - tempo.due()
	if t.latest = max(t.latest, late); late > tempo.every {
		t.late++
	}
	tempo.sent++
}

// rate is how many echoes a second were sent, from the first to the last.
func (t *train) rate() float64 {
	if len(t.echoes) < 2 {
		return 0
	}
	return float64(len(t.echoes)-1) / (t.echoes[len(t.echoes)-1].sent - t.echoes[0].sent).Seconds()
}

// heard notes the reply to an echo. The first counts; duplicates and numbers never
// sent are passed over, and it says so by false.
func (t *train) heard(number uint32, now time.Duration) bool {
	if uint64(number) >= uint64(len(t.echoes)) || t.echoes[number].answered != 0 {
		return false
	}
	t.echoes[number].answered = max(now, 1)
	return true
}

// firstAnswer returns when the first reply came to an echo sent at or after from.
func (t *train) firstAnswer(from time.Duration) (time.Duration, bool) {
	first, found := time.Duration(0), false
	for i := len(t.echoes) - 1; i >= 0 && t.echoes[i].sent >= from; i-- {
		if a := t.echoes[i].answered; a != 0 && (!found || a < first) {
			first, found = a, true
		}
	}
	return first, found
}

// answeredSince tells whether an echo that was sent since then has an answer.
func (t *train) answeredSince(from time.Duration) bool {
	_, found := t.firstAnswer(from)
	return found
}

// loss is what a train lost over a time.
type loss struct {
	Sent, Lost int
	// Outage is the longest time from the first echo lost to the next one answered.
	Outage time.Duration
}

// between counts the echoes sent from from on and before to. Where the last ones are
// lost the outage runs until to.
func (t *train) between(from, to time.Duration) loss {
	var l loss
	down := time.Duration(-1) // when the first of a row of lost echoes was sent
	for _, e := range t.echoes {
		if e.sent < from || e.sent >= to {
			continue
		}
		l.Sent++
		switch {
		case e.answered == 0:
			l.Lost++
			if down < 0 {
				down = e.sent
			}
		case down >= 0:
			l.Outage = max(l.Outage, e.sent-down)
			down = -1
		}
	}
	if down >= 0 {
		l.Outage = max(l.Outage, to-down)
	}
	return l
}
