package registry

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"re6st/hw/clock"
	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// callTimeout bounds one call to one address, with the connection it is made on;
// connectTimeout bounds the making of that where there are other addresses to try.
const (
	callTimeout    = 20 * time.Second
	connectTimeout = 5 * time.Second
)

// Pauses between attempts to join while the registry cannot be reached.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Dial connects to the registry. A node gives one whose sockets bear its mark.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Client calls a registry, one connection for each call. It is safe for
// concurrent use.
type Client struct {
	member atomic.Pointer[Member] // nil: not yet one
	now    func() time.Time
	http   *http.Client

	mu        sync.Mutex          // guards what follows
	addresses []registry.HostPort // of the registry, the one that answered last first
}

// Bootstrap is what a node learns from the registry.
type Bootstrap struct {
	Observed netip.Addr // where the registry saw this node
	Peers    []registry.Peer
	Params   *registry.SignedParams
}

// NewClient makes the client of a member. dial may be nil; now is the time that
// certificates are judged at.
func NewClient(m *Member, dial Dial, now func() time.Time) *Client {
	c := &Client{addresses: []registry.HostPort{m.Registry}, now: now}
	c.member.Store(m)
	c.SetRegistries(m.Params.Registries)
	c.http = c.transport(dial, &tls.Config{
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			m := c.member.Load()
			return &tls.Certificate{Certificate: [][]byte{m.Certificate, m.Authority.Certificate.Raw}, PrivateKey: m.Key}, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			err := m.Authority.VerifyRegistry(state.PeerCertificates[0].Raw, now())
			if errors.Is(err, cert.ErrNotYetValid) || errors.Is(err, cert.ErrExpired) {
				return fmt.Errorf("%w: %w", registry.ErrClock, err)
			}
			return err
		},
	})
	return c
}

// newJoinClient makes a client that knows the registry's CA by its fingerprint.
func newJoinClient(line registry.JoinLine, dial Dial, now func() time.Time) *Client {
	c := &Client{addresses: []registry.HostPort{line.HostPort}, now: now}
	c.http = c.transport(dial, &tls.Config{
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := pinned(state.PeerCertificates[0].Raw, chain(state), line.Fingerprint)
			return err
		},
	})
	return c
}

// transport is an HTTP client whose config verifies the server by itself: by the
// network's CA alone, and by role rather than by name.
func (c *Client) transport(dial Dial, config *tls.Config) *http.Client {
	config.MinVersion = tls.VersionTLS13
	config.InsecureSkipVerify = true
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, connectTimeout)
				defer cancel()
				return dial(ctx, network, address)
			},
			TLSClientConfig:   config,
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SetMember has later calls show a renewed certificate.
func (c *Client) SetMember(m *Member) { c.member.Store(m) }

// SetRegistries replaces the addresses that are tried beside the one that the node
// joined by. Those that are none are left out.
func (c *Client) SetRegistries(more []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []registry.HostPort{c.member.Load().Registry}
	for _, text := range more {
		if at, err := registry.ParseHostPort(text); err == nil && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	if i := slices.Index(all, c.addresses[0]); i > 0 {
		all[0], all[i] = all[i], all[0]
	}
	c.addresses = all
}

// prefer has an address that answered tried first from now on.
func (c *Client) prefer(at registry.HostPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.addresses, at); i > 0 {
		c.addresses = slices.Clone(c.addresses) // a call may go through them
		c.addresses[0], c.addresses[i] = c.addresses[i], c.addresses[0]
	}
}

func (c *Client) candidates() []registry.HostPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses
}

func chain(state tls.ConnectionState) (ders [][]byte) {
	for _, c := range state.PeerCertificates[1:] {
		ders = append(ders, c.Raw)
	}
	return ders
}

// pinned finds the CA with this fingerprint in what the server sent, and checks
// that the server is its registry. The dates wait: the answer to the join tells
// better which clock is wrong.
func pinned(leaf []byte, others [][]byte, fingerprint [32]byte) (*cert.Authority, error) {
	for _, der := range others {
		a, err := cert.ParseAuthority(der)
		if err == nil && a.Fingerprint == fingerprint {
			return a, a.VerifyRegistryAnytime(leaf)
		}
	}
	return nil, fmt.Errorf("%w: the server there has another CA; nothing was sent to it", ErrFingerprint)
}

// join asks for a certificate, again and again while the registry cannot be
// reached or is too busy, until ctx ends. The answer is verified, but for its
// dates.
func (c *Client) join(ctx context.Context, line registry.JoinLine, r registry.JoinRequest, waiting func(error)) (*cert.Authority, registry.JoinResponse, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if !r.Time.IsZero() {
			r.Time = c.now()
		}
		var answer registry.JoinResponse
		var authority *cert.Authority
		body, state, err := c.call(ctx, http.MethodPost, registry.PathJoin, r)
		if err == nil {
			if authority, err = pinned(state.PeerCertificates[0].Raw, chain(*state), line.Fingerprint); err == nil {
				answer, err = registry.ParseJoinResponse(body)
			}
			return authority, answer, err
		}
		if !errors.Is(err, ErrNotReachable) && !errors.Is(err, registry.ErrRateLimited) {
			return nil, answer, err
		}
		waiting(err)
		var busy *busyError
		if errors.As(err, &busy) {
			pause = max(pause, busy.wait)
		}
		if clock.Sleep(ctx, clock.Real{}, pause) != nil {
			return nil, answer, err
		}
	}
}

// Bootstrap tells the registry where this node can be reached, on port (0: not at
// the address that the registry sees) and at endpoints, and by TLS at tlsPort of these (0: nowhere), and returns
// other nodes, in random order. It is one attempt: when to try again is the node's decision.
func (c *Client) Bootstrap(ctx context.Context, port, tlsPort uint16, endpoints []netip.AddrPort, boot [8]byte) (*Bootstrap, error) {
	m := c.member.Load()
	body, _, err := c.call(ctx, http.MethodPost, registry.PathBootstrap, registry.BootstrapRequest{
		Port: port, TLSPort: tlsPort, Endpoints: endpoints, Static: registry.StaticKey(m.StaticPublic), Binding: m.Binding, BootID: boot,
	})
	if err != nil {
		return nil, err
	}
	answer, err := registry.ParseBootstrapResponse(body)
	if err != nil {
		return nil, err
	}
	params, err := registry.VerifyParams(m.Authority, answer.Params)
	if err != nil {
		return nil, err
	}
	return &Bootstrap{answer.Observed, usablePeers(answer.Peers, m.Identity.ID, params), params}, nil
}

// usablePeers leaves out this node and what nobody should send to.
func usablePeers(peers []registry.Peer, self addr.NodeID, params *registry.SignedParams) (usable []registry.Peer) {
	var inside []netip.Prefix
	for _, class := range params.Classes {
		inside = append(inside, class.Range)
	}
	for _, p := range peers {
		p.Endpoints = slices.DeleteFunc(p.Endpoints, func(e netip.AddrPort) bool { return registry.CheckEndpoint(e, inside...) != nil })
		if p.ID != self && len(p.Endpoints) > 0 {
			usable = append(usable, p)
		}
	}
	return usable
}

// Params fetches the newest parameters.
func (c *Client) Params(ctx context.Context) (*registry.SignedParams, error) {
	body, _, err := c.call(ctx, http.MethodGet, registry.PathParams, nil)
	if err != nil {
		return nil, err
	}
	return registry.VerifyParams(c.member.Load().Authority, body)
}

// Updates are the documents that are newer than what a node holds, verified; nil for
// one that is not.
type Updates struct {
	Params *registry.SignedParams
	CRL    *cert.RevocationList
}

// Updates waits until there is something newer than held, for about
// registry.MaxHold.
func (c *Client) Updates(ctx context.Context, held registry.Held) (u Updates, err error) {
	body, _, err := c.callFor(ctx, registry.MaxHold+callTimeout, registry.MaxUpdates, http.MethodGet, registry.PathUpdates+held.Query(), nil)
	if err != nil {
		return u, err
	}
	answer, err := registry.ParseUpdatesResponse(body)
	if err != nil {
		return u, err
	}
	authority := c.member.Load().Authority
	if answer.Params != nil {
		if u.Params, err = registry.VerifyParams(authority, answer.Params); err != nil {
			return Updates{}, err
		}
	}
	if answer.CRL != nil {
		if u.CRL, err = authority.ParseRevocations(answer.CRL); err != nil {
			return Updates{}, err
		}
	}
	return u, nil
}

// renew asks for another certificate. What it returns has to be verified.
func (c *Client) renew(ctx context.Context, r registry.RenewRequest) ([]byte, error) {
	body, _, err := c.call(ctx, http.MethodPost, registry.PathRenew, r)
	if err != nil {
		return nil, err
	}
	answer, err := registry.ParseRenewResponse(body)
	return answer.Certificate, err
}

// busyError is a refusal that tells when to come again.
type busyError struct {
	refused *registry.Error
	wait    time.Duration
}

func (e *busyError) Error() string { return e.refused.Error() }
func (e *busyError) Unwrap() error { return e.refused }

// call makes one call. What the registry refused is a *registry.Error; where
// there was no answer, the error is ErrNotReachable.
func (c *Client) call(ctx context.Context, method, path string, message any) ([]byte, *tls.ConnectionState, error) {
	return c.callFor(ctx, callTimeout, registry.MaxResponse, method, path, message)
}

// callFor is call with a time for each address and a bound of the answer: the
// addresses are tried until one is reached.
func (c *Client) callFor(ctx context.Context, timeout time.Duration, most int64, method, path string, message any) ([]byte, *tls.ConnectionState, error) {
	var body []byte
	if message != nil {
		var err error
		if body, err = json.Marshal(message); err != nil {
			return nil, nil, err
		}
	}
	var unreached error
	for _, at := range c.candidates() {
		content, state, err := c.callAt(ctx, at, timeout, most, method, path, body)
		if !errors.Is(err, ErrNotReachable) {
			c.prefer(at)
			return content, state, err
		}
		if unreached = errors.Join(unreached, err); ctx.Err() != nil {
			break
		}
	}
	return nil, nil, unreached
}

func (c *Client) callAt(ctx context.Context, at registry.HostPort, timeout time.Duration, most int64, method, path string, body []byte) ([]byte, *tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "https://"+at.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, nil, unreached(at, err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err != nil {
		return nil, nil, unreached(at, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, nil, refusal(answer, content)
	}
	return content, answer.TLS, nil
}

// unreached marks an error as ErrNotReachable, unless somebody was reached who is
// not the registry, or who judged by a clock.
func unreached(at registry.HostPort, err error) error {
	for _, final := range []error{
		ErrFingerprint, registry.ErrClock, cert.ErrUntrusted, cert.ErrNotRegistry, cert.ErrExpired, cert.ErrNotYetValid, cert.ErrMalformed,
	} {
		if errors.Is(err, final) {
			return err
		}
	}
	return fmt.Errorf("%w at %s: %w", ErrNotReachable, at, err)
}

func refusal(answer *http.Response, content []byte) error {
	e, ok := registry.ParseError(content)
	if !ok {
		return fmt.Errorf("the registry answered %s, and not as one of ours", answer.Status)
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return &busyError{e, min(time.Duration(seconds)*time.Second, time.Minute)}
	}
	return e
}

// newJoinRequest is what proves that its sender holds key and the static key.
func newJoinRequest(line registry.JoinLine, key crypto.Signer, static, binding []byte, now time.Time) (registry.JoinRequest, error) {
	csr, err := cert.NewRequest(rand.Reader, key)
	return registry.JoinRequest{
		Token: line.Token, CSR: csr, Static: registry.StaticKey(static), Binding: binding, Time: now,
	}, err
}
