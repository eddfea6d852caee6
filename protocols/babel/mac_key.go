package babel

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"

	"golang.org/x/crypto/blake2s"
)

// MACAlgorithm makes the MAC of a packet (RFC 8967 section 4.1).
type MACAlgorithm uint8

// The algorithms, by the names that babeld gives them.
const (
	HMACSHA256 MACAlgorithm = iota + 1 // RFC 4868, MACs of 32 bytes
	BLAKE2s128                         // keyed, RFC 7693, MACs of 16 bytes
)

var macAlgorithms = map[MACAlgorithm]struct {
	name          string
	longest, size int // of the key and of the MAC, in bytes
}{
	HMACSHA256: {"hmac-sha256", sha256.BlockSize, sha256.Size},
	BLAKE2s128: {"blake2s128", blake2s.Size, blake2s.Size128},
}

// String is the algorithm's name.
func (a MACAlgorithm) String() string {
	if known, ok := macAlgorithms[a]; ok {
		return known.name
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// UnmarshalText reads an algorithm's name.
func (a *MACAlgorithm) UnmarshalText(text []byte) error {
	for _, known := range []MACAlgorithm{HMACSHA256, BLAKE2s128} {
		if known.String() == string(text) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("%w: type %q; it is %q or %q", ErrMACKey, text, HMACSHA256, BLAKE2s128)
}

// MACKey is a secret that the routers of a link share. However it is printed, its
// Value does not show.
type MACKey struct {
	ID        string // names it for people, on this node only
	Algorithm MACAlgorithm
	// Value is 1 to 64 bytes with HMACSHA256, 1 to 32 with BLAKE2s128.
	Value []byte
}

// String is the key without its value.
func (k MACKey) String() string { return fmt.Sprintf("%s (%s)", k.ID, k.Algorithm) }

// Format keeps the value out of what any verb prints.
func (k MACKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(k.String())) }

// Check tells what is wrong with a key: ErrMACKey.
func (k MACKey) Check() error {
	known, ok := macAlgorithms[k.Algorithm]
	switch {
	case !ok:
		return fmt.Errorf("%w %q: no type; it is %q or %q", ErrMACKey, k.ID, HMACSHA256, BLAKE2s128)
	case len(k.Value) < 1 || len(k.Value) > known.longest:
		return fmt.Errorf("%w %q: %d bytes; with %s it has 1 to %d", ErrMACKey, k.ID, len(k.Value), known.name, known.longest)
	}
	return nil
}

// CheckMACKeys tells what is wrong with the keys of an interface: ErrMACKey.
func CheckMACKeys(keys []MACKey) error {
	if len(keys) < 1 || len(keys) > MaxMACKeys {
		return fmt.Errorf("%w: %d of them; an interface has 1 to %d", ErrMACKey, len(keys), MaxMACKeys)
	}
	ids := map[string]bool{}
	for _, k := range keys {
		if err := k.Check(); err != nil {
			return err
		}
		if ids[k.ID] {
			return fmt.Errorf("%w %q: there are two of that id", ErrMACKey, k.ID)
		}
		ids[k.ID] = true
	}
	return nil
}

// macKey is a key at work.
type macKey struct {
	MACKey
	mac hash.Hash
}

func (k macKey) equals(o macKey) bool {
	return k.ID == o.ID && k.Algorithm == o.Algorithm && bytes.Equal(k.Value, o.Value)
}

func newMACKey(k MACKey) (macKey, error) {
	k.Value = bytes.Clone(k.Value)
	if k.Algorithm == HMACSHA256 {
		return macKey{k, hmac.New(sha256.New, k.Value)}, nil
	}
	mac, err := blake2s.New128(k.Value)
	return macKey{k, mac}, err
}

// sum is the MAC of pseudo-header and packet, the latter without its trailer.
func (k macKey) sum(pseudo, packet []byte) []byte {
	k.mac.Reset()
	k.mac.Write(pseudo) // a hash takes all
	k.mac.Write(packet)
	return k.mac.Sum(nil)
}
