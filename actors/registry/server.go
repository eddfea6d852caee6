package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// Limits bound what callers can cost the registry.
type Limits struct {
	Source      Rate // unauthenticated calls of one IPv4 address or IPv6 /64
	All         Rate // unauthenticated calls of all together
	Member      Rate // calls of one node
	Connections int  // at a time
	PerSource   int  // of one source at a time
	// Polls are the calls for updates that may wait at a time, of one source and in
	// all: fewer than the connections, so that others find a place.
	Polls, PollsPerSource int
	// Hold is how long such a call waits; 0: registry.MaxHold.
	Hold time.Duration
}

// DefaultLimits let a site of a hundred nodes behind one address join at once, and
// wait for updates.
var DefaultLimits = Limits{
	Source: Rate{16, 128}, All: Rate{256, 1024}, Member: Rate{2, 16}, Connections: 4096, PerSource: 256,
	Polls: 3072, PollsPerSource: 128,
}

// Timeouts of a connection, in all its phases, and of one call's work.
const (
	headerTimeout = 5 * time.Second // with the TLS handshake
	bodyTimeout   = 10 * time.Second
	idleTimeout   = 30 * time.Second
	workTimeout   = 8 * time.Second
	maxHeader     = 8 << 10
)

// retryAfter is the header that tells who is refused when to come again (RFC 9110
// section 10.2.3): placePause where it is places that are wanting, not time.
const (
	retryAfter = "Retry-After"
	placePause = 30 * time.Second
)

// server carries a service over HTTP.
type server struct {
	service *service
	log     *slog.Logger
	emit    func(Event)

	source *limiter[netip.Prefix]
	all    *limiter[struct{}]
	member *limiter[addr.NodeID]

	polls *polls
	hold  time.Duration

	calls sync.WaitGroup // joins the handlers; serve has one too, so that none of theirs comes as the first while it waits
}

func newServer(s *service, l Limits, log *slog.Logger, emit func(Event)) *server {
	made := &server{
		service: s, log: log, emit: emit,
		source: newLimiter[netip.Prefix](l.Source), all: newLimiter[struct{}](l.All), member: newLimiter[addr.NodeID](l.Member),
		polls: newPolls(l.Polls, l.PollsPerSource), hold: cmp.Or(l.Hold, registry.MaxHold),
	}
	made.calls.Add(1)
	return made
}

// http is a server that speaks TLS 1.3 and HTTP/1.1 only.
func (s *server) http(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	h := &http.Server{
		Handler:           s,
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // strangers' failed handshakes
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: certificate,
			// Asked for and verified by us, so that what is wrong with it can be said.
			ClientAuth: tls.RequestClientCert,
		},
	}
	h.RegisterOnShutdown(s.polls.close)
	return h
}

// call is one request on its way.
type call struct {
	from   netip.Addr
	member *cert.Identity // nil: a stranger
	query  string
	body   []byte
	waits  func(time.Duration) (context.Context, error) // gives the caller more time
}

// ServeHTTP answers one call; whatever goes wrong in it stays in it.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	defer s.calls.Done()
	c := call{from: remote(r.RemoteAddr), query: r.URL.RawQuery, waits: func(d time.Duration) (context.Context, error) { return patient(w, r, d) }}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a call panicked", "path", r.URL.Path, "from", c.from, "panic", p, "stack", string(debug.Stack()))
			s.refuse(w, r, c, registry.ErrInternal)
		}
	}()
	// Not the request's context: a join goes to its end also where its node has left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), workTimeout)
	defer cancel()
	answer, err := s.answer(ctx, w, r, &c)
	if err != nil {
		s.refuse(w, r, c, err)
		return
	}
	s.reply(w, http.StatusOK, answer)
}

// answer is what goes into the body of the reply: raw bytes, or JSON.
func (s *server) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, c *call) (any, error) {
	route, ok := routes[r.Method+" "+r.URL.Path]
	identity, err := s.identify(r)
	if wait := s.limit(c.from, identity); wait > 0 {
		w.Header().Set(retryAfter, strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return nil, fmt.Errorf("%w: again in %s", registry.ErrRateLimited, wait.Round(time.Millisecond))
	}
	if !ok {
		return nil, fmt.Errorf("%w: no %s %s here", registry.ErrRequest, r.Method, r.URL.Path)
	}
	if route.members {
		if err != nil {
			return nil, err
		}
		if c.member, err = s.admit(ctx, identity); err != nil {
			return nil, err
		}
	}
	c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, registry.MaxRequest))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", registry.ErrRequest, err)
	}
	return route.serve(s, ctx, c)
}

// routes of the v1 API.
var routes = map[string]struct {
	members bool
	serve   func(*server, context.Context, *call) (any, error)
}{
	"POST " + registry.PathJoin:      {false, (*server).join},
	"POST " + registry.PathBootstrap: {true, (*server).bootstrap},
	"GET " + registry.PathParams:     {true, (*server).params},
	"GET " + registry.PathUpdates:    {true, (*server).updates},
	"POST " + registry.PathRenew:     {true, (*server).renew},
}

// identify is the node whose certificate, of which TLS has proved that it holds
// the key, came with the call.
func (s *server) identify(r *http.Request) (*cert.Identity, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, fmt.Errorf("%w: no certificate came with the call", registry.ErrNotMember)
	}
	id, err := s.service.store.Authority().Verify(r.TLS.PeerCertificates[0].Raw, s.service.now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", registry.ErrNotMember, err)
	}
	return id, nil
}

// admit refuses a member whose certificate was revoked.
func (s *server) admit(ctx context.Context, id *cert.Identity) (*cert.Identity, error) {
	crl := s.service.newestCRL(ctx)
	if crl.Revokes(id) {
		return nil, fmt.Errorf("%w: %s %s", registry.ErrRevoked, id.Prefix.CN(), id.ID)
	}
	if err := s.service.used(ctx, id); err != nil {
		s.log.Error("a node's former certificates are not revoked yet", "id", id.ID, "error", err)
	}
	return id, nil
}

// limit is how long the caller has to wait; nodes are counted by their id.
func (s *server) limit(from netip.Addr, id *cert.Identity) time.Duration {
	now := s.service.now()
	if id != nil {
		return s.member.allow(id.ID, now)
	}
	if wait := s.source.allow(source(from), now); wait > 0 {
		return wait
	}
	return s.all.allow(struct{}{}, now)
}

func (s *server) join(ctx context.Context, c *call) (any, error) {
	r, err := registry.ParseJoinRequest(c.body)
	if err != nil {
		return nil, err
	}
	answer, id, err := s.service.join(ctx, r)
	if err != nil {
		return nil, err
	}
	s.emit(Joined{id.Prefix, id.ID, c.from})
	return answer, nil
}

func (s *server) bootstrap(ctx context.Context, c *call) (any, error) {
	r, err := registry.ParseBootstrapRequest(c.body)
	if err != nil {
		return nil, err
	}
	answer, unsaved, err := s.service.bootstrap(ctx, c.member, c.from, r)
	if unsaved != nil {
		s.log.Error("a node's endpoints are kept in memory only", "id", c.member.ID, "error", unsaved)
		s.emit(Unsaved{unsaved})
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (s *server) params(ctx context.Context, _ *call) (any, error) {
	return s.service.newestParams(ctx).Bytes, nil
}

func (s *server) updates(_ context.Context, c *call) (any, error) {
	held, err := registry.ParseHeld(c.query)
	if err != nil {
		return nil, err
	}
	displaced, done, err := s.polls.begin(c.member.ID, source(c.from))
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, err := c.waits(s.hold)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(displaced, cancel)()
	return s.service.updates(ctx, held, s.hold), nil
}

// patient has a call go on for longer than others, but no longer than its caller is
// there.
func patient(w http.ResponseWriter, r *http.Request, d time.Duration) (context.Context, error) {
	deadline := time.Now().Add(d + bodyTimeout)
	control := http.NewResponseController(w)
	return r.Context(), errors.Join(control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline))
}

func (s *server) renew(ctx context.Context, c *call) (any, error) {
	r, err := registry.ParseRenewRequest(c.body)
	if err != nil {
		return nil, err
	}
	answer, err := s.service.renew(ctx, c.member, r)
	if err != nil {
		return nil, err
	}
	s.emit(Renewed{c.member.Prefix, c.member.ID, c.from})
	return answer, nil
}

// refuse answers with an error. It is logged, but for what a flood would bring.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, c call, err error) {
	e, status := registry.NewError(err, s.service.now())
	switch {
	case errors.Is(e, registry.ErrRateLimited):
		if w.Header().Get(retryAfter) == "" {
			w.Header().Set(retryAfter, strconv.Itoa(int(placePause.Seconds())))
		}
	case errors.Is(e, registry.ErrUnavailable), errors.Is(e, registry.ErrInternal):
		s.log.Error("call failed", "path", r.URL.Path, "from", c.from, "error", err)
	default:
		s.log.Warn("call refused", "path", r.URL.Path, "from", c.from, "error", err)
	}
	s.emit(Refused{c.from, e})
	s.reply(w, status, e)
}

func (s *server) reply(w http.ResponseWriter, status int, answer any) {
	body, raw := answer.([]byte)
	kind := "text/plain; charset=utf-8"
	if !raw {
		kind = "application/json"
		var err error
		if body, err = json.Marshal(answer); err != nil {
			s.log.Error("an answer cannot be written", "error", err)
			status = http.StatusInternalServerError
		}
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("the caller left before the answer", "error", err)
	}
}
