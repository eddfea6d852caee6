package fabric

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Suite is an AEAD that both ends of a handshake know. The hop MAC is the tag of
// the same AEAD over an empty plaintext.
type Suite uint8

// The suites. AES-GCM is the faster one where both CPUs have instructions for
// it, and slow and leaky where not: who knows the CPU lists the preference.
const (
	ChaCha20Poly1305 Suite = 1
	AESGCM           Suite = 2
)

// String is the suite's name, as it enters the keys' labels.
func (s Suite) String() string {
	switch s {
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	case AESGCM:
		return "AES-256-GCM"
	}
	return fmt.Sprintf("suite %d", uint8(s))
}

// Keys are the roots of one link or session, one per direction, each uniformly
// random: the outcome of a handshake.
type Keys struct{ Send, Receive [32]byte }

const redacted = "[keys]"

// Format hides the keys from every verb of fmt, hence from every log.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText hides the keys from encoders.
func (Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Labels keep the keys of different purposes apart; directions have a root each.
const (
	labelLinkAEAD = "re6st fabric v1 link control "
	labelHopMAC   = "re6st fabric v1 hop mac "
	labelSession  = "re6st fabric v1 end to end "
)

// aead derives the key of one purpose from a root. The roots are uniform, so
// HKDF needs no extract step (RFC 5869 section 3.3).
func (s Suite) aead(root [32]byte, label string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, root[:], label+s.String(), chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	switch s {
	case ChaCha20Poly1305:
		return chacha20poly1305.New(key)
	case AESGCM:
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
		return cipher.NewGCM(block)
	}
	return nil, fmt.Errorf("%w: %s", ErrSuite, s)
}

// check refuses roots that would repeat a nonce under one key, and indices that
// no datagram can name.
func (k Keys) check(local, remote uint32) error {
	switch {
	case k.Send == [32]byte{} || k.Receive == [32]byte{}:
		return fmt.Errorf("%w: a root is all zero", ErrKeys)
	case k.Send == k.Receive:
		return fmt.Errorf("%w: both directions have one root", ErrKeys)
	case local == 0 || remote == 0:
		return fmt.Errorf("%w: indices %d and %d", ErrIndex, local, remote)
	}
	return nil
}
