package cert

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"net/url"
	"time"

	"re6st/protocols/addr"
)

// Backdate is by how much certificates start in the past, so that a node whose
// clock is a little behind can use its own at once.
const Backdate = time.Hour

// Lifetime is for how long a certificate of these dates is to be used: from when it
// was issued, which is Backdate after notBefore.
func Lifetime(notBefore, notAfter time.Time) time.Duration {
	lifetime := notAfter.Sub(notBefore)
	if lifetime > Backdate {
		return lifetime - Backdate
	}
	return lifetime
}

// Lifetimes of what is not a node's certificate; that one is a network parameter.
const (
	AuthorityLifetime = 20 * 365 * 24 * time.Hour
	RegistryLifetime  = 90 * 24 * time.Hour
)

// serialBits keeps serial numbers of leaves within RFC 5280's 20 octets.
const serialBits = 126

// Issuer is an Authority together with its private key.
type Issuer struct {
	*Authority
	key crypto.Signer
}

// NewIssuer joins an authority and its key; ErrKey if they do not belong together.
func NewIssuer(a *Authority, key crypto.Signer) (*Issuer, error) {
	if !samePublic(a.Certificate.PublicKey, key.Public()) {
		return nil, fmt.Errorf("%w: it is not the key of the CA certificate", ErrKey)
	}
	return &Issuer{a, key}, nil
}

// NewAuthority makes the self-signed certificate of a new network.
func NewAuthority(rand io.Reader, key crypto.Signer, network netip.Prefix, now time.Time) (*Issuer, error) {
	if network != network.Masked() {
		return nil, fmt.Errorf("%w: %s has bits behind its length; did you mean %s?", addr.ErrNetwork, network, network.Masked())
	}
	serial, err := addr.Serial(network)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "re6st CA " + network.String()},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(AuthorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	a, err := ParseAuthority(der)
	if err != nil {
		return nil, err
	}
	return NewIssuer(a, key)
}

// IssueNode makes the certificate of a node without IPv4, in DER.
func (i *Issuer) IssueNode(rand io.Reader, key crypto.PublicKey, prefix addr.Bits, id addr.NodeID, now time.Time, lifetime time.Duration) ([]byte, error) {
	return i.IssueNodeIPv4(rand, key, prefix, id, netip.Prefix{}, now, lifetime)
}

// IssueNodeIPv4 makes the certificate of a node with a share of the network's IPv4, in
// DER; not valid: without one.
func (i *Issuer) IssueNodeIPv4(rand io.Reader, key crypto.PublicKey, prefix addr.Bits, id addr.NodeID, share netip.Prefix, now time.Time, lifetime time.Duration) ([]byte, error) {
	roles := []*url.URL{{Scheme: nodeScheme, Opaque: nodePrefix + id.String()}}
	if share.IsValid() {
		roles = append(roles, &url.URL{Scheme: nodeScheme, Opaque: ipv4Prefix + share.String()})
	}
	return i.issue(rand, key, prefix.CN(), roles, nil, now, lifetime)
}

// IssueRegistry makes the certificate of the registry's server, in DER. host is
// the IP address or name that nodes are told, for clients that check it.
func (i *Issuer) IssueRegistry(rand io.Reader, key crypto.PublicKey, host string, now time.Time) ([]byte, error) {
	uri, err := url.Parse(registryURI)
	if err != nil {
		return nil, err
	}
	return i.issue(rand, key, "re6st registry", []*url.URL{uri}, &host, now, RegistryLifetime)
}

func (i *Issuer) issue(rand io.Reader, key crypto.PublicKey, name string, roles []*url.URL, host *string, now time.Time, lifetime time.Duration) ([]byte, error) {
	if err := CheckPublicKey(key); err != nil {
		return nil, err
	}
	serial, err := randomSerial(rand)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		URIs:                  roles,
	}
	if host != nil {
		if ip, err := netip.ParseAddr(*host); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.WithZone("").AsSlice())
		} else {
			template.DNSNames = []string{*host}
		}
	}
	der, err := x509.CreateCertificate(rand, template, i.Certificate, key, i.key)
	if err != nil {
		return nil, fmt.Errorf("issue %q: %w", name, err)
	}
	return der, nil
}

// Sign signs message with the CA's key, as Sign does. Authority.CheckSignature
// verifies it.
func (i *Issuer) Sign(rand io.Reader, message []byte) ([]byte, error) {
	return Sign(rand, i.key, message)
}

// CheckSignature verifies a signature of the CA on something else than a
// certificate.
func (a *Authority) CheckSignature(message, signature []byte) error {
	return CheckSignature(a.Certificate.PublicKey, message, signature)
}

func randomSerial(rand io.Reader) (*big.Int, error) {
	var b [(serialBits + 7) / 8]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	n := new(big.Int).SetBytes(b[:])
	return n.SetBit(n.Rsh(n, uint(8*len(b)-serialBits)), serialBits, 1), nil
}

func samePublic(a, b crypto.PublicKey) bool {
	x, errX := x509.MarshalPKIXPublicKey(a)
	y, errY := x509.MarshalPKIXPublicKey(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// certificateBlock is the PEM type of a certificate (RFC 7468 section 5).
const certificateBlock = "CERTIFICATE"

// EncodeCertificate writes DER as PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})
}

// DecodeCertificate is the DER in the first PEM block of text.
func DecodeCertificate(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != certificateBlock {
		return nil, fmt.Errorf("%w: no PEM block %q", ErrMalformed, certificateBlock)
	}
	return block.Bytes, nil
}
