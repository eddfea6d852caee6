package monitor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"re6st/actors/monitor"
	"re6st/actors/monitor/monitortest"
	"re6st/actors/monitor/web"
	"re6st/actors/system"
	"re6st/hw/clock"
)

// site is a running HTTP actor, and what it runs in.
type site struct {
	sys   *system.System
	clock *clock.Virtual
	sub   *system.Subscription
	url   string
}

// serveHTTP spawns the actor at an address; ready waits until it serves.
func serveHTTP(t *testing.T, at netip.AddrPort) *site {
	t.Helper()
	s := &site{clock: clock.NewVirtual(monitortest.Now)}
	s.sys = system.New(system.Config{Clock: s.clock})
	s.sub = s.sys.Subscribe(512)
	t.Cleanup(func() {
		s.sub.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.sys.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	cfg := monitor.Config{System: s.sys, Sources: monitortest.Sample(), Build: monitortest.Build}
	if _, err := system.Spawn(s.sys, "http", monitor.HTTPSpec(cfg, at)); err != nil {
		t.Fatal(err)
	}
	return s
}

// await returns the text of the next event of a kind.
func (s *site) await(t *testing.T, kind system.EventKind) string {
	t.Helper()
	for limit := time.After(30 * time.Second); ; {
		select {
		case e := <-s.sub.C:
			if e.Kind == kind {
				return e.Text
			}
		case <-limit:
			t.Fatalf("no event of kind %s", kind)
		}
	}
}

func served(t *testing.T) *site {
	t.Helper()
	s := serveHTTP(t, netip.MustParseAddrPort("127.0.0.1:0"))
	s.url = strings.TrimSuffix(s.await(t, "http"), "/")
	s.await(t, system.EventStarted)
	return s
}

// get asks for a path, with a change to the request where one is wanted.
func (s *site) get(t *testing.T, path string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

func TestMetricsAreThoseOfTheSnapshots(t *testing.T) {
	answer, body := served(t).get(t, "/metrics", nil)
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	families, err := new(expfmt.TextParser).TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v", err)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "re6st_link_up"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	ours := ""
	for line := range strings.Lines(body) {
		if strings.Contains(line, "re6st_") {
			ours += line
		}
	}
	golden(t, "metrics.txt", ours)
}

func TestMetricsFollowTheConventions(t *testing.T) {
	_, body := served(t).get(t, "/metrics", nil)
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestTwoLinksWithOnePeerAreOneInTheMetrics(t *testing.T) {
	s := &site{clock: clock.NewVirtual(monitortest.Now)}
	s.sys = system.New(system.Config{Clock: s.clock})
	s.sub = s.sys.Subscribe(64)
	defer s.sub.Close()
	sources := monitortest.Sample()
	sources.Tunnels = func() []monitor.Tunnel {
		all := monitortest.Sample().Tunnels()
		all[1].Node, all[0].State = all[0].Node, "dialing"
		return all
	}
	cfg := monitor.Config{System: s.sys, Sources: sources, Build: monitortest.Build}
	if _, err := system.Spawn(s.sys, "http", monitor.HTTPSpec(cfg, netip.MustParseAddrPort("[::1]:0"))); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	s.url = strings.TrimSuffix(s.await(t, "http"), "/")
	_, body := s.get(t, "/metrics", nil)
	for _, line := range []string{
		`re6st_link_up{peer="00000000000000b2",role="accepted"} 1`,
		`re6st_link_rtt_seconds{peer="00000000000000b2"} 0.00087`,
		`re6st_link_sent_packets_total{peer="00000000000000b2"} 1000`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestHTTPReadsWhatTheSocketsAnswer(t *testing.T) {
	s := served(t)
	for _, name := range []string{"status", "peers", "tunnels", "routes", "version"} {
		if answer, body := s.get(t, "/v1/"+name, nil); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, answer.Status)
		} else if name != "status" { // which tells the process id
			golden(t, name+".json", body)
		}
	}
	for _, path := range []string{"/v1/nonsense", "/nonsense", "/page/nonsense.js", "/page/../http.go"} {
		if answer, _ := s.get(t, path, nil); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}

func TestHTTPOnlyShows(t *testing.T) {
	s := served(t)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		for _, path := range []string{"/v1/debug/fault", "/v1/ping", "/v1/reload", "/v1/status", "/"} {
			if answer, _ := s.get(t, path, func(r *http.Request) { r.Method = method }); answer.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, path, answer.Status)
			}
		}
	}
}

// stream reads server-sent events.
type stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

func (s *site) stream(t *testing.T, lastID string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	t.Cleanup(func() { answer.Body.Close() })
	return &stream{answer.Body, bufio.NewScanner(answer.Body)}
}

func (s *stream) next(t *testing.T) (id string, e monitor.Event) {
	t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		if i, ok := strings.CutPrefix(line, "id: "); ok {
			id = i
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			return id, e
		}
	}
	t.Fatalf("the stream ended: %v", s.lines.Err())
	return "", e
}

func TestEventsAreStreamedAndResumed(t *testing.T) {
	s := served(t)
	first := s.stream(t, "")
	id, e := first.next(t)
	if e.Seq != 1 || e.Kind != "http" || e.Version != monitor.Schema {
		t.Errorf("the first is %+v", e)
	}
	if id2, e := first.next(t); e.Seq != 2 || e.Kind != string(system.EventStarted) || id2 == id {
		t.Errorf("then %s %+v", id2, e)
	}
	if err := s.sys.Inject("http", system.InjectPumpPanic); err != nil { // ends this stream, and is told to the next
		t.Fatal(err)
	}
	url := s.await(t, "http")
	s.url = strings.TrimSuffix(url, "/")
	if _, e := s.stream(t, id).next(t); e.Seq != 2 || e.Missed != 0 {
		t.Errorf("who had the first gets %+v", e)
	}
	if _, e := s.stream(t, "1234.2").next(t); e.Seq != 1 {
		t.Errorf("who comes from another run gets %+v", e)
	}
}

func TestReadersOfEventsAreBounded(t *testing.T) {
	s := served(t)
	var all []*stream
	for range monitor.MaxSubscribers {
		all = append(all, s.stream(t, ""))
	}
	answer, body := s.get(t, "/events", nil)
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !strings.Contains(body, "16 others") {
		t.Errorf("%s %s", answer.Status, body)
	}
	all[0].body.Close()
	for deadline := time.Now().Add(30 * time.Second); answer.StatusCode != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("no place became free")
		}
		answer, _ = s.get(t, "/events", func(r *http.Request) { r.Method = http.MethodHead })
	}
}

func TestAnAddressInUseIsTriedAgain(t *testing.T) {
	other, err := net.Listen("tcp", "127.83.79.1:0") // nobody else takes the port there while it is free
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(other.Addr().String())
	s := serveHTTP(t, at)
	if text := s.await(t, "http"); !strings.Contains(text, "not served") || !strings.Contains(text, "in use") {
		t.Errorf("the event says %q", text)
	}
	s.await(t, system.EventStarted)
	other.Close()
	for s.clock.Advance(11 * time.Second); ; {
		if text := s.await(t, "http"); text == fmt.Sprintf("http://%s/", at) {
			return
		}
	}
}

func TestOnlyTheLoopbackIsServed(t *testing.T) {
	for _, at := range []string{"0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[2001:db8::1]:80"} {
		if err := web.CheckAddress(netip.MustParseAddrPort(at)); err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), "127.0.0.1:PORT") {
			t.Errorf("%s: %v", at, err)
		}
	}
	s := serveHTTP(t, netip.MustParseAddrPort("0.0.0.0:0"))
	if text := s.await(t, system.EventStopped); !strings.Contains(text, "loopback") {
		t.Errorf("stopped with %q", text)
	}
}
