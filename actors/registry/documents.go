package registry

import (
	"context"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// newestParams are the parameters of now.
func (s *service) newestParams(ctx context.Context) *registry.SignedParams {
	s.refresh(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params
}

// newestCRL is the revocation list of now; nil where nothing was ever revoked.
func (s *service) newestCRL(ctx context.Context) *cert.RevocationList {
	s.refresh(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crl
}

// refresh reads the documents that another process has changed, so that a change
// counts at once; where that fails, those read before count.
func (s *service) refresh(ctx context.Context) {
	newest, err := s.store.Held(ctx)
	if err != nil {
		return
	}
	if newest.Params > s.held().Params {
		if p, err := s.store.Params(ctx); err == nil {
			s.adopt(p, nil)
		}
	}
	if newest.CRL > s.held().CRL {
		if l, err := s.store.CRL(ctx); err == nil {
			s.adopt(nil, l)
		}
	}
}

// held are the numbers of the documents that were read.
func (s *service) held() registry.Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return registry.Held{Params: s.params.Number, CRL: cert.NumberOf(s.crl)}
}

// adopt takes a newer document, and wakes those that wait for one.
func (s *service) adopt(p *registry.SignedParams, l *cert.RevocationList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil && p.Supersedes(s.params) {
		s.params = p
	}
	if l != nil && l.Supersedes(s.crl) {
		s.crl = l
		for _, id := range l.Nodes() {
			s.peers.Remove(id)
		}
	}
	close(s.news)
	s.news = make(chan struct{})
}

// newerThan is what there is beside what a node holds, and what is closed once there
// is more.
func (s *service) newerThan(h registry.Held) (answer registry.UpdatesResponse, news <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.params.Number > h.Params {
		answer.Params = s.params.Bytes
	}
	if s.crl != nil && s.crl.Number > h.CRL {
		answer.CRL = s.crl.Bytes
	}
	return answer, s.news
}

// updates waits until there is something newer than what a node holds, or hold has
// passed, or ctx ends.
func (s *service) updates(ctx context.Context, h registry.Held, hold time.Duration) registry.UpdatesResponse {
	s.refresh(ctx)
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		answer, news := s.newerThan(h)
		if answer.Params != nil || answer.CRL != nil {
			return answer
		}
		select {
		case <-news:
		case <-timer.C:
			return answer
		case <-ctx.Done():
			return answer
		}
	}
}

// used notes that a node showed a certificate: with the first use of one for another
// key the former ones end.
func (s *service) used(ctx context.Context, id *cert.Identity) error {
	l, err := s.store.Used(ctx, s.secret, id, s.now())
	if l != nil {
		s.adopt(nil, l)
	}
	return err
}

// renew issues another certificate to a node.
func (s *service) renew(ctx context.Context, id *cert.Identity, r registry.RenewRequest) (registry.RenewResponse, error) {
	key, err := s.provenKey(r.CSR, r.Static, r.Binding)
	if err != nil {
		return registry.RenewResponse{}, err
	}
	lifetime := time.Duration(s.newestParams(ctx).CertificateLifetime)
	der, err := s.store.Renew(ctx, s.secret, id, key, r.Static, s.now(), lifetime)
	return registry.RenewResponse{Certificate: der}, err
}

// watchEvery is how often the service looks whether another process has changed the
// database.
const watchEvery = 250 * time.Millisecond
