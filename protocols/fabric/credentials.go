package fabric

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/flynn/noise"

	"re6st/protocols/cert"
)

// BootID is drawn at random when a node starts. It tells a node that restarted
// from two that run with one certificate.
type BootID = [8]byte

// ErrCredentials is what Check finds wrong with a node's own credentials.
var ErrCredentials = errors.New("fabric: unusable credentials")

// Credentials are what a node shows in handshakes. Machines share one value and
// never change it; a renewed certificate is a new value, for SetCredentials.
type Credentials struct {
	Authority   *cert.Authority
	Certificate []byte         // of this node, DER
	Identity    *cert.Identity // what Certificate says
	Static      noise.DHKey    // X25519
	Binding     []byte         // cert.SignKey over Static
	BootID      BootID
	Suites      []Suite // this node's, best first

	// Verify replaces Authority.Verify where it is not nil: a device that does
	// not know the time passes its VerifyFloor.
	Verify func(leafDER []byte, now time.Time) (*cert.Identity, error)
	// Revoked tells whether a certificate that is otherwise good counts no more; nil:
	// none is. Several machines may call it at once.
	Revoked func(peer *cert.Identity) bool
}

func (c *Credentials) isRevoked(peer *cert.Identity) bool { return c.Revoked != nil && c.Revoked(peer) }

// GenerateStatic draws a static X25519 key.
func GenerateStatic(rand io.Reader) (noise.DHKey, error) {
	return noise.DH25519.GenerateKeypair(rand)
}

// Check tells with ErrCredentials what no peer would accept. It does not look at
// the certificate's dates.
func (c *Credentials) Check() error {
	switch {
	case c.Authority == nil || c.Identity == nil:
		return fmt.Errorf("%w: authority or identity is missing", ErrCredentials)
	case !bytes.Equal(c.Identity.Certificate.Raw, c.Certificate):
		return fmt.Errorf("%w: the identity is of another certificate", ErrCredentials)
	case len(c.Static.Private) != keyLen || len(c.Static.Public) != keyLen:
		return fmt.Errorf("%w: the static key has %d and %d bytes, want %d", ErrCredentials,
			len(c.Static.Private), len(c.Static.Public), keyLen)
	case len(c.Suites) == 0 || len(c.Suites) > maxSuites:
		return fmt.Errorf("%w: %d cipher suites, want 1 to %d", ErrCredentials, len(c.Suites), maxSuites)
	case len(c.hello(1).append(nil)) > MaxHandshake-initiationOverhead:
		return fmt.Errorf("%w: a certificate of %d bytes and a signature of %d do not fit a handshake of %d",
			ErrCredentials, len(c.Certificate), len(c.Binding), MaxHandshake)
	}
	for _, s := range c.Suites {
		if !s.known() {
			return fmt.Errorf("%w: %w: %s", ErrCredentials, ErrSuite, s)
		}
	}
	if err := cert.VerifyKey(c.Identity, c.Authority.Fingerprint, [keyLen]byte(c.Static.Public), c.Binding); err != nil {
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	return nil
}

// hello is what this node says of itself to a peer that shall use index.
func (c *Credentials) hello(index uint32) hello {
	return hello{index: index, boot: c.BootID, suites: c.Suites, certificate: c.Certificate, binding: c.Binding}
}

// verify is the identity behind a hello that came under the static key.
func (c *Credentials) verify(now time.Time, h hello, static [keyLen]byte) (*cert.Identity, dropReason) {
	verify := c.Verify
	if verify == nil {
		verify = c.Authority.Verify
	}
	id, err := verify(h.certificate, now)
	if err != nil {
		return nil, dropCertificate
	}
	if err := cert.VerifyKey(id, c.Authority.Fingerprint, static, h.binding); err != nil {
		return nil, dropBinding
	}
	return id, dropNone
}

func (s Suite) known() bool { return s == ChaCha20Poly1305 || s == AESGCM }

// agree is the suite of a handshake: the first of the initiator's that the
// responder has too. Both ends see both lists, under the transcript's hash.
func agree(initiator, responder []Suite) (Suite, bool) {
	for _, s := range initiator {
		if s.known() && slices.Contains(responder, s) {
			return s, true
		}
	}
	return 0, false
}
