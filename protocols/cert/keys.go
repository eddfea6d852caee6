package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
)

// KeyType names an algorithm for new keys.
type KeyType string

// The algorithms of new keys. A certificate may also hold ECDSA P-384 or P-521.
const (
	ECDSA   KeyType = "ecdsa" // P-256
	RSA     KeyType = "rsa"   // newRSABits
	Ed25519 KeyType = "ed25519"
)

// Bounds of RSA moduli, in bits: below is weak, above costs seconds to verify.
const (
	newRSABits = 3072
	minRSABits = 2048
	maxRSABits = 8192
)

// GenerateKey makes a key of the type. An unknown type is ErrKey.
func GenerateKey(rand io.Reader, t KeyType) (crypto.Signer, error) {
	switch t {
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand)
	case RSA:
		return rsa.GenerateKey(rand, newRSABits)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand)
		return key, err
	}
	return nil, fmt.Errorf("%w: unknown type %q; use %s, %s or %s", ErrKey, t, ECDSA, RSA, Ed25519)
}

// keyBlock is the PEM type of PKCS #8 (RFC 7468 section 10).
const keyBlock = "PRIVATE KEY"

// EncodeKey writes a private key as PKCS #8 in PEM.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// ParseKey reads what EncodeKey wrote.
func ParseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, fmt.Errorf("%w: no PEM block %q", ErrKey, keyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a %T cannot sign", ErrKey, parsed)
	}
	return key, CheckPublicKey(key.Public())
}

// CheckPublicKey tells whether a key may stand in a certificate of the network;
// if not, it is ErrKey with the reason.
func CheckPublicKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return fmt.Errorf("%w: ECDSA on %s; use P-256, P-384 or P-521", ErrKey, k.Params().Name)
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fmt.Errorf("%w: RSA of %d bits; use %d to %d", ErrKey, n, minRSABits, maxRSABits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("%w: a %T; use ECDSA, RSA or Ed25519", ErrKey, key)
	}
	return nil
}

// Sign signs message, which starts with a label of its own so that it can mean
// nothing else: ECDSA and RSA-PSS over its SHA-256, Ed25519 over itself.
func Sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	switch signer.Public().(type) {
	case ed25519.PublicKey:
		return signer.Sign(rand, message, crypto.Hash(0))
	case *rsa.PublicKey:
		return signer.Sign(rand, digest[:], pssOptions)
	case *ecdsa.PublicKey:
		return signer.Sign(rand, digest[:], crypto.SHA256)
	}
	return nil, fmt.Errorf("%w: a %T cannot sign", ErrKey, signer.Public())
}

var pssOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

// CheckSignature verifies what Sign made; a mismatch is ErrSignature.
func CheckSignature(key crypto.PublicKey, message, signature []byte) error {
	if err := CheckPublicKey(key); err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	valid := false
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(k, digest[:], signature)
	case *rsa.PublicKey:
		valid = rsa.VerifyPSS(k, crypto.SHA256, digest[:], signature, pssOptions) == nil
	case ed25519.PublicKey:
		valid = ed25519.Verify(k, message, signature)
	}
	if !valid {
		return ErrSignature
	}
	return nil
}
