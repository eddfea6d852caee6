package lab

import (
	"math/rand/v2"
	"time"
)

// strikeKind is a way to hurt the mesh.
type strikeKind string

// The kinds of strikes, as reports name them.
const (
	strikePanic     strikeKind = "actor-panic"
	strikeError     strikeKind = "actor-error"
	strikePumpPanic strikeKind = "pump-panic"
	strikePumpError strikeKind = "pump-error"
	strikeStall     strikeKind = "pump-stall"
	strikeExhaust   strikeKind = "actor-exhaust"  // one fault after the other, until its budget is spent
	strikeCall      strikeKind = "call-fails"     // some calls of the kernel fail
	strikeMute      strikeKind = "call-fails-for" // all of them fail for a time
	strikeCut       strikeKind = "edge-cut"       // silently
	strikeReject    strikeKind = "edge-rejects"   // the router answers "unreachable"
	strikeKill      strikeKind = "node-kill"
	strikeUnplug    strikeKind = "node-unplug" // its underlay interface goes down
	strikeTUN       strikeKind = "tun-down"    // somebody sets it down
	strikeRegistry  strikeKind = "registry-kill"
)

// menu says of each kind how often of a thousand it is drawn, and for how long it
// hurts at least and at most.
var menu = []struct {
	kind        strikeKind
	weight      int
	least, most time.Duration
}{
	{strikePanic, 220, 0, 0},
	{strikeError, 90, 0, 0},
	{strikePumpPanic, 160, 0, 0},
	{strikePumpError, 60, 0, 0},
	{strikeStall, 40, 200 * time.Millisecond, 7 * time.Second},
	{strikeExhaust, 6, 0, 0},
	{strikeCall, 150, 0, 0},
	{strikeMute, 40, 100 * time.Millisecond, 2 * time.Second},
	{strikeCut, 120, 500 * time.Millisecond, 8 * time.Second},
	{strikeReject, 44, 500 * time.Millisecond, 8 * time.Second},
	{strikeKill, 20, 200 * time.Millisecond, 4 * time.Second},
	{strikeUnplug, 24, 500 * time.Millisecond, 4 * time.Second},
	{strikeTUN, 16, 0, 0},
	{strikeRegistry, 10, time.Second, 10 * time.Second},
}

// strikeGap is the mean time between two strikes.
const strikeGap = 250 * time.Millisecond

// strike is one blow: when, of what kind, and whom it hits. The node is one of those
// that run then; pick chooses among what it has: actors, pumps, calls, edges.
type strike struct {
	at   time.Duration // since the start of the chaos
	kind strikeKind
	node int
	pick uint64
	span time.Duration // until it is undone
}

// planStrikes draws all strikes of a run. Same seed, same plan.
func planStrikes(seed uint64, nodes int, d time.Duration) (plan []strike) {
	rng := rand.New(rand.NewPCG(seed, uint64(nodes)))
	total := 0
	for _, m := range menu {
		total += m.weight
	}
	for at := time.Duration(0); ; {
		at += time.Duration(rng.ExpFloat64() * float64(strikeGap))
		if at >= d {
			return plan
		}
		s := strike{at: at, node: rng.IntN(nodes), pick: rng.Uint64()}
		draw := rng.IntN(total)
		for _, m := range menu {
			if draw -= m.weight; draw < 0 {
				s.kind, s.span = m.kind, m.least
				if m.most > m.least {
					s.span += time.Duration(rng.Int64N(int64(m.most - m.least)))
				}
				break
			}
		}
		plan = append(plan, s)
	}
}

// choose takes one of a list, and leaves other bits of pick for the next choice.
func choose[T any](list []T, pick *uint64) T {
	n := uint64(len(list))
	chosen := list[*pick%n]
	*pick /= n
	return chosen
}
