package flood

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
	"re6st/protocols/fabric"
)

// freshRate is how many handshakes a second are carried beyond the cookie: more than
// a node computes (fabric.HandshakeRate), as each costs this end as much.
const freshRate = 2 * fabric.HandshakeRate

// outsider makes credentials that know the network's CA, with a certificate that is
// not its.
func (s Spec) outsider() (*fabric.Credentials, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	der, err := cert.DecodeCertificate(text)
	if err != nil {
		return nil, err
	}
	authority, err := cert.ParseAuthority(der)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	other, err1 := cert.GenerateKey(crand.Reader, cert.ECDSA)
	key, err2 := cert.GenerateKey(crand.Reader, cert.ECDSA)
	static, err3 := fabric.GenerateStatic(crand.Reader)
	prefix, err4 := addr.ParseCN("5/16")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	issuer, err := cert.NewAuthority(crand.Reader, other, authority.Network, now)
	if err != nil {
		return nil, err
	}
	forged, err := issuer.IssueNode(crand.Reader, key.Public(), prefix, addr.NodeIDFromUint64(rand.Uint64()|1), now, time.Hour)
	if err != nil {
		return nil, err
	}
	id, err := issuer.Verify(forged, now)
	if err != nil {
		return nil, err
	}
	binding, err := cert.SignKey(crand.Reader, key, authority.Fingerprint, [32]byte(static.Public))
	return &fabric.Credentials{
		Authority: authority, Certificate: forged, Identity: id, Static: static, Binding: binding,
		Suites: []fabric.Suite{fabric.ChaCha20Poly1305},
	}, err
}

// handshake sends requests from all sources, and what their answers allow.
func (f *flooder) handshake(ctx context.Context) error {
	credentials, err := f.outsider()
	if err != nil {
		return err
	}
	var callers []*caller
	var reading sync.WaitGroup
	defer reading.Wait()
	fresh := budget{rate: freshRate, at: time.Now()}
	for _, from := range f.sources() {
		k, err := f.call(from, credentials)
		if err != nil {
			return fmt.Errorf("from %s: %w", from, err)
		}
		defer k.conn.Close()
		callers = append(callers, k)
		reading.Go(func() {
			for k.receive(fresh.take) {
			}
		})
	}
	f.pace(ctx, func(i int) {
		k := callers[i%len(callers)]
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.link.HandleTimeout(time.Now()); k.link.IsDown() || (i/len(callers))%8 == 7 {
			k.dial() // a new handshake, with a new index
			return
		}
		k.drain()
		k.send(k.request)
	})
	return nil
}

// garbage sends datagrams that look like an initiation.
func (f *flooder) garbage(ctx context.Context) error {
	var callers []*caller
	credentials, err := f.outsider()
	if err != nil {
		return err
	}
	for _, from := range f.sources() {
		k, err := f.call(from, credentials)
		if err != nil {
			return fmt.Errorf("from %s: %w", from, err)
		}
		defer k.conn.Close()
		callers = append(callers, k)
	}
	datagram := make([]byte, fabric.MinInitiation)
	_, _ = crand.Read(datagram)
	datagram[0], datagram[1] = fabric.FirstByte(fabric.TypeInitiation), 0
	f.pace(ctx, func(i int) {
		datagram[9]++
		callers[i%len(callers)].send(datagram)
	})
	return nil
}

// budget is how often something may be done.
type budget struct {
	mu   sync.Mutex
	rate float64
	left float64
	at   time.Time
}

func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.left, b.at = min(b.rate/10, b.left+now.Sub(b.at).Seconds()*b.rate), now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
