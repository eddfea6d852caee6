package monitor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"re6st/actors/monitor/web"
	"re6st/actors/system"
)

const (
	// MaxSubscribers is how many readers of /events there may be at a time; others
	// are told to come back.
	MaxSubscribers = 16
	// listenRetry is how long to wait where the address could not be had.
	listenRetry = 10 * time.Second
)

// HTTPSpec makes the actor that serves the loopback at an address which
// web.CheckAddress accepts: the live page, metrics, events and what may be read of
// the sockets' calls. What fails in it ends nothing else; while the address is not
// to be had the node runs on without.
func HTTPSpec(cfg Config, at netip.AddrPort) system.Spec[Message] {
	if cfg.Build == (Build{}) {
		cfg.Build = ReadBuild()
	}
	return system.Spec[Message]{
		Kind:     "http",
		New:      func() system.Handler[Message] { return &httpHandler{cfg: cfg, at: at} },
		OnBudget: system.Quarantine,
	}
}

type httpHandler struct {
	cfg    Config
	at     netip.AddrPort
	lacked bool // the address, at the last try
}

// listenAgain says that it is time for another try.
type listenAgain struct{}

func (listenAgain) isMonitorMessage() {}

// Start serves, or arms the next try.
func (h *httpHandler) Start(ctx *system.Context[Message]) error {
	if err := web.CheckAddress(h.at); err != nil {
		return &system.Fault{Op: "start", Kind: system.BadConfig, Err: err}
	}
	h.listen(ctx)
	return nil
}

// Handle takes the timer's message.
func (h *httpHandler) Handle(ctx *system.Context[Message], m Message) error {
	if _, ok := m.(listenAgain); ok {
		h.listen(ctx)
	}
	return nil
}

// Stop has nothing to close: the listener is the pump's.
func (h *httpHandler) Stop(*system.Context[Message]) {}

func (h *httpHandler) listen(ctx *system.Context[Message]) {
	l, err := net.Listen("tcp", h.at.String())
	if err != nil {
		if !h.lacked {
			ctx.Event("http", fmt.Sprintf("not served: %v; tried again every %v", err, listenRetry))
		}
		h.lacked = true
		ctx.After(listenRetry, listenAgain{})
		return
	}
	h.lacked = false
	site, log := web.Guard(newSite(&server{h.cfg, ctx.Clock(), false})), ctx.Log()
	ctx.Pump("http", func(ctx context.Context, _ *system.Pump[Message]) error {
		return web.Serve(ctx, l, site, log)
	}, system.WithCloser(l))
	ctx.Event("http", "http://"+l.Addr().String()+"/")
}

// newSite is all that HTTP on the loopback shows.
func newSite(s *server) http.Handler {
	mux := http.NewServeMux()
	s.reads(mux)
	mux.HandleFunc("GET /v1/", noSuchCall)
	mux.Handle("GET /metrics", metrics(s))
	mux.Handle("GET /events", &feed{server: s})
	mux.Handle("GET /", web.Page(web.Node))
	return mux
}

// feed streams events to a bounded number of readers.
type feed struct {
	*server
	readers atomic.Int32
}

// ServeHTTP sends the last events, or those after the header Last-Event-ID, and
// then each as it happens, until the reader goes. A reader that is slow loses some:
// the next event says how many.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer f.readers.Add(-1)
	if f.readers.Add(1) > MaxSubscribers {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d others read the events already", MaxSubscribers))
		return
	}
	if r.Method == http.MethodHead {
		return
	}
	run := f.cfg.Sources.Status().Started.UTC().UnixMilli()
	sub := f.cfg.System.Subscribe(streamBuffer) // before Events, so that none is lost between
	defer sub.Close()
	out := web.NewStream(w)
	last := resumeAt(r.Header.Get("Last-Event-ID"), run)
	send := func(e system.Event) error {
		if e.Seq <= last {
			return nil
		}
		missed := uint64(0)
		if last > 0 {
			missed = e.Seq - last - 1
		}
		last = e.Seq
		return out.Send(fmt.Sprintf("%d.%d", run, e.Seq), eventOf(e, missed))
	}
	for _, e := range f.cfg.System.Events() {
		if send(e) != nil {
			return
		}
	}
	beat := time.NewTicker(web.Beat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case e := <-sub.C:
			err = send(e)
		case <-beat.C:
			err = out.Beat()
		}
		if err != nil {
			return
		}
	}
}

// resumeAt is the number of the last event that a reader has, 0 for none: an id is of
// one run of the node, whose numbers begin at 1.
func resumeAt(id string, run int64) uint64 {
	of, seq, ok := strings.Cut(id, ".")
	if !ok || of != strconv.FormatInt(run, 10) {
		return 0
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
