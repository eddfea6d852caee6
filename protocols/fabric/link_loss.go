package fabric

import "time"

const (
	// LossWindow is of what time the loss of a link's probes is told.
	LossWindow = time.Minute
	lossStep   = 5 * time.Second
	lossSteps  = int(LossWindow / lossStep)

	// lossPatience is how long the answer to a probe may be on its way at least; else it
	// is twice the round trip.
	lossPatience = time.Second
)

// Loss counts probes of the last LossWindow by the path in use. Of one without an answer
// it is not known which of the two was lost.
type Loss struct {
	Sent int // that were answered, or had time for it
	Lost int // of these
}

// losses counts probes by the step of time in which they were sent.
type losses struct {
	began time.Time // of step 0; zero: with the next probe
	steps [lossSteps]lossCount
}

type lossCount struct {
	number         int64 // of the step
	sent, answered int
}

func (s *losses) number(at time.Time) int64 { return int64(at.Sub(s.began) / lossStep) }

// sent notes a probe.
func (s *losses) sent(now time.Time) {
	if s.began.IsZero() {
		s.began = now
	}
	number := s.number(now)
	step := &s.steps[number%int64(lossSteps)]
	if step.number != number {
		*step = lossCount{number: number}
	}
	step.sent++
}

// answered notes the answer to the probe that was sent at a time.
func (s *losses) answered(at time.Time) {
	number := s.number(at)
	if step := &s.steps[number%int64(lossSteps)]; step.number == number {
		step.answered++
	}
}

// Loss tells how many of the link's probes went unanswered.
func (l *Link) Loss(now time.Time) (c Loss) {
	v := &l.liveness
	if v.loss.began.IsZero() {
		return Loss{}
	}
	oldest, answered := v.loss.number(now)-int64(lossSteps), 0
	for _, step := range v.loss.steps {
		if step.number > oldest {
			c.Sent += step.sent
			answered += step.answered
		}
	}
	patience := max(lossPatience, 2*v.rtt.smoothed)
	for _, o := range v.sent {
		if !o.left && now.Sub(o.sent) < patience {
			c.Sent--
		}
	}
	c.Lost = c.Sent - answered
	return c
}
