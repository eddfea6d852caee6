package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"re6st/actors/monitor"
	"re6st/actors/monitor/monitortest"
	"re6st/actors/system"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	if dir := os.Getenv("MONITOR_TEST_SERVE"); dir != "" {
		serveUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// serveUntilKilled is the child process of the tests about dead and living processes.
func serveUntilKilled(dir string) {
	if _, err := monitortest.Start(dir, monitortest.Sample()); err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("serving\n")
	select {}
}

// folder is short, for the path of a unix socket has at most 107 bytes.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "re6st") //nolint:usetesting // t.TempDir has the test's name in its path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func start(t *testing.T, dir string) {
	t.Helper()
	stop, err := monitortest.Start(dir, monitortest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// call is one request as it goes over the wire.
func call(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://re6st"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is otherwise (go test -update accepts it):\n%s", file, got)
	}
}

// The schema that others rely on. A field may be added; one that changes or goes
// makes a new Schema.
func TestAnswersAreAsTheSchemaSays(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	for _, name := range []string{"status", "peers", "tunnels", "routes", "claims", "actors", "events", "version"} {
		for _, socket := range []string{monitor.SocketName, monitor.ReadOnlySocketName} {
			code, body := call(t, filepath.Join(dir, socket), http.MethodGet, "/v1/"+name, "")
			if code != http.StatusOK {
				t.Errorf("%s on %s: %d %s", name, socket, code, body)
			}
			golden(t, name+".json", body)
		}
	}
}

func TestAnExplanationIsAsTheSchemaSays(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	for _, socket := range []string{monitor.SocketName, monitor.ReadOnlySocketName} {
		for dest, name := range map[string]string{"6/16": "explain.json", "192.0.2.1": "explain_nothing.json"} {
			code, body := call(t, filepath.Join(dir, socket), http.MethodPost, "/v1/explain", `{"dest":"`+dest+`"}`)
			if code != http.StatusOK {
				t.Errorf("%s on %s: %d %s", dest, socket, code, body)
			}
			golden(t, name, body)
		}
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	dir := folder(t)
	none := monitortest.Sample()
	none.Peers = func() []monitor.Peer { return nil }
	none.Tunnels = func() []monitor.Tunnel { return nil }
	none.Routes = func() []monitor.Route { return nil }
	stop, err := monitortest.Start(dir, none)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, name := range []string{"peers", "tunnels", "routes"} {
		if _, body := call(t, filepath.Join(dir, monitor.SocketName), http.MethodGet, "/v1/"+name, ""); !strings.Contains(body, `"`+name+`":[]`) {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	for _, c := range []struct {
		socket, method, path, body string
		code                       int
		says                       string
	}{
		{monitor.SocketName, "GET", "/v1/nonsense", "", 404, "no such call"},
		{monitor.SocketName, "POST", "/v1/status", "", 404, "no such call"},
		{monitor.SocketName, "GET", "/v1/events?follow=perhaps", "", 400, "follow"},
		{monitor.SocketName, "POST", "/v1/explain", `{"dest":"nowhere"}`, 400, "nowhere"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"nobody","how":"panic"}`, 404, "nobody"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"gently"}`, 400, "gently"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","hwo":"panic"}`, 400, "hwo"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"stall","for_ms":10}`, 400, "needs a pump"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"monitor","how":"stall","pump":"re6st.sock","for_ms":60001}`, 400, "up to 1m0s"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"panic","for_ms":10}`, 400, "only a stall"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"pump","pump":"x"}`, 400, "panic, error or stall"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"panic","count":1}`, 400, "for a system call"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"panic","pump":"nobody"}`, 404, "nobody"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"call":"sock.send","how":"panic"}`, 400, "either"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"call":"sock.paint","errno":"EIO","count":1}`, 400, "sock.paint"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"call":"sock.send","errno":"EGAD","count":1}`, 400, "EGAD"},
		{monitor.SocketName, "POST", "/v1/debug/fault", `{"call":"sock.send","errno":"EIO"}`, 400, "how often"},
		{monitor.ReadOnlySocketName, "POST", "/v1/debug/clear", "", 403, "read-only"},
		{monitor.ReadOnlySocketName, "POST", "/v1/debug/block", `{"carrier":"udp"}`, 403, "read-only"},
		{monitor.SocketName, "POST", "/v1/debug/block", `{"carriers":"udp"}`, 400, "carriers"},
		{monitor.SocketName, "POST", "/v1/debug/block", `{"carrier":"udp"}`, 400, "no carriers"},
		{monitor.ReadOnlySocketName, "POST", "/v1/debug/clock", `{"shift_ms":1000}`, 403, "read-only"},
		{monitor.SocketName, "POST", "/v1/debug/clock", `{"shift":1000}`, 400, "shift"},
		{monitor.SocketName, "POST", "/v1/debug/fault", strings.Repeat(" ", 5000), 400, "too large"},
		{monitor.ReadOnlySocketName, "POST", "/v1/debug/fault", `{"actor":"node","how":"panic"}`, 403, "read-only"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"192.0.2.1"}`, 400, "IPv4"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"somewhere"}`, 400, "node id"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"00000000000000ff"}`, 400, "not known"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"::1","count":20000}`, 400, "count"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"::1","interval_ms":1}`, 400, "interval"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"::1","timeout_ms":-1}`, 400, "timeout"},
		{monitor.SocketName, "POST", "/v1/ping", `{"dest":"::1","size":-1}`, 400, "size"},
	} {
		code, body := call(t, filepath.Join(dir, c.socket), c.method, c.path, c.body)
		var e monitor.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil || code != c.code || e.Version != monitor.Schema || !strings.Contains(e.Error, c.says) {
			t.Errorf("%s %s %s: %d %s, want %d and %q", c.method, c.path, c.body, code, body, c.code, c.says)
		}
	}
}

func TestInjectedFaultIsSeenInTheStreamOfEvents(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	client := monitor.NewClient(filepath.Join(dir, monitor.SocketName))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := errors.New("found")
	injected := false
	var last uint64
	err := monitor.Lines(ctx, client, http.MethodGet, "events?follow=1", nil, func(e monitor.Event) error {
		if e.Seq != last+1 || e.Missed != 0 {
			t.Errorf("event %d after %d, %d missed", e.Seq, last, e.Missed)
		}
		last = e.Seq
		if e.Actor == "monitor" && !injected {
			injected = true
			return client.Post(ctx, "debug/fault", monitor.FaultRequest{Actor: "node", How: "error"}, new(monitor.FaultAnswer))
		}
		if e.Actor == "node" && e.Kind == string(system.EventRestarted) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestSystemCallsToFailAreShownAndCleared(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	client := monitor.NewClient(filepath.Join(dir, monitor.SocketName))
	request := monitor.FaultRequest{Call: "tun.write", Errno: "EIO", Count: 3, For: 2000}
	if err := client.Post(t.Context(), "debug/fault", request, new(monitor.FaultAnswer)); err != nil {
		t.Fatal(err)
	}
	_, body := call(t, filepath.Join(dir, monitor.ReadOnlySocketName), "GET", "/v1/debug", "")
	golden(t, "debug.json", regexp.MustCompile(`"goroutines":[1-9][0-9]*`).ReplaceAllString(body, `"goroutines":42`))
	var d monitor.Debug
	if err := client.Post(t.Context(), "debug/clear", struct{}{}, &d); err != nil {
		t.Fatal(err)
	}
	for _, c := range d.Calls {
		if c.Errno != "" {
			t.Errorf("after a clear: %+v", c)
		}
	}
}

func TestANamedPumpFails(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	client := monitor.NewClient(filepath.Join(dir, monitor.SocketName))
	request := monitor.FaultRequest{Actor: "monitor", How: "error", Pump: monitor.ReadOnlySocketName}
	if err := client.Post(t.Context(), "debug/fault", request, new(monitor.FaultAnswer)); err != nil {
		t.Fatal(err)
	}
	awaitRestart(t, client, "monitor", "pump re6st-ro.sock: injected error")
}

// awaitRestart waits until an actor runs again after that fault.
func awaitRestart(t *testing.T, client *monitor.Client, path, fault string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var a monitor.Actors
		if client.Get(t.Context(), "actors", &a) != nil {
			continue // between the old and the new socket
		}
		for _, r := range a.Actors {
			if r.Path == path && r.State == system.Running.String() && r.LastFault == fault {
				return
			}
		}
	}
	t.Fatalf("%s did not restart after %q", path, fault)
}

func TestMonitorServesAgainAfterItsOwnFault(t *testing.T) {
	for _, how := range []string{"panic", "error", "pump"} {
		dir := folder(t)
		start(t, dir)
		client := monitor.NewClient(filepath.Join(dir, monitor.SocketName))
		if err := client.Post(t.Context(), "debug/fault", monitor.FaultRequest{Actor: "monitor", How: how}, new(monitor.FaultAnswer)); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for restarts := uint64(0); restarts == 0; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: it does not serve again", how)
			}
			var a monitor.Actors
			if client.Get(t.Context(), "actors", &a) != nil {
				continue // between the old and the new socket
			}
			for _, r := range a.Actors {
				if r.Path == "monitor" && r.State == system.Running.String() {
					restarts = r.Restarts
				}
			}
		}
	}
}

func TestPing(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	client := monitor.NewClient(filepath.Join(dir, monitor.ReadOnlySocketName))
	var got []monitor.PingLine
	q := monitor.PingRequest{Dest: "::1", Count: 3, Interval: 10, Timeout: 10000}
	err := monitor.Lines(t.Context(), client, http.MethodPost, "ping", q, func(l monitor.PingLine) error {
		got = append(got, l)
		return nil
	})
	if err != nil || len(got) == 0 {
		t.Fatalf("%v, %v", got, err)
	}
	end := got[len(got)-1]
	if strings.Contains(end.Error, "permi") {
		t.Skipf("needs root or a ping_group_range: %s", end.Error)
	}
	if len(got) != 4 || end.Summary == nil || end.Summary.Received != 3 || end.Summary.Source != netip.IPv6Loopback() {
		t.Fatalf("got %+v", got)
	}
	if r := got[0].Reply; r == nil || r.Sequence != 1 || r.Lost || r.Address != netip.IPv6Loopback() {
		t.Errorf("first %+v", got[0])
	}
}

func TestPingFindsNodesByPrefixAndByID(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	client := monitor.NewClient(filepath.Join(dir, monitor.SocketName))
	for dest, want := range map[string]string{
		"6/16": "2001:db8:42:6::1", "1/3": "2001:db8:42:2000::1", "00000000000000c3": "2001:db8:42:7::1", "00000000000000a1": "2001:db8:42:5::1",
	} {
		var end monitor.PingLine
		q := monitor.PingRequest{Dest: dest, Count: 1, Interval: 10, Timeout: 1}
		err := monitor.Lines(t.Context(), client, http.MethodPost, "ping", q, func(l monitor.PingLine) error { end = l; return nil })
		if strings.Contains(end.Error, "permi") {
			t.Skipf("needs root or a ping_group_range: %s", end.Error)
		}
		if err != nil || end.Summary == nil || end.Summary.Address.String() != want {
			t.Errorf("%s: %+v, %v, want %s", dest, end, err, want)
		}
	}
}

func TestSocketsAreForTheOwnerAndTheGroup(t *testing.T) {
	dir := folder(t)
	start(t, dir)
	for name, want := range map[string]fs.FileMode{monitor.SocketName: 0o600, monitor.ReadOnlySocketName: 0o660} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want || info.Mode()&fs.ModeSocket == 0 {
			t.Errorf("%s: %v, %v, want a socket of %o", name, info.Mode(), err, want)
		}
	}
}

func TestSocketsAreGoneAfterTheEnd(t *testing.T) {
	dir := folder(t)
	stop, err := monitortest.Start(dir, monitortest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{monitor.SocketName, monitor.ReadOnlySocketName} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if err := monitor.NewClient(monitor.SocketIn(dir)).Get(t.Context(), "status", new(monitor.Status)); !errors.Is(err, monitor.ErrNotRunning) {
		t.Errorf("a client says %v", err)
	}
}

// child serves dir in a process of its own.
func child(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "MONITOR_TEST_SERVE="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	if n, err := out.Read(said); err != nil || string(said[:n]) != "serving\n" {
		t.Fatalf("the child says %q, %v", said[:n], err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may be dead already
		_ = c.Wait()
	})
	return c
}

func TestSocketsOfADeadProcessAreReplaced(t *testing.T) {
	dir := folder(t)
	c := child(t, dir)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	if _, err := os.Stat(filepath.Join(dir, monitor.SocketName)); err != nil {
		t.Fatalf("the dead process left no socket: %v", err)
	}
	if err := monitor.NewClient(monitor.SocketIn(dir)).Get(t.Context(), "status", new(monitor.Status)); !errors.Is(err, monitor.ErrNotRunning) {
		t.Errorf("a client of the dead says %v", err)
	}
	start(t, dir)
	if err := monitor.NewClient(monitor.SocketIn(dir)).Get(t.Context(), "status", new(monitor.Status)); err != nil {
		t.Error(err)
	}
}

func TestSocketsOfALivingProcessAreRefusedWithItsID(t *testing.T) {
	dir := folder(t)
	c := child(t, dir)
	_, err := monitortest.Start(dir, monitortest.Sample())
	if err == nil || !errors.Is(err, monitor.ErrInUse) || !strings.Contains(err.Error(), "process "+itoa(c.Process.Pid)) {
		t.Errorf("started beside process %d: %v", c.Process.Pid, err)
	}
	if err := monitor.NewClient(monitor.SocketIn(dir)).Get(t.Context(), "status", new(monitor.Status)); err != nil {
		t.Errorf("the living process no longer serves: %v", err)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }
