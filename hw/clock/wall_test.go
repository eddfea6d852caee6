package clock

import (
	"testing"
	"time"
)

const year = 365 * 24 * time.Hour

// machine is a wall clock and a monotonic one, of which a test moves either.
type machine struct {
	wall   time.Time
	mono   time.Duration
	synced bool
}

func (m *machine) pass(d time.Duration) { m.wall, m.mono = m.wall.Add(d), m.mono+d }

func (m *machine) start(floors ...time.Time) *Wall {
	w := &Wall{
		system: func() time.Time { return m.wall }, mono: func() time.Duration { return m.mono }, synced: func() bool { return m.synced },
	}
	w.begin(floors)
	return w
}

func wants(t *testing.T, w *Wall, at time.Time, state WallState) {
	t.Helper()
	if now, is := w.Now(); !now.Equal(at) || is != state {
		t.Errorf("it is %v, %s; want %v, %s", now, is, at, state)
	}
}

func TestAMachineWithoutAClockCountsFromWhatMustBe(t *testing.T) {
	m := &machine{wall: time.Unix(0, 0)}
	w := m.start(Epoch.Add(-year), Epoch, time.Time{})
	m.pass(time.Hour)
	wants(t, w, Epoch.Add(time.Hour), Floor)
	w.Raise(Epoch.Add(time.Minute)) // that is past
	w.Raise(Epoch.Add(3 * time.Hour))
	m.pass(time.Hour)
	wants(t, w, Epoch.Add(4*time.Hour), Floor)
	m.wall = Epoch.Add(10 * year) // a time service comes
	m.synced = true
	wants(t, w, m.wall, Synchronised)
}

func TestAClockThatIsKeptRightIsBelievedWhateverItDoes(t *testing.T) {
	m := &machine{wall: Epoch, synced: true}
	w := m.start(Epoch.Add(year)) // saved by a run whose clock was wrong
	wants(t, w, Epoch, Synchronised)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, year, -2 * year} {
		m.wall = m.wall.Add(jump)
		wants(t, w, m.wall, Synchronised)
	}
}

func TestAJumpOfAClockThatNobodyKeepsRight(t *testing.T) {
	for _, c := range []struct {
		jump     time.Duration
		believed bool
	}{{time.Hour, true}, {MaxStep, true}, {-time.Hour, false}, {year, false}, {-year, false}, {-slack / 2, true}} {
		m := &machine{wall: Epoch}
		w := m.start()
		m.pass(time.Hour)
		wants(t, w, Epoch.Add(time.Hour), Unsynchronised)
		m.wall = m.wall.Add(c.jump)
		m.pass(time.Minute)
		if c.believed {
			wants(t, w, m.wall, Unsynchronised)
			continue
		}
		wants(t, w, Epoch.Add(time.Hour+time.Minute), Floor)
		m.pass(5 * year) // nor is it when one looks seldom
		wants(t, w, Epoch.Add(5*year+time.Hour+time.Minute), Floor)
		m.wall = m.wall.Add(-c.jump)
		wants(t, w, m.wall, Unsynchronised)
	}
}

func TestSignedParametersMakeAJumpPlausible(t *testing.T) {
	m := &machine{wall: Epoch}
	w := m.start()
	m.wall = m.wall.Add(year)
	wants(t, w, Epoch, Floor)
	w.Raise(m.wall.Add(-time.Hour))
	wants(t, w, m.wall, Unsynchronised)
}

func TestJumpMovesTheWallClockAndNoOther(t *testing.T) {
	for _, d := range []time.Duration{year, -time.Hour, -2 * year} {
		before, bare := Real{}.Now(), time.Now()
		Jump(d)
		after := Real{}.Now()
		Jump(-d)
		if passed := after.Sub(before); passed < 0 || passed > time.Minute {
			t.Errorf("a jump of %v made %v pass", d, passed)
		}
		if off := after.Round(0).Sub(bare.Round(0)) - d; off < -time.Second || off > time.Minute {
			t.Errorf("a jump of %v moved the wall clock by %v more", d, off)
		}
	}
	if shifted(Epoch, 60) != Epoch.Add(time.Minute) { // without a monotonic reading
		t.Error("a bare time is not shifted")
	}
}

func TestASystemThatJumpedIsNotCalledSynchronised(t *testing.T) {
	Jump(time.Hour)
	defer Jump(-time.Hour)
	if IsSynchronised() {
		t.Error("synchronised, an hour off")
	}
}
