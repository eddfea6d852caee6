package registry

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Scheme is how a join line begins.
const Scheme = "re6st://"

// maxJoinLine bounds a join line, in bytes: the longest name and the rest.
const maxJoinLine = 400

// maxHost is the length of the longest domain name (RFC 1035 section 2.3.4).
const maxHost = 253

// Token is the secret of one invitation.
type Token [16]byte

// NewToken draws a token.
func NewToken(rand io.Reader) (t Token, err error) {
	_, err = io.ReadFull(rand, t[:])
	return t, err
}

// ParseToken reads what String writes.
func ParseToken(s string) (t Token, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(t) {
		return t, fmt.Errorf("%w: token %q is not %d letters of base64url", ErrTokenUnknown, s, base64.RawURLEncoding.EncodedLen(len(t)))
	}
	copy(t[:], b)
	return t, nil
}

// Hash is the token as it is stored: who reads the database cannot join.
func (t Token) Hash() [sha256.Size]byte { return sha256.Sum256(t[:]) }

// String is base64url without padding.
func (t Token) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// MarshalText is String.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseToken.
func (t *Token) UnmarshalText(b []byte) (err error) {
	*t, err = ParseToken(string(b))
	return err
}

// HostPort is where a registry is reached: an IP address or a domain name.
type HostPort struct {
	Host string // without brackets
	Port uint16
}

// JoinLine is an invitation: where the registry is, the token, and the
// fingerprint of its CA, by which the node knows that it talks to the right one.
type JoinLine struct {
	HostPort
	Token       Token
	Fingerprint [sha256.Size]byte
}

// ParseJoinLine reads re6st://host:port/TOKEN#FINGERPRINT.
func ParseJoinLine(s string) (JoinLine, error) {
	var l JoinLine
	if len(s) > maxJoinLine {
		return l, fmt.Errorf("%w: %d bytes, at most %d", ErrJoinLine, len(s), maxJoinLine)
	}
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return l, fmt.Errorf("%w: it does not begin with %s", ErrJoinLine, Scheme)
	}
	place, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return l, fmt.Errorf("%w: no /TOKEN behind %q", ErrJoinLine, place)
	}
	token, fingerprint, ok := strings.Cut(rest, "#")
	if !ok {
		return l, fmt.Errorf("%w: no #FINGERPRINT; quote the line, a shell takes # for a comment", ErrJoinLine)
	}
	var err error
	if l.HostPort, err = ParseHostPort(place); err != nil {
		return l, fmt.Errorf("%w: %w", ErrJoinLine, err)
	}
	if l.Token, err = ParseToken(token); err != nil {
		return l, fmt.Errorf("%w: %w", ErrJoinLine, err)
	}
	if l.Fingerprint, err = ParseFingerprint(fingerprint); err != nil {
		return l, fmt.Errorf("%w: %w", ErrJoinLine, err)
	}
	return l, nil
}

// String is the join line, as ParseJoinLine reads it.
func (l JoinLine) String() string {
	return Scheme + l.HostPort.String() + "/" + l.Token.String() + "#" + hex.EncodeToString(l.Fingerprint[:])
}

// ParseFingerprint reads a CA's fingerprint: 64 hexadecimal digits.
func ParseFingerprint(s string) (f [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(f) {
		return f, fmt.Errorf("fingerprint %q is not %d hexadecimal digits", s, 2*len(f))
	}
	copy(f[:], b)
	return f, nil
}

// ParseHostPort reads host:port, an IPv6 address in brackets.
func ParseHostPort(s string) (HostPort, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return HostPort{}, fmt.Errorf("%q has no port; write host:port, or [address]:port for IPv6", s)
	}
	host, digits := s[:i], s[i+1:]
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 || digits != strconv.FormatUint(port, 10) {
		return HostPort{}, fmt.Errorf("port %q in %q is not 1 to 65535", digits, s)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		if !closed || err != nil || !a.Is6() || a.Zone() != "" {
			return HostPort{}, fmt.Errorf("%q in %q is not an IPv6 address without a zone", host, s)
		}
		return HostPort{a.String(), uint16(port)}, nil
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		return HostPort{host, uint16(port)}, nil
	}
	if !validName(host) {
		return HostPort{}, fmt.Errorf("host %q in %q is neither a domain name nor an address; put IPv6 in brackets", host, s)
	}
	return HostPort{host, uint16(port)}, nil
}

// String is host:port, as ParseHostPort reads it.
func (h HostPort) String() string {
	port := strconv.Itoa(int(h.Port))
	if strings.Contains(h.Host, ":") {
		return "[" + h.Host + "]:" + port
	}
	return h.Host + ":" + port
}

// validName accepts letters, digits, hyphens and dots (RFC 1123 section 2.1).
func validName(s string) bool {
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return len(s) <= maxHost
}
