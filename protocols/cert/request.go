package cert

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
)

// MaxRequest is the size of the largest certificate request accepted, in bytes
// of DER.
const MaxRequest = 8 << 10

// NewRequest makes a certificate request, in DER. It names nobody: prefix and id
// are the registry's to give.
func NewRequest(rand io.Reader, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return der, nil
}

// ParseRequest is the public key of a request, whose signature proves that the
// sender holds the private one. Names and extensions in it are not looked at.
func ParseRequest(der []byte) (crypto.PublicKey, error) {
	if len(der) > MaxRequest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRequest, len(der), MaxRequest)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := CheckPublicKey(r.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w: %w", ErrRequest, ErrSignature, err)
	}
	return r.PublicKey, nil
}

// KeyFingerprint is the SHA-256 of a public key in its X.509 form: it names the
// key in a table.
func KeyFingerprint(key crypto.PublicKey) ([sha256.Size]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return sha256.Sum256(der), nil
}
