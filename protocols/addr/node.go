package addr

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// NodeID names a node inside the fabric. It stands in the node's certificate;
// the registry sees to it that it is unique in the network. Zero is no node.
type NodeID [8]byte

// ParseNodeID reads the 16 hexadecimal digits that String writes.
func ParseNodeID(s string) (id NodeID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: %q; want %d hexadecimal digits", ErrNodeID, s, 2*len(id))
	}
	copy(id[:], b)
	if id.IsZero() {
		return id, fmt.Errorf("%w: all zero is reserved", ErrNodeID)
	}
	return id, nil
}

// NodeIDFromUint64 is for tests and simulations that number their nodes.
func NodeIDFromUint64(n uint64) (id NodeID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

// IsZero tells whether id is no node.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// Compare orders ids as their bytes.
func (id NodeID) Compare(o NodeID) int { return bytes.Compare(id[:], o[:]) }

// String is 16 hexadecimal digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText is String.
func (id NodeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseNodeID.
func (id *NodeID) UnmarshalText(t []byte) (err error) {
	*id, err = ParseNodeID(string(t))
	return err
}

// LinkLocal is the node's address on fabric links, as Babel and PIM see it:
// fe80::/64 and the node id.
func (id NodeID) LinkLocal() netip.Addr { return join(linkLocalRange, id) }

// NodeIDFromLinkLocal is the id in such an address; false where it has none.
func NodeIDFromLinkLocal(a netip.Addr) (NodeID, bool) { return NodeIDFromLocator(linkLocalRange, a) }

var linkLocalRange = netip.MustParsePrefix("fe80::/64")

// locatorLabel keeps the hash below from meaning anything else.
const locatorLabel = "re6st locator range v1"

// LocatorRange is the /64 in which the locators of a network lie: a unique
// local prefix (RFC 4193) drawn from the SHA-256 fingerprint of its CA
// certificate, so that two networks on one host do not share locators.
func LocatorRange(caFingerprint [sha256.Size]byte) netip.Prefix {
	sum := sha256.Sum256(append([]byte(locatorLabel), caFingerprint[:]...))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// Locator is the address that relays route on to reach id.
func Locator(rng netip.Prefix, id NodeID) netip.Addr { return join(rng, id) }

// NodeIDFromLocator is the id in a locator; false where a is not one of rng.
func NodeIDFromLocator(rng netip.Prefix, a netip.Addr) (id NodeID, ok bool) {
	if rng.Bits() != 64 || !a.Is6() || !rng.Contains(a.WithZone("")) {
		return id, false
	}
	b := a.As16()
	copy(id[:], b[8:])
	return id, !id.IsZero()
}

func join(rng netip.Prefix, id NodeID) netip.Addr {
	b := rng.Masked().Addr().As16()
	copy(b[8:], id[:])
	return netip.AddrFrom16(b)
}
