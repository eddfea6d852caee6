package registry

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// service answers the calls of the v1 API, whatever carries them. It is safe for
// concurrent use.
type service struct {
	store  *Store
	secret io.Reader // for ids, serial numbers and signatures
	now    func() time.Time

	mu     sync.Mutex // guards what follows
	peers  registry.Peers
	sample *rand.Rand
	params *registry.SignedParams // the newest that could be read
	crl    *cert.RevocationList   // likewise; nil: nothing was ever revoked
	news   chan struct{}          // closed when there are others
}

// newService reads the peers and parameters from the store.
func newService(ctx context.Context, store *Store, secret io.Reader, sample *rand.Rand, now func() time.Time) (*service, error) {
	s := &service{store: store, secret: secret, sample: sample, now: now, news: make(chan struct{})}
	nodes, err := store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if !n.Seen.IsZero() && n.Revoked.IsZero() {
			s.peers.Put(registry.Peer{Prefix: n.Prefix, ID: n.ID, Static: n.Static, Endpoints: n.Endpoints, TLSPort: n.TLSPort}, n.Seen)
		}
	}
	if s.params, err = store.Params(ctx); err != nil {
		return nil, err
	}
	s.crl, err = store.CRL(ctx)
	return s, err
}

// join redeems a token.
func (s *service) join(ctx context.Context, r registry.JoinRequest) (registry.JoinResponse, *cert.Identity, error) {
	now := s.now()
	if !r.Time.IsZero() {
		if err := registry.CheckClocks(r.Time, now); err != nil {
			return registry.JoinResponse{}, nil, err
		}
	}
	ca := s.store.Authority()
	key, err := s.provenKey(r.CSR, r.Static, r.Binding)
	if err != nil {
		return registry.JoinResponse{}, nil, err
	}
	params := s.newestParams(ctx)
	der, err := s.store.Join(ctx, s.secret, r.Token, key, r.Static, now, time.Duration(params.CertificateLifetime))
	if err != nil {
		return registry.JoinResponse{}, nil, err
	}
	id, err := ca.VerifyFloor(der, now)
	if err != nil {
		return registry.JoinResponse{}, nil, err
	}
	return registry.JoinResponse{Certificate: der, CA: ca.Certificate.Raw, Params: params.Bytes}, id, nil
}

// provenKey is the key of a certificate request whose sender has shown that it holds
// that and the static one.
func (s *service) provenKey(csr []byte, static registry.StaticKey, binding []byte) (crypto.PublicKey, error) {
	key, err := cert.ParseRequest(csr)
	if err == nil {
		err = cert.VerifyKeyBy(key, s.store.Authority().Fingerprint, static, binding)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", registry.ErrRequest, err)
	}
	return key, nil
}

// bootstrap notes where a node is and tells it of others. The note is kept in
// memory where the database cannot take it: unsaved says why.
func (s *service) bootstrap(ctx context.Context, id *cert.Identity, from netip.Addr, r registry.BootstrapRequest) (answer registry.BootstrapResponse, unsaved, err error) {
	now, ca := s.now(), s.store.Authority()
	if err := cert.VerifyKey(id, ca.Fingerprint, r.Static, r.Binding); err != nil {
		return answer, nil, fmt.Errorf("%w: %w", registry.ErrRequest, err)
	}
	params := s.newestParams(ctx)
	p := registry.Peer{Prefix: id.Prefix, ID: id.ID, Static: r.Static, Endpoints: endpoints(r, from, params.Classes), TLSPort: r.TLSPort}
	err = s.store.Seen(ctx, p, r.BootID, now)
	switch {
	case errors.Is(err, registry.ErrUnavailable):
		unsaved = err
	case err != nil:
		return answer, nil, fmt.Errorf("%w: %s %s", err, id.Prefix.CN(), id.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers.Put(p, now)
	return registry.BootstrapResponse{
		Observed: from,
		Peers:    s.peers.Sample(s.sample, id.ID, registry.MaxPeers, now),
		Params:   params.Bytes,
	}, unsaved, nil
}

// endpoints are the usable ones of a node's own list, and the address that it
// was seen at with its port.
func endpoints(r registry.BootstrapRequest, from netip.Addr, classes []registry.Class) (usable []netip.AddrPort) {
	var inside []netip.Prefix
	for _, c := range classes {
		inside = append(inside, c.Range)
	}
	for _, e := range append(slices.Clip(r.Endpoints), netip.AddrPortFrom(from, r.Port)) {
		if registry.CheckEndpoint(e, inside...) == nil && !slices.Contains(usable, e) {
			usable = append(usable, e)
		}
	}
	return usable
}

func (s *service) expire(ctx context.Context) ([]addr.NodeID, error) {
	gone, err := s.store.Expire(ctx, s.now())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range gone {
		s.peers.Remove(id)
	}
	return gone, nil
}
