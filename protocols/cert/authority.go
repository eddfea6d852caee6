package cert

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"re6st/protocols/addr"
)

// MaxCertificate is the size of the largest certificate accepted, in bytes of
// DER: an RSA one of 8192 bits has 3 KB.
const MaxCertificate = 8 << 10

// URIs in the subject alternative name: what a certificate is for.
const (
	nodeScheme  = "re6st"
	nodePrefix  = "node:"
	ipv4Prefix  = "ipv4:"
	registryURI = "re6st:registry"
)

// Authority is the CA of a network. It is immutable.
type Authority struct {
	Certificate *x509.Certificate
	Network     netip.Prefix
	Fingerprint [sha256.Size]byte // SHA-256 of the certificate's DER

	roots *x509.CertPool
}

// Identity is a node, as a certificate that was verified states it.
type Identity struct {
	Certificate *x509.Certificate
	Prefix      addr.Bits
	ID          addr.NodeID
	IPv4        netip.Prefix // its share of the network's IPv4; not valid: none
}

// ParseAuthority reads a CA certificate. That it is the wanted one is shown by
// its fingerprint alone: anyone can sign for himself.
func ParseAuthority(der []byte) (*Authority, error) {
	c, err := parse(der)
	if err != nil {
		return nil, err
	}
	if !c.IsCA || !c.BasicConstraintsValid {
		return nil, fmt.Errorf("%w: %q is not a CA certificate", ErrAuthority, c.Subject.CommonName)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		return nil, fmt.Errorf("%w: not self-signed: %w", ErrAuthority, err)
	}
	if err := CheckPublicKey(c.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuthority, err)
	}
	network, err := addr.NetworkFromSerial(c.SerialNumber)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuthority, err)
	}
	if network.Bits() == 0 || network.Bits() >= addr.MaxBits {
		return nil, fmt.Errorf("%w: network %s; use a length of 1 to %d", ErrAuthority, network, addr.MaxBits-1)
	}
	a := &Authority{c, network, sha256.Sum256(c.Raw), x509.NewCertPool()}
	a.roots.AddCert(c)
	return a, nil
}

// Verify reads a node certificate that this CA signed and that is valid at now.
func (a *Authority) Verify(leafDER []byte, now time.Time) (*Identity, error) {
	id, err := a.verifyNode(leafDER)
	if err != nil {
		return nil, err
	}
	if err := a.checkTimes(id.Certificate, now, now); err != nil {
		return nil, err
	}
	return id, nil
}

// VerifyFloor is Verify for a device that does not know the time, only that it
// is floor or later: a certificate that starts after floor is accepted.
func (a *Authority) VerifyFloor(leafDER []byte, floor time.Time) (*Identity, error) {
	id, err := a.verifyNode(leafDER)
	if err != nil {
		return nil, err
	}
	if err := a.checkTimes(id.Certificate, latest(floor, id.Certificate.NotBefore, a.Certificate.NotBefore), floor); err != nil {
		return nil, err
	}
	return id, nil
}

// VerifyRegistry checks that a certificate is that of the network's registry
// server. The host name in it plays no part: the CA that a person named by its
// fingerprint says who the registry is, whatever the address it was reached at.
func (a *Authority) VerifyRegistry(leafDER []byte, now time.Time) error {
	c, err := a.verifyRegistry(leafDER)
	if err != nil {
		return err
	}
	return a.checkTimes(c, now, now)
}

// VerifyRegistryAnytime is VerifyRegistry without a clock: for a first contact,
// where the registry itself tells a caller whose clock is wrong.
func (a *Authority) VerifyRegistryAnytime(leafDER []byte) error {
	_, err := a.verifyRegistry(leafDER)
	return err
}

func (a *Authority) verifyRegistry(leafDER []byte) (*x509.Certificate, error) {
	c, err := a.verifySigned(leafDER)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == registryURI }) {
		return nil, fmt.Errorf("%w: %q lacks the URI %s", ErrNotRegistry, c.Subject.CommonName, registryURI)
	}
	return c, nil
}

func (a *Authority) verifyNode(leafDER []byte) (*Identity, error) {
	c, err := a.verifySigned(leafDER)
	if err != nil {
		return nil, err
	}
	if err := CheckPublicKey(c.PublicKey); err != nil {
		return nil, err
	}
	prefix, err := addr.ParseCN(c.Subject.CommonName)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotNode, err)
	}
	if n := a.Network.Bits() + prefix.Len(); prefix.Len() == 0 || n > addr.MaxBits {
		return nil, fmt.Errorf("%w: prefix %s in %s; want 1 to %d bits", ErrNotNode, prefix.CN(), a.Network, addr.MaxBits-a.Network.Bits())
	}
	id, err := nodeID(c)
	if err != nil {
		return nil, err
	}
	share, err := IPv4Share(c)
	if err != nil {
		return nil, err
	}
	return &Identity{c, prefix, id, share}, nil
}

// verifySigned checks everything of a leaf but its dates and its role.
func (a *Authority) verifySigned(leafDER []byte) (*x509.Certificate, error) {
	c, err := parse(leafDER)
	if err != nil {
		return nil, err
	}
	if c.IsCA {
		return nil, fmt.Errorf("%w: %q is a CA certificate", ErrUntrusted, c.Subject.CommonName)
	}
	if c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, fmt.Errorf("%w: %q may not sign (key usage)", ErrUntrusted, c.Subject.CommonName)
	}
	// A time at which both are valid: the dates are judged apart, with errors of their own.
	_, err = c.Verify(x509.VerifyOptions{
		Roots:       a.roots,
		CurrentTime: latest(c.NotBefore, a.Certificate.NotBefore),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return nil, fmt.Errorf("%w: %q and its CA are never valid together", ErrExpired, c.Subject.CommonName)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrUntrusted, c.Subject.CommonName, err)
	}
	return c, nil
}

// checkTimes judges the start of leaf and CA at from, their end at until.
func (a *Authority) checkTimes(leaf *x509.Certificate, from, until time.Time) error {
	for _, c := range []*x509.Certificate{leaf, a.Certificate} {
		if from.Before(c.NotBefore) {
			return fmt.Errorf("%w: %q starts at %s, and the time is %s; check the clock",
				ErrNotYetValid, c.Subject.CommonName, stamp(c.NotBefore), stamp(from))
		}
		if until.After(c.NotAfter) {
			return fmt.Errorf("%w: %q ended at %s, and the time is %s; renew it, or check the clock",
				ErrExpired, c.Subject.CommonName, stamp(c.NotAfter), stamp(until))
		}
	}
	return nil
}

// named is what stands behind a prefix in the URIs of a node's certificate.
func named(c *x509.Certificate, prefix string) (found []string) {
	for _, u := range c.URIs {
		if text, ok := strings.CutPrefix(u.Opaque, prefix); ok && u.Scheme == nodeScheme {
			found = append(found, text)
		}
	}
	return found
}

// IPv4Share is the share of the network's IPv4 that a node's certificate gives; those of
// before there was any, and of nodes without one, have none.
func IPv4Share(c *x509.Certificate) (netip.Prefix, error) {
	found := named(c, ipv4Prefix)
	if len(found) == 0 {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(found[0])
	if err != nil || len(found) > 1 || !p.Addr().Is4() || p != p.Masked() || p.Bits() < addr.MinIPv4Range {
		return p, fmt.Errorf("%w: %q has the IPv4 shares %q, want one at most, without host bits", ErrNotNode, c.Subject.CommonName, found)
	}
	return p, nil
}

func nodeID(c *x509.Certificate) (addr.NodeID, error) {
	found := named(c, nodePrefix)
	if len(found) != 1 {
		return addr.NodeID{}, fmt.Errorf("%w: %q has %d URIs %s:%s<id>, want one",
			ErrNotNode, c.Subject.CommonName, len(found), nodeScheme, nodePrefix)
	}
	id, err := addr.ParseNodeID(found[0])
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrNotNode, err)
	}
	return id, nil
}

func parse(der []byte) (*x509.Certificate, error) {
	if len(der) > MaxCertificate {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(der), MaxCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, nil
}

func latest(first time.Time, rest ...time.Time) time.Time {
	for _, t := range rest {
		if t.After(first) {
			first = t
		}
	}
	return first
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
