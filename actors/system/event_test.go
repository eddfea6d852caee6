package system_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
	"re6st/actors/system/systemtest"
)

func TestEventsOfTheActorsOwn(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		ctx.Event("up", "link to n2")
		return nil
	}}))
	h.Run()
	got := h.Events()
	want := system.Event{Seq: 1, Time: h.Clock.Now(), Actor: "node", Kind: "up", Text: "link to n2"}
	if len(got) != 2 || got[0] != want || got[1].Kind != system.EventStarted {
		t.Errorf("events %+v, want %+v and started", got, want)
	}
	line, err := json.Marshal(got[0])
	if err != nil || string(line) != `{"seq":1,"time":"2026-01-01T00:00:00Z","actor":"node","kind":"up","text":"link to n2"}` {
		t.Errorf("as JSON: %s, %v", line, err)
	}
}

func TestEventRingKeepsTheLast(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		for i := range 1000 {
			ctx.Event(system.EventKind(fmt.Sprint("count", i)), "")
		}
		return nil
	}}))
	h.Run()
	got := h.Events()
	if len(got) != 256 || got[0].Seq != 1001-255 || got[255].Kind != system.EventStarted {
		t.Errorf("%d events from %d, want the last 256 of 1001", len(got), got[0].Seq)
	}
}

func TestSlowSubscriberDropsAndCounts(t *testing.T) {
	h := systemtest.New(t, 0)
	slow, closed := h.Subscribe(2), h.Subscribe(1)
	closed.Close()
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		for range 9 {
			ctx.Event("tick", "")
		}
		return nil
	}}))
	h.Run()
	if a, b := <-slow.C, <-slow.C; a.Seq != 1 || b.Seq != 2 || slow.Dropped() != 8 {
		t.Errorf("got events %d and %d, %d dropped; want 1, 2, 8 dropped", a.Seq, b.Seq, slow.Dropped())
	}
	if len(closed.C) != 0 || closed.Dropped() != 0 {
		t.Error("a closed subscription got events")
	}
}

func TestOnChildTellsTheParentOfItsChildrensLife(t *testing.T) {
	h := systemtest.New(t, 0)
	var got []string
	child := spec(probe{onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() < 3 {
			return errBoom
		}
		return nil
	}})
	child.Restart = system.RestartPolicy{Budget: 1, Window: time.Second}
	var ref system.Ref[message]
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) (err error) {
		ctx.OnChild(func(e system.Event) message {
			return do(func(*system.Context[message]) error {
				got = append(got, e.Actor+" "+string(e.Kind))
				return nil
			})
		})
		ref, err = system.Spawn(ctx, "peer", child)
		return err
	}}))
	h.Advance(time.Hour)
	ref.Stop()
	h.Run()
	want := "node/peer faulted,node/peer faulted,node/peer quarantined,node/peer restarted,node/peer stopped"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("the parent heard %s, want %s", s, want)
	}
}

func TestOnChildIsNotToldOfTheChildrenOfAnEarlierIncarnation(t *testing.T) {
	h := systemtest.New(t, 0)
	var got []string
	ref := spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		life := ctx.Number()
		ctx.OnChild(func(e system.Event) message {
			return do(func(*system.Context[message]) error {
				got = append(got, fmt.Sprint(life, " ", e.Kind))
				return nil
			})
		})
		_, err := system.Spawn(ctx, "peer", spec(probe{}))
		return err
	}}))
	h.Run()
	ref.Tell(do(boom))
	h.Run()
	if want := []string{"1 started", "2 started"}; !slices.Equal(got, want) {
		t.Errorf("the parent heard %q, want %q", got, want)
	}
}

func TestOnChildThatPanicsIsAFaultOfTheParent(t *testing.T) {
	h := systemtest.New(t, 0)
	spawn(t, h, "node", spec(probe{onStart: func(ctx *system.Context[message]) error {
		if ctx.Number() > 1 {
			return nil
		}
		ctx.OnChild(func(system.Event) message { panic("translate") })
		_, err := system.Spawn(ctx, "peer", spec(probe{}))
		return err
	}}))
	h.Run()
	if r := h.Record("node"); r.Restarts != 1 || r.FaultKind != "bug" || !strings.HasPrefix(r.LastFault, "child node/peer: panic") {
		t.Errorf("record %+v, want one restart for the panic", r)
	}
}

func TestOnlyTheLastFaultStoppedActorsStayInTheRecords(t *testing.T) {
	h := systemtest.New(t, 0)
	bad := spec(probe{onStart: func(*system.Context[message]) error {
		return &system.Fault{Op: "parse", Kind: system.BadConfig, Err: errBoom}
	}})
	for i := range 100 {
		spawn(t, h, fmt.Sprintf("bad-%03d", i), bad)
		h.Run()
		spawn(t, h, fmt.Sprintf("good-%03d", i), spec(probe{})).Stop()
		h.Run()
	}
	var paths []string
	for _, r := range h.Actors() {
		paths = append(paths, r.Path)
	}
	if len(paths) != 64 || paths[0] != "bad-036" || slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "good") }) {
		t.Errorf("%d records from %s, want the last 64 bad ones", len(paths), paths[0])
	}
}
