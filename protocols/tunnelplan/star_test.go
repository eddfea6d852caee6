package tunnelplan_test

import (
	"testing"
	"time"

	"re6st/protocols/tunnelplan"
)

// A leaf that knows all others cannot tell which of them is its hub. Time is
// virtual: this bounds what the planner adds to the handshakes.
func TestAStarOfThirtyIsWholeInASecond(t *testing.T) {
	for _, stagger := range []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond} {
		for seed := range uint64(20) {
			w := newWorld(t, seed, 30, tunnelplan.DefaultLimits)
			w.star()
			for i := range w.nodes {
				w.after(time.Duration(i)*stagger, func() { w.start(i) })
			}
			w.run(30 * stagger)
			w.until(time.Second, w.whole)
			w.run(time.Minute)
			if !w.whole() {
				t.Errorf("stagger %v, seed %d: not whole for long", stagger, seed)
			}
		}
	}
}
