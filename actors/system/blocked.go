package system

import "time"

// begin notes that the actor has a message at hand.
func (c *cell) begin() { c.busy.Store(int64(c.sys.uptime())) }

// uptime is at least 1, for 0 is no time.
func (s *System) uptime() time.Duration { return s.cfg.Clock.Now().Sub(s.began) + 1 }

// Blocked are the actors that have been at one message, a start or a stop for longer than limit, by path. A
// handler may not block, so this is a bug, or a machine without processor time. With vital only those count that
// end the System when they fail: what a watchdog is to know.
func (s *System) Blocked(limit time.Duration, vital bool) (paths []string) {
	now := s.uptime()
	for _, c := range s.sorted() {
		since := time.Duration(c.busy.Load())
		if since != 0 && now-since > limit && (!vital || c.care.onBudget == Escalate) {
			paths = append(paths, c.path)
		}
	}
	return paths
}
