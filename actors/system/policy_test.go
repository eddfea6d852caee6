package system

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func noJitter(int64) int64 { return 0 }

func TestBackoffDoublesFromBaseToCap(t *testing.T) {
	p := RestartPolicy{Base: 20 * time.Millisecond, Cap: 100 * time.Millisecond}
	for n, want := range []time.Duration{1: 0, 2: 20, 3: 40, 4: 80, 5: 100, 6: 100, 1000: 100} {
		if n == 0 || n > 6 && n < 1000 {
			continue
		}
		if got := p.backoff(n, noJitter); got != want*time.Millisecond {
			t.Errorf("backoff(%d) = %v, want %v", n, got, want*time.Millisecond)
		}
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	p := RestartPolicy{Base: 3 * time.Second, Cap: math.MaxInt64}
	for n := range 200 {
		if d := p.backoff(n, noJitter); d < 0 || n > 40 && d != math.MaxInt64 {
			t.Fatalf("backoff(%d) = %v", n, d)
		}
	}
}

func TestBackoffJitterIsAFifthEachWay(t *testing.T) {
	s := New(Config{Seed: 1})
	p := RestartPolicy{Base: time.Second, Cap: time.Minute}
	low, high := time.Duration(math.MaxInt64), time.Duration(0)
	for range 10000 {
		d := p.backoff(2, s.jitter)
		low, high = min(low, d), max(high, d)
	}
	if low < 800*time.Millisecond || low > 810*time.Millisecond || high > 1200*time.Millisecond || high < 1190*time.Millisecond {
		t.Errorf("backoff of 1 s lay in [%v, %v], want [800ms, 1.2s]", low, high)
	}
}

// faultAt judges one transient fault at each of the given seconds and returns the last verdict.
func faultAt(h *history, c care, kind Kind, seconds ...int) (what verdict, d time.Duration) {
	for _, s := range seconds {
		what, d = h.judge(time.Unix(int64(s), 0), kind, c, noJitter)
	}
	return what, d
}

func TestBudgetIsWithinAWindow(t *testing.T) {
	c := care{policy: RestartPolicy{Base: time.Second, Cap: time.Minute, Budget: 2, Window: 10 * time.Second}}
	var h history
	if what, d := faultAt(&h, c, Bug, 0, 4, 10, 15, 21); what != restart || d != time.Second {
		t.Errorf("a fault each 5 s: verdict %d after %v, want a restart after 1s", what, d)
	}
	if what, _ := faultAt(&h, c, Bug, 22); what != isolate {
		t.Errorf("three faults in 10 s: verdict %d, want a quarantine", what)
	}
}

func TestQuarantineDoublesFromAMinuteToAnHourAndStartsOverAfterAGoodWindow(t *testing.T) {
	c := care{policy: RestartPolicy{Budget: 1, Base: 1, Cap: 1, Window: 10 * time.Second}}
	var h history
	now := 0
	for i, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		what, d := faultAt(&h, c, Transient, now, now+1)
		if what != isolate || d != time.Duration(minutes)*time.Minute {
			t.Fatalf("quarantine %d: verdict %d for %v, want %d min", i, what, d, minutes)
		}
		now += 1 + int(d/time.Second)
	}
	now += 10 // it ran well for a window
	if what, d := faultAt(&h, c, Transient, now, now+1); what != isolate || d != QuarantineMin {
		t.Errorf("after a good window: verdict %d for %v, want the first quarantine", what, d)
	}
}

func TestQuarantineGivesTheWholeBudgetBack(t *testing.T) {
	c := care{policy: RestartPolicy{Budget: 2, Base: 1, Cap: 1, Window: time.Hour}}
	var h history
	faultAt(&h, c, Transient, 0, 0, 0)
	if what, _ := faultAt(&h, c, Transient, 60, 61); what != restart {
		t.Errorf("second fault after a quarantine: verdict %d, want a restart", what)
	}
	if what, d := faultAt(&h, c, Transient, 62); what != isolate || d != 2*QuarantineMin {
		t.Errorf("third fault after a quarantine: verdict %d for %v, want the next one", what, d)
	}
}

func TestDispositionOfASpentBudgetAndOfABadConfig(t *testing.T) {
	for _, c := range []struct {
		on     Disposition
		budget verdict
		config verdict
	}{{Quarantine, isolate, halt}, {Escalate, escalate, escalate}, {GiveUp, halt, halt}} {
		care := care{onBudget: c.on, policy: RestartPolicy{Budget: 1}.or(DefaultRestart)}
		if what, _ := faultAt(new(history), care, Transient, 0, 0); what != c.budget {
			t.Errorf("disposition %d: spent budget gave verdict %d, want %d", c.on, what, c.budget)
		}
		if what, _ := faultAt(new(history), care, BadConfig, 0); what != c.config {
			t.Errorf("disposition %d: bad config gave verdict %d, want %d", c.on, what, c.config)
		}
	}
}

func TestZeroPolicyIsTheDefault(t *testing.T) {
	if p := (RestartPolicy{}).or(DefaultRestart); p != DefaultRestart {
		t.Errorf("or() = %+v, want %+v", p, DefaultRestart)
	}
	own := RestartPolicy{Base: 1, Cap: 2, Budget: 3, Window: 4}
	config := RestartPolicy{Window: time.Second}
	if p := (RestartPolicy{Budget: 2}).or(config).or(DefaultRestart); p.Window != time.Second || p.Budget != 2 || p.Cap != DefaultRestart.Cap {
		t.Errorf("a Spec's policy before the system's before the default: %+v", p)
	}
	if p := own.or(DefaultRestart); p != own {
		t.Errorf("or() = %+v, want %+v", p, own)
	}
}

func FuzzBackoffStaysWithinItsCap(f *testing.F) {
	f.Add(int64(time.Second), int64(time.Minute), 5, uint64(1))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), 100, uint64(2))
	f.Fuzz(func(t *testing.T, base, top int64, n int, seed uint64) {
		if base <= 0 || top <= 0 || top > math.MaxInt64/2 || n > 1<<20 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		p := RestartPolicy{Base: time.Duration(base), Cap: time.Duration(top)}
		d := p.backoff(n, func(span int64) int64 { return r.Int64N(2*span+1) - span })
		if d < 0 || d > p.Cap+p.Cap/5 {
			t.Errorf("backoff(%d) = %v of %+v", n, d, p)
		}
	})
}
