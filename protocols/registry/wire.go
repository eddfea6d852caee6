package registry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/cert"
)

// The paths of the v1 API. PathJoin is for anyone with a token; the others are
// for members, who show their certificate in TLS.
const (
	PathJoin      = "/v1/join"      // POST
	PathBootstrap = "/v1/bootstrap" // POST
	PathParams    = "/v1/params"    // GET: the signed bytes
	PathUpdates   = "/v1/updates"   // GET: waits for what is newer than Held says
	PathRenew     = "/v1/renew"     // POST
)

// Sizes of bodies, in bytes. A response holds MaxPeers peers of at most 1 KB.
const (
	MaxRequest  = 32 << 10
	MaxResponse = 256 << 10
	MaxUpdates  = 512 << 10 // MaxParams and cert.MaxRevocationList in base64
)

// MaxSkew is by how much the clocks of registry and joining node may differ: a
// certificate is backdated by as much.
const MaxSkew = cert.Backdate

// Bounds of what a bootstrap request and response hold.
const (
	MaxEndpoints = 16
	MaxPeers     = 64
	maxBinding   = 1024 // a signature by RSA of 8192 bits
)

// StaticKey is a node's X25519 public key.
type StaticKey [32]byte

// MarshalText is base64.
func (k StaticKey) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, k[:]), nil
}

// UnmarshalText reads what MarshalText wrote; all zero is no key.
func (k *StaticKey) UnmarshalText(t []byte) error { return fixed(k[:], t, "static key") }

// BootID is drawn by each start of a node.
type BootID [8]byte

// MarshalText is base64.
func (b BootID) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, b[:]), nil
}

// UnmarshalText reads what MarshalText wrote; all zero is no id.
func (b *BootID) UnmarshalText(t []byte) error { return fixed(b[:], t, "boot id") }

func fixed(dst, text []byte, what string) error {
	b, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(dst) {
		return fmt.Errorf("%s is not %d bytes in base64", what, len(dst))
	}
	copy(dst, b)
	return nil
}

// JoinRequest asks for a certificate.
type JoinRequest struct {
	Token   Token     `json:"token"`
	CSR     []byte    `json:"csr"`
	Static  StaticKey `json:"static"`
	Binding []byte    `json:"binding"` // cert.SignKey of Static by the CSR's key
	Time    time.Time `json:"time,omitzero"`
}

// JoinResponse is the identity of a new node. Lost, it can be had again with the
// same token and key.
type JoinResponse struct {
	Certificate []byte `json:"certificate"`
	CA          []byte `json:"ca"`
	Params      []byte `json:"params"` // as SignedParams.Bytes
}

// BootstrapRequest says where a node can be reached and asks who else is there.
type BootstrapRequest struct {
	// Port is the node's UDP port, which together with the address that the
	// registry sees makes one more endpoint; 0: the node cannot be reached there.
	Port      uint16           `json:"port"`
	Endpoints []netip.AddrPort `json:"endpoints,omitempty"`
	TLSPort   uint16           `json:"tls_port,omitempty"` // where the node serves TLS; 0: nowhere, or it does not say
	Static    StaticKey        `json:"static"`
	Binding   []byte           `json:"binding"`
	BootID    BootID           `json:"boot_id"`
}

// BootstrapResponse holds a sample of the nodes seen lately.
type BootstrapResponse struct {
	Observed netip.Addr `json:"observed"` // where the request came from
	Peers    []Peer     `json:"peers"`
	Params   []byte     `json:"params"`
}

// Peer is a node that others may open a link to. Static is its key, by the word
// of the registry; the handshake shows the certificate.
type Peer struct {
	Prefix    addr.Bits        `json:"prefix"`
	ID        addr.NodeID      `json:"id"`
	Static    StaticKey        `json:"static"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	TLSPort   uint16           `json:"tls_port,omitempty"` // where it serves TLS; 0: not known
}

// ParseJoinRequest reads the body of a join; ErrRequest says what is wrong.
func ParseJoinRequest(body []byte) (JoinRequest, error) {
	r, err := parse[JoinRequest](body, MaxRequest)
	if err != nil {
		return r, err
	}
	if r.Token == (Token{}) || r.Static == (StaticKey{}) {
		return r, fmt.Errorf("%w: token and static key are needed", ErrRequest)
	}
	if len(r.CSR) == 0 || len(r.CSR) > cert.MaxRequest || len(r.Binding) == 0 || len(r.Binding) > maxBinding {
		return r, fmt.Errorf("%w: csr of %d bytes and binding of %d; want 1 to %d and 1 to %d",
			ErrRequest, len(r.CSR), len(r.Binding), cert.MaxRequest, maxBinding)
	}
	return r, nil
}

// ParseJoinResponse reads the answer to a join. What is in it has to be verified.
func ParseJoinResponse(body []byte) (JoinResponse, error) {
	return parse[JoinResponse](body, MaxResponse)
}

// ParseBootstrapRequest reads the body of a bootstrap.
func ParseBootstrapRequest(body []byte) (BootstrapRequest, error) {
	r, err := parse[BootstrapRequest](body, MaxRequest)
	if err != nil {
		return r, err
	}
	if r.Static == (StaticKey{}) || len(r.Binding) == 0 || len(r.Binding) > maxBinding {
		return r, fmt.Errorf("%w: a static key and a binding of 1 to %d bytes are needed", ErrRequest, maxBinding)
	}
	if len(r.Endpoints) > MaxEndpoints {
		return r, fmt.Errorf("%w: %d endpoints, at most %d", ErrRequest, len(r.Endpoints), MaxEndpoints)
	}
	return r, nil
}

// ParseBootstrapResponse reads the answer to a bootstrap. Its Params have to be
// verified, its endpoints to pass CheckEndpoint.
func ParseBootstrapResponse(body []byte) (BootstrapResponse, error) {
	r, err := parse[BootstrapResponse](body, MaxResponse)
	if err != nil {
		return r, err
	}
	if len(r.Peers) > MaxPeers {
		return r, fmt.Errorf("%w: %d peers, at most %d", ErrRequest, len(r.Peers), MaxPeers)
	}
	for _, p := range r.Peers {
		if p.ID.IsZero() || p.Static == (StaticKey{}) || len(p.Endpoints) > MaxEndpoints+1 {
			return r, fmt.Errorf("%w: peer %s %s needs an id, a static key and at most %d endpoints", ErrRequest, p.Prefix.CN(), p.ID, MaxEndpoints+1)
		}
	}
	return r, nil
}

// ParseError reads the body of an error response. One that is none, from a proxy
// say, is not ok.
func ParseError(body []byte) (*Error, bool) {
	e, err := parse[Error](body, MaxResponse)
	return &e, err == nil && e.Code != ""
}

func parse[T any](body []byte, limit int) (m T, err error) {
	if len(body) > limit {
		return m, fmt.Errorf("%w: %d bytes, at most %d", ErrRequest, len(body), limit)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return m, nil
}

// CheckClocks compares the clock of a joining node with the registry's.
func CheckClocks(node, registry time.Time) error {
	if skew := node.Sub(registry).Abs(); skew > MaxSkew {
		return fmt.Errorf("%w: the node says %s, the registry says %s, %s apart; at most %s",
			ErrClock, node.UTC().Format(time.RFC3339), registry.UTC().Format(time.RFC3339), skew.Round(time.Second), MaxSkew)
	}
	return nil
}

// CheckEndpoint tells whether others can be sent to this place, on the underlay
// of a network with these ranges; if not, it is ErrEndpoint.
func CheckEndpoint(e netip.AddrPort, ranges ...netip.Prefix) error {
	a := e.Addr()
	switch {
	case !e.IsValid() || e.Port() == 0 || a.Zone() != "" || a.Is4In6():
		return fmt.Errorf("%w: %s is not an address and a port", ErrEndpoint, e)
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == broadcast:
		return fmt.Errorf("%w: %s means nothing to another host", ErrEndpoint, e)
	}
	for _, r := range ranges {
		if r.Contains(a) {
			return fmt.Errorf("%w: %s lies inside the network, in %s", ErrEndpoint, e, r)
		}
	}
	return nil
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
