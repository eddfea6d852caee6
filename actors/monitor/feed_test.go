package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"re6st/actors/system"
)

// idle is an actor that does nothing.
type idle struct{}

func (idle) Start(*system.Context[Message]) error           { return nil }
func (idle) Handle(*system.Context[Message], Message) error { return nil }
func (idle) Stop(*system.Context[Message])                  {}

// slowReader takes no event until it is told to, and then all.
type slowReader struct {
	*httptest.ResponseRecorder
	began, read chan struct{} // closed at the first event, and when it is to be read
	got         chan Event
}

func (r *slowReader) Write(b []byte) (int, error) {
	_, data, ok := strings.Cut(string(b), "data: ")
	if !ok {
		return len(b), nil // a comment
	}
	select {
	case <-r.began:
	default:
		close(r.began)
	}
	<-r.read
	var e Event
	err := json.Unmarshal([]byte(data), &e)
	r.got <- e
	return len(b), err
}

func (r *slowReader) SetWriteDeadline(time.Time) error { return nil }

func TestASlowReaderLosesEventsAndIsToldHowMany(t *testing.T) {
	sys := system.New(system.Config{})
	defer func() {
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	watch := sys.Subscribe(2 * streamBuffer)
	defer watch.Close()
	raise := func(n int) { // that many events
		for i := range n {
			spec := system.Spec[Message]{Kind: "idle", New: func() system.Handler[Message] { return idle{} }}
			if _, err := system.Spawn(sys, fmt.Sprintf("%d of %d", i, n), spec); err != nil {
				t.Fatal(err)
			}
		}
		for range n {
			<-watch.C
		}
		sys.Events() // waits until the last one was handed to the others too
	}
	raise(1)
	cfg := Config{System: sys, Sources: Sources{Status: func() Status { return Status{} }}}
	ctx, leave := context.WithCancel(t.Context())
	reader := &slowReader{httptest.NewRecorder(), make(chan struct{}), make(chan struct{}), make(chan Event, 2*streamBuffer)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		(&feed{server: &server{cfg: cfg}}).ServeHTTP(reader, httptest.NewRequestWithContext(ctx, "GET", "/events", nil))
	}()
	<-reader.began
	const lost = 100
	raise(streamBuffer + lost) // and the node does not wait
	close(reader.read)
	for want := range uint64(1 + streamBuffer) {
		if e := <-reader.got; e.Seq != want+1 || e.Missed != 0 {
			t.Fatalf("event %d, %d missed, want %d", e.Seq, e.Missed, want+1)
		}
	}
	raise(2)
	if e := <-reader.got; e.Missed != lost || e.Seq != streamBuffer+lost+2 {
		t.Errorf("after the loss event %d, %d missed", e.Seq, e.Missed)
	}
	leave()
	<-served
}
