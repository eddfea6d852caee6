package lab

import (
	"testing"
	"time"
)

// echoesOf is one echo every 10 ms; lost tells which have no answer.
func echoesOf(until time.Duration, lost func(at time.Duration) bool) (echoes []fate) {
	for at := time.Duration(0); at < until; at += 10 * ms {
		e := fate{sent: at}
		if !lost(at) {
			e.answered = at + ms
		}
		echoes = append(echoes, e)
	}
	return echoes
}

func within(from, to time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool { return at >= from && at < to }
}

func TestAnOutageCountsWhileThePairHasAPath(t *testing.T) {
	names := []string{"n1", "n2", "n3"}
	ring := []Edge{{"n1", "n2"}, {"n1", "n3"}, {"n2", "n3"}}
	pair := Pair{"n1", "n2"}
	for name, c := range map[string]struct {
		happens func(u *underfoot)
		lost    func(time.Duration) bool
		want    time.Duration
	}{
		"nothing lost":        {func(*underfoot) {}, within(0, 0), 0},
		"a way round is left": {func(u *underfoot) { u.close(ring[0], 100*ms) }, within(100*ms, 400*ms), 300 * ms},
		"no way is left": {func(u *underfoot) {
			u.close(ring[0], 100*ms)
			u.lose("n3", 100*ms)
			u.regain("n3", 900*ms)
		}, within(100*ms, 900*ms), 0},
		"one end is out, and takes a moment to be back": {func(u *underfoot) {
			u.lose("n2", 100*ms)
			u.regain("n2", 500*ms)
		}, within(100*ms, 650*ms), 150 * ms},
		"the path ends before the outage does": {func(u *underfoot) {
			u.close(ring[0], 100*ms)
			u.lose("n2", 305*ms)
			u.regain("n2", 600*ms)
		}, within(100*ms, 600*ms), 205 * ms},
		"a moment without a path parts two outages": {func(u *underfoot) {
			u.lose("n1", 205*ms)
			u.regain("n1", 206*ms)
		}, within(100*ms, 400*ms), 190 * ms},
		"two reasons are two": {func(u *underfoot) {
			u.lose("n1", 100*ms)
			u.lose("n1", 100*ms)
			u.regain("n1", 200*ms)
			u.regain("n1", 300*ms)
		}, within(100*ms, 310*ms), 10 * ms},
		"up to the end": {func(*underfoot) {}, within(700*ms, time.Second), 300 * ms},
	} {
		u := newUnderfoot(names, ring, 0)
		c.happens(u)
		o := longest(u.outages(pair, echoesOf(time.Second, c.lost), 0, time.Second))
		if o.length() != c.want || c.want > 0 && o.pair != pair {
			t.Errorf("%s: %v from %v, want %v", name, o.length(), o.from, c.want)
		}
	}
}

func TestWhatIsOutIsCounted(t *testing.T) {
	u := newUnderfoot([]string{"n1", "n2"}, []Edge{{"n1", "n2"}}, 0)
	u.lose("n1", 1)
	u.lose("n1", 2)
	u.close(Edge{"n1", "n2"}, 3)
	if u.nodesOut() != 1 || u.edgesCut() != 1 {
		t.Errorf("%d nodes, %d edges", u.nodesOut(), u.edgesCut())
	}
	u.regain("n1", 4)
	u.open(Edge{"n1", "n2"}, 5)
	if u.nodesOut() != 1 || u.edgesCut() != 0 {
		t.Errorf("%d nodes, %d edges", u.nodesOut(), u.edgesCut())
	}
}

func TestAPathCountsOnlySinceItsLastBreak(t *testing.T) {
	u := newUnderfoot([]string{"n1", "n2"}, []Edge{{"n1", "n2"}}, 0)
	u.lose("n2", 100*ms)
	u.regain("n2", 200*ms)
	for since, want := range map[time.Duration]bool{50 * ms: false, 150 * ms: false, 200 * ms: true, 300 * ms: true} {
		if got := u.hadSince(Pair{"n1", "n2"}, since); got != want {
			t.Errorf("since %v: %v", since, got)
		}
	}
}
