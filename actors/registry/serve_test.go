package registry_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/actors/system"
	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// patience bounds what waits for an event: a test that reaches it has failed.
const patience = 30 * time.Second

// running is a registry that serves on the loopback.
type running struct {
	dir    string
	store  *service.Store
	system *system.System
	at     service.Listening
	events chan service.Event
}

func serve(t *testing.T, dir string, change func(*service.Config)) *running {
	t.Helper()
	r := &running{dir: dir, events: make(chan service.Event, 1000)}
	cfg := service.Config{Dir: dir, Listen: "[::1]:0", Emit: func(e service.Event) { r.events <- e }}
	if change != nil {
		change(&cfg)
	}
	r.system = system.New(system.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(func() { r.stop(t) })
	if _, err := system.Spawn(r.system, "registry", service.Spec(cfg)); err != nil {
		t.Fatal(err)
	}
	r.at = await[service.Listening](t, r)
	r.store = reopen(t, dir)
	return r
}

func newRegistry(t *testing.T, change func(*service.Config)) *running {
	t.Helper()
	dir := t.TempDir()
	create(t, dir, func(c *service.Creation) { c.Now = time.Now() }).Close()
	return serve(t, dir, change)
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.system.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func await[E service.Event](t *testing.T, r *running) E {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-r.events:
			if wanted, ok := e.(E); ok {
				return wanted
			}
		case <-r.system.Done():
			t.Fatalf("the registry ended: %v", r.system.Err())
		case <-late:
			t.Fatalf("no %T", *new(E))
		}
	}
}

// invite makes a join line for the address bound.
func (r *running) invite(t *testing.T) registry.JoinLine {
	t.Helper()
	return registry.JoinLine{
		HostPort:    registry.HostPort{Host: r.at.Address.Addr().String(), Port: r.at.Address.Port()},
		Token:       token(t, r.store, 16, time.Now().Add(time.Hour)),
		Fingerprint: r.store.Authority().Fingerprint,
	}
}

func newDir(t *testing.T) nodedir.Dir {
	t.Helper()
	d, err := nodedir.Create(filepath.Join(t.TempDir(), "node"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func joining(t *testing.T, line registry.JoinLine) service.Joining {
	return service.Joining{Dir: newDir(t), Line: line, KeyType: cert.ECDSA, Now: time.Now, Waiting: func(error) {}}
}

// try joins, with a limit for what would be tried for ever.
func try(t *testing.T, j service.Joining) (*service.Member, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return service.Join(ctx, j)
}

func member(t *testing.T, r *running) *service.Member {
	t.Helper()
	m, err := try(t, joining(t, r.invite(t)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestJoinMakesAnIdentityOnDisk(t *testing.T) {
	r := newRegistry(t, nil)
	for i, kind := range []cert.KeyType{cert.ECDSA, cert.RSA, cert.Ed25519} {
		j := joining(t, r.invite(t))
		j.KeyType = kind
		m, err := try(t, j)
		if err != nil {
			t.Fatal(kind, err)
		}
		if want := fmt.Sprintf("%d/16", i); m.Identity.Prefix.CN() != want {
			t.Errorf("%s: joined as %s, want %s", kind, m.Identity.Prefix.CN(), want)
		}
		if e := await[service.Joined](t, r); e.ID != m.Identity.ID || e.From != netip.IPv6Loopback() {
			t.Errorf("event %+v", e)
		}
		loaded, err := service.LoadMember(j.Dir, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if loaded.Identity.ID != m.Identity.ID || loaded.StaticPrivate != m.StaticPrivate || loaded.StaticPublic != m.StaticPublic ||
			loaded.Registry != m.Registry || loaded.Params.Number != 1 || loaded.Authority.Network != network {
			t.Errorf("%s: loaded %+v, joined %+v", kind, loaded, m)
		}
		checkFiles(t, j.Dir)
	}
}

func checkFiles(t *testing.T, d nodedir.Dir) {
	t.Helper()
	entries, err := os.ReadDir(d.Path(""))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %o", e.Name(), info.Mode().Perm()))
	}
	want := "ca.crt 644, node.crt 644, node.key 600, node.toml 644, params 644, registry 644, static.key 600"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("files %s, want %s", s, want)
	}
}

func TestJoinKeepsAnIdentityUnlessForced(t *testing.T) {
	r := newRegistry(t, nil)
	j := joining(t, r.invite(t))
	if _, err := try(t, j); err != nil {
		t.Fatal(err)
	}
	j.Line = r.invite(t)
	if _, err := try(t, j); !errors.Is(err, service.ErrExists) {
		t.Errorf("a second join: %v", err)
	}
	if m, err := service.LoadMember(j.Dir, time.Now()); err != nil || m.Identity.Prefix.CN() != "0/16" {
		t.Errorf("the identity after it: %v", err)
	}
	j.Force = true
	if _, err := try(t, j); err != nil {
		t.Fatal(err)
	}
	if m, err := service.LoadMember(j.Dir, time.Now()); err != nil || m.Identity.Prefix.CN() != "1/16" {
		t.Errorf("the identity after --force: %v", err)
	}
}

func TestLostAnswerIsHadAgain(t *testing.T) {
	r := newRegistry(t, nil)
	j := joining(t, r.invite(t))
	// The connection dies when the answer comes: the registry has issued, the node knows nothing.
	j.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &answerless{Conn: c}, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	j.Waiting = func(error) { cancel() }
	if _, err := service.Join(ctx, j); !errors.Is(err, service.ErrNotReachable) {
		t.Fatalf("without an answer: %v", err)
	}
	issued := await[service.Joined](t, r)

	j.Dial, j.Waiting = nil, func(error) {}
	m, err := try(t, j)
	if err != nil || m.Identity.ID != issued.ID {
		t.Errorf("the same line again: %v, %v, want node %s", m, err, issued.ID)
	}
	if nodes, err := r.store.Nodes(t.Context()); err != nil || len(nodes) != 1 {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
	j.Dir = newDir(t)
	if _, err := try(t, j); !errors.Is(err, registry.ErrTokenUsed) {
		t.Errorf("the same line on another machine: %v", err)
	}
}

// answerless lets the TLS handshake and the request through, then loses the answer.
type answerless struct {
	net.Conn
	writes atomic.Int32
}

func (c *answerless) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func (c *answerless) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.writes.Load() >= 3 { // hello, finished, request
		return 0, errors.New("the line is cut")
	}
	return n, err
}

func TestWrongTokensAreExplained(t *testing.T) {
	r := newRegistry(t, nil)
	line := r.invite(t)
	line.Token = registry.Token{1}
	if _, err := try(t, joining(t, line)); !errors.Is(err, registry.ErrTokenUnknown) {
		t.Errorf("unknown: %v", err)
	}
	if e := await[service.Refused](t, r); !errors.Is(e.Error, registry.ErrTokenUnknown) {
		t.Errorf("the registry says %v", e.Error)
	}
	line.Token = token(t, r.store, 16, time.Now().Add(-time.Minute))
	if _, err := try(t, joining(t, line)); !errors.Is(err, registry.ErrTokenExpired) {
		t.Errorf("expired: %v", err)
	}
	line.Token = token(t, r.store, 1, time.Now().Add(time.Hour))
	for range 2 {
		if _, err := try(t, joining(t, line)); err != nil {
			t.Fatal(err)
		}
		line.Token = token(t, r.store, 1, time.Now().Add(time.Hour))
	}
	if _, err := try(t, joining(t, line)); !errors.Is(err, registry.ErrFull) {
		t.Errorf("full: %v", err)
	}
}

func TestWrongClockIsSaidOnBothSides(t *testing.T) {
	r := newRegistry(t, nil)
	j := joining(t, r.invite(t))
	j.Now = func() time.Time { return time.Unix(0, 0) }
	_, err := try(t, j)
	if !errors.Is(err, registry.ErrClock) || !strings.Contains(err.Error(), "1970-01-01T00:00:00Z") || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("the node says %v", err)
	}
	if e := await[service.Refused](t, r); !errors.Is(e.Error, registry.ErrClock) {
		t.Errorf("the registry says %v", e.Error)
	}
	j.NoClock = true // the token is still good
	m, err := try(t, j)
	if err != nil {
		t.Fatalf("without a clock: %v", err)
	}
	if _, err := service.LoadMember(j.Dir, j.Now()); err != nil {
		t.Errorf("a start without a clock: %v", err)
	}
	client := service.NewClient(m, nil, func() time.Time { return time.Now().Add(50 * year) })
	if _, err := client.Params(t.Context()); !errors.Is(err, registry.ErrClock) {
		t.Errorf("a member in the future: %v", err)
	}
}

func TestRegistryOfAnotherNetworkGetsNothing(t *testing.T) {
	r := newRegistry(t, nil)
	line := r.invite(t)
	line.Fingerprint[0] ^= 1
	if _, err := try(t, joining(t, line)); !errors.Is(err, service.ErrFingerprint) {
		t.Errorf("another fingerprint: %v", err)
	}
	if s, ok := system.Read[service.Status](r.system, "registry"); !ok || s.Refused != 0 || s.Joined != 0 {
		t.Errorf("calls arrived: %+v", s)
	}
}

func TestNodeCannotPlayTheRegistry(t *testing.T) {
	r := newRegistry(t, nil)
	evil := member(t, r)
	listener, err := tls.Listen("tcp", "[::1]:0", &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{evil.Certificate, evil.Authority.Certificate.Raw}, PrivateKey: evil.Key,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	server := &http.Server{
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() { server.Close(); <-served }()

	line := r.invite(t)
	line.Port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	if _, err := try(t, joining(t, line)); !errors.Is(err, cert.ErrNotRegistry) {
		t.Errorf("join: %v", err)
	}
	m := member(t, r)
	m.Registry = line.HostPort
	if _, err := service.NewClient(m, nil, time.Now).Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); !errors.Is(err, cert.ErrNotRegistry) {
		t.Errorf("bootstrap: %v", err)
	}
	if calls.Load() != 0 {
		t.Error("a call was sent to a node")
	}
}

func TestBootstrapHandsOutOthers(t *testing.T) {
	r := newRegistry(t, nil)
	a, b := member(t, r), member(t, r)
	own := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:7326"), netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("[2001:db8:42::1]:7326"),
	}
	first, err := service.NewClient(a, nil, time.Now).Bootstrap(t.Context(), 7326, 8443, own, [8]byte{1})
	if err != nil || len(first.Peers) != 0 || first.Observed != netip.IPv6Loopback() || first.Params.Number != 1 {
		t.Fatalf("alone: %+v, %v", first, err)
	}
	second, err := service.NewClient(b, nil, time.Now).Bootstrap(t.Context(), 7326, 0, nil, [8]byte{1})
	if err != nil || len(second.Peers) != 1 {
		t.Fatalf("the second: %+v, %v", second, err)
	}
	p := second.Peers[0]
	if p.ID != a.Identity.ID || p.Prefix != a.Identity.Prefix || p.Static != registry.StaticKey(a.StaticPublic) || p.TLSPort != 8443 {
		t.Errorf("peer %+v", p)
	}
	if len(p.Endpoints) != 1 || p.Endpoints[0] != own[0] {
		t.Errorf("endpoints %v: only %v can be reached by others", p.Endpoints, own[0])
	}

	r.stop(t) // what was said outlives the service
	again := serve(t, r.dir, nil)
	b.Registry.Port = again.at.Address.Port()
	third, err := service.NewClient(b, nil, time.Now).Bootstrap(t.Context(), 7326, 0, nil, [8]byte{2})
	if err != nil || len(third.Peers) != 1 || third.Peers[0].ID != a.Identity.ID || third.Peers[0].TLSPort != 8443 {
		t.Errorf("after a restart: %+v, %v", third, err)
	}
}

func TestMembersSeeNewParametersAtOnce(t *testing.T) {
	r := newRegistry(t, nil)
	client := service.NewClient(member(t, r), nil, time.Now)
	if _, err := r.store.SetParams(t.Context(), rand.Reader, []registry.Setting{{Key: "client_count", Value: "7"}}); err != nil {
		t.Fatal(err)
	}
	p, err := client.Params(t.Context())
	if err != nil || p.Number != 2 || p.ClientCount != 7 {
		t.Errorf("parameters %+v, %v", p, err)
	}
	b, err := client.Bootstrap(t.Context(), 0, 0, nil, [8]byte{1})
	if err != nil || b.Params.Number != 2 {
		t.Errorf("bootstrap: %v", err)
	}
}

func TestStrangersGetNoPeers(t *testing.T) {
	r, other := newRegistry(t, nil), newRegistry(t, nil)
	m := member(t, r)
	stranger := member(t, other)
	posing := *m
	posing.Key, posing.Certificate = stranger.Key, stranger.Certificate
	if _, err := service.NewClient(&posing, nil, time.Now).Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); !errors.Is(err, registry.ErrNotMember) {
		t.Errorf("a member of another network: %v", err)
	}
	unbound := *m
	unbound.StaticPublic = [32]byte{9}
	if _, err := service.NewClient(&unbound, nil, time.Now).Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); !errors.Is(err, registry.ErrRequest) {
		t.Errorf("another's static key: %v", err)
	}
	if gone, err := r.store.Expire(t.Context(), time.Now().Add(2*year)); err != nil || len(gone) != 1 {
		t.Fatal(gone, err)
	}
	if _, err := service.NewClient(m, nil, time.Now).Bootstrap(t.Context(), 1, 0, nil, [8]byte{1}); !errors.Is(err, registry.ErrNotMember) {
		t.Errorf("a node that the registry has forgotten: %v", err)
	}
}

func TestFloodOfOneSourceIsTurnedAway(t *testing.T) {
	r := newRegistry(t, func(c *service.Config) {
		c.Limits = service.DefaultLimits
		c.Limits.Source = service.Rate{PerSecond: 0.001, Burst: 3}
	})
	m := member(t, r)
	line := r.invite(t)
	line.Token = registry.Token{1}
	for range 2 {
		if _, err := try(t, joining(t, line)); !errors.Is(err, registry.ErrTokenUnknown) {
			t.Fatalf("within the burst: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	j := joining(t, line)
	j.Waiting = func(error) { cancel() } // told to come again: enough
	if _, err := service.Join(ctx, j); !errors.Is(err, registry.ErrRateLimited) {
		t.Errorf("beyond it: %v", err)
	}
	if _, err := service.NewClient(m, nil, time.Now).Params(t.Context()); err != nil {
		t.Errorf("a member from the same address: %v", err)
	}
}

func TestRetryAfterComesWithTheRefusal(t *testing.T) {
	r := newRegistry(t, func(c *service.Config) {
		c.Limits = service.DefaultLimits
		c.Limits.All = service.Rate{PerSecond: 0.001, Burst: 1} // the next one in 1000 s, less what passes between the calls
	})
	client := rawClient()
	for i, want := range []int{http.StatusBadRequest, http.StatusTooManyRequests} {
		answer, body := get(t, client, r, "/nothing")
		if answer.StatusCode != want {
			t.Errorf("call %d: %s %s, want %d", i, answer.Status, body, want)
		}
		after, err := strconv.Atoi(answer.Header.Get("Retry-After"))
		if told := err == nil && after > 900 && after <= 1000; told != (want == http.StatusTooManyRequests) {
			t.Errorf("call %d: Retry-After %q", i, answer.Header.Get("Retry-After"))
		}
		if e, ok := registry.ParseError([]byte(body)); !ok || e.Time.IsZero() {
			t.Errorf("call %d: body %s", i, body)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	r := newRegistry(t, nil)
	url := "https://" + r.at.Advertise.String() + registry.PathJoin
	answer, err := rawClient().Post(url, "application/json", strings.NewReader(strings.Repeat(" ", registry.MaxRequest+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a body too large: %s", answer.Status)
	}
}

// rawClient trusts anyone.
func rawClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func get(t *testing.T, c *http.Client, r *running, path string) (*http.Response, string) {
	t.Helper()
	answer, err := c.Get("https://" + r.at.Advertise.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestOldTLSIsRefused(t *testing.T) {
	r := newRegistry(t, nil)
	c := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if conn, err := tls.Dial("tcp", r.at.Address.String(), c); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was accepted")
	}
}

func TestManyJoinAtOnce(t *testing.T) {
	r := newRegistry(t, nil)
	var group sync.WaitGroup
	for range 20 {
		j := joining(t, r.invite(t))
		group.Go(func() {
			if _, err := try(t, j); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if nodes, err := r.store.Nodes(t.Context()); err != nil || len(nodes) != 20 {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
}

func TestRegistryComesBackAfterAPanic(t *testing.T) {
	r := newRegistry(t, nil)
	if err := r.system.Inject("registry", system.InjectPanic); err != nil {
		t.Fatal(err)
	}
	r.at = await[service.Listening](t, r)
	member(t, r)
}

func TestOperatorsMistakesEndTheService(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, func(c *service.Creation) { c.Now = time.Now() }).Close()
	future := t.TempDir()
	create(t, future, func(c *service.Creation) { c.Now = time.Now().Add(2 * time.Hour) }).Close()
	taken, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		cfg  service.Config
		want string
	}{
		"no registry":    {service.Config{Dir: t.TempDir(), Listen: "[::1]:0"}, "registry init"},
		"address in use": {service.Config{Dir: dir, Listen: taken.Addr().String()}, "in use"},
		"no address":     {service.Config{Dir: dir, Listen: "[::]:0"}, "--advertise"},
		"wrong clock":    {service.Config{Dir: future, Listen: "[::1]:0"}, "set the clock"},
	} {
		s := system.New(system.Config{})
		if _, err := system.Spawn(s, "registry", service.Spec(c.cfg)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Done():
		case <-time.After(patience):
			t.Fatalf("%s: the service goes on", name)
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}
