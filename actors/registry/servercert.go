package registry

import (
	"crypto/rand"
	"crypto/tls"
	"sync"
	"time"

	"re6st/protocols/cert"
)

// serverCertificate is the registry's own certificate. Its key is in memory only:
// it is made at the start and again when half of its life is over.
type serverCertificate struct {
	issuer *cert.Issuer
	host   string
	now    func() time.Time

	mu      sync.Mutex // guards what follows
	current *tls.Certificate
	renew   time.Time
}

// get is for tls.Config. The chain holds the CA too, for who knows only its
// fingerprint.
func (s *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.current != nil && now.Before(s.renew) {
		return s.current, nil
	}
	key, err := cert.GenerateKey(rand.Reader, cert.ECDSA)
	if err != nil {
		return nil, err
	}
	der, err := s.issuer.IssueRegistry(rand.Reader, key.Public(), s.host, now)
	if err != nil {
		return nil, err
	}
	s.current = &tls.Certificate{Certificate: [][]byte{der, s.issuer.Certificate.Raw}, PrivateKey: key}
	s.renew = now.Add(cert.RegistryLifetime / 2)
	return s.current, nil
}
