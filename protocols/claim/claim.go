package claim

import (
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"slices"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/cert"
)

// label keeps the signature from meaning anything else.
const label = "re6st claim v1\x00"

// version of the format.
const version = 1

const (
	flagAnyRouter = 1
	flagIPv4      = 2
	flagsKnown    = flagAnyRouter | flagIPv4
)

// Statement is what a node says of the routes that it announces.
type Statement struct {
	Sequence uint64    // of the node's claims the greatest counts; not 0
	Expires  time.Time // whole seconds
	RouterID babel.RouterID
	Prefixes []Prefix // at most MaxPrefixes
}

// Prefix is one that a node announces, with all that lies in it; the default route
// stands for itself only.
type Prefix struct {
	netip.Prefix
	// AnyRouter: the node imports it, from routers whose id is their own.
	AnyRouter bool
}

// Claim is a Statement that its node has signed, verified. It is immutable.
type Claim struct {
	Statement
	Node   addr.NodeID  // as the certificate says
	Bits   addr.Bits    // likewise, its prefix
	IPv4   netip.Prefix // likewise, its share of the network's; not valid: none
	Serial *big.Int     // of the certificate
	// Signed are the bytes that are passed on. The owner is Claim.
	Signed []byte

	hash uint64
}

// Sign makes a claim with the key of a certificate, in DER, in the network whose CA
// has this fingerprint.
func Sign(rand io.Reader, key crypto.Signer, ca [sha256.Size]byte, certificate []byte, s Statement) ([]byte, error) {
	if len(s.Prefixes) > MaxPrefixes || len(certificate) > cert.MaxCertificate {
		return nil, fmt.Errorf("%w: %d prefixes, at most %d; a certificate of %d bytes, at most %d",
			ErrTooLong, len(s.Prefixes), MaxPrefixes, len(certificate), cert.MaxCertificate)
	}
	b := []byte{version}
	b = binary.BigEndian.AppendUint64(b, s.Sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Expires.Unix()))
	b = append(b, s.RouterID[:]...)
	b = append(b, byte(len(s.Prefixes)))
	for _, p := range s.Prefixes {
		if !p.IsValid() {
			return nil, fmt.Errorf("%w: a prefix that is none", ErrMalformed)
		}
		b = appendPrefix(b, p)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(certificate)))
	b = append(b, certificate...)
	signature, err := cert.Sign(rand, key, message(ca, b))
	if err != nil {
		return nil, fmt.Errorf("sign a claim: %w", err)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(signature)))
	if b = append(b, signature...); len(b) > MaxSigned {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(b), MaxSigned)
	}
	return b, nil
}

// Verify reads a claim, from bytes that are copied, if the key of its certificate has
// signed it and it has not expired at now. verify judges the certificate.
func Verify(ca [sha256.Size]byte, verify func(der []byte) (*cert.Identity, error), now time.Time, signed []byte) (*Claim, error) {
	s, parts, err := parse(signed)
	if err != nil {
		return nil, err
	}
	if !now.Before(s.Expires) {
		return nil, fmt.Errorf("%w: at %s", ErrExpired, s.Expires.UTC().Format(time.RFC3339))
	}
	id, err := verify(parts.certificate)
	if err != nil {
		return nil, err
	}
	if err := cert.CheckSignature(id.Certificate.PublicKey, message(ca, parts.body), parts.signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	sum := sha256.Sum256(signed)
	return &Claim{
		Statement: s, Node: id.ID, Bits: id.Prefix, IPv4: id.IPv4, Serial: id.Certificate.SerialNumber,
		Signed: slices.Clone(signed), hash: binary.BigEndian.Uint64(sum[:]),
	}, nil
}

// message is what is signed.
func message(ca [sha256.Size]byte, body []byte) []byte {
	m := append([]byte(label), ca[:]...)
	return append(m, body...)
}

// signedParts are those of a claim that is not verified yet.
type signedParts struct{ body, certificate, signature []byte }

// parse reads a claim, and believes nothing of it.
func parse(signed []byte) (s Statement, parts signedParts, err error) {
	if len(signed) > MaxSigned {
		return s, parts, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(signed), MaxSigned)
	}
	const fixed = 1 + 8 + 8 + 8 + 1
	if len(signed) < fixed || signed[0] != version {
		return s, parts, fmt.Errorf("%w: %d bytes, not of version %d", ErrMalformed, len(signed), version)
	}
	s.Sequence = binary.BigEndian.Uint64(signed[1:])
	expires := binary.BigEndian.Uint64(signed[9:])
	s.Expires = time.Unix(int64(min(expires, endOfTime)), 0).UTC()
	copy(s.RouterID[:], signed[17:])
	n := int(signed[25])
	if s.Sequence == 0 || !s.RouterID.IsValid() || n > MaxPrefixes {
		return s, parts, fmt.Errorf("%w: sequence %d, router %s, %d prefixes", ErrMalformed, s.Sequence, s.RouterID, n)
	}
	b := signed[fixed:]
	for range n {
		var p Prefix
		var ok bool
		if p, b, ok = readPrefix(b); !ok {
			return s, parts, fmt.Errorf("%w: a prefix at byte %d", ErrMalformed, len(signed)-len(b))
		}
		s.Prefixes = append(s.Prefixes, p)
	}
	var ok bool
	if parts.certificate, b, ok = readBlock(b); ok {
		parts.body = signed[:len(signed)-len(b)]
		parts.signature, b, ok = readBlock(b)
	}
	if !ok || len(b) > 0 {
		return s, parts, fmt.Errorf("%w: certificate and signature do not fill its %d bytes", ErrMalformed, len(signed))
	}
	return s, parts, nil
}

// endOfTime is the end of the year 9999, as a certificate has it that never ends (RFC
// 5280 section 4.1.2.5).
const endOfTime = 253402300799

func appendPrefix(b []byte, p Prefix) []byte {
	flags := byte(0)
	if p.AnyRouter {
		flags |= flagAnyRouter
	}
	if p.Addr().Is4() {
		flags |= flagIPv4
	}
	b = append(b, flags, byte(p.Bits()))
	return append(b, p.Masked().Addr().AsSlice()[:(p.Bits()+7)/8]...)
}

func readPrefix(b []byte) (p Prefix, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&^flagsKnown != 0 {
		return p, b, false
	}
	size := netip.IPv6Unspecified().BitLen() / 8
	if b[0]&flagIPv4 != 0 {
		size = 4
	}
	bits := int(b[1])
	n := (bits + 7) / 8
	if bits > 8*size || len(b) < 2+n {
		return p, b, false
	}
	whole := make([]byte, size)
	copy(whole, b[2:2+n])
	a, _ := netip.AddrFromSlice(whole)
	p = Prefix{netip.PrefixFrom(a, bits), b[0]&flagAnyRouter != 0}
	// One form only, or one claim would have many.
	return p, b[2+n:], p.Masked() == p.Prefix && !a.Is4In6()
}

func readBlock(b []byte) (block, rest []byte, ok bool) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, b, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], true
}
