package ktunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Errors that callers tell apart; each comes wrapped with what was read.
var (
	// ErrVersion: an Offer of a version that this node does not speak.
	ErrVersion = errors.New("ktunnel: unknown version")
	// ErrMalformed: what is no Offer.
	ErrMalformed = errors.New("ktunnel: malformed offer")
)

const version = 1

// flagTrusts is Offer.Trusts in the flags of a message.
const flagTrusts = 1

// Kind is a sort of tunnel. The numbers are the wire's.
type Kind uint8

// The kinds.
const (
	GRE       Kind = 1
	FOU       Kind = 2
	WireGuard Kind = 3
	// OpenVPN's are TAPs of a process, by UDP or TCP: hw/openvpn.
	OpenVPNUDP Kind = 4
	OpenVPNTCP Kind = 5
)

func (k Kind) String() string {
	switch k {
	case GRE:
		return "gre"
	case FOU:
		return "fou"
	case WireGuard:
		return "wireguard"
	case OpenVPNUDP:
		return "openvpn-udp"
	case OpenVPNTCP:
		return "openvpn-tcp"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// UnmarshalText takes what String gives of a kind that is known.
func (k *Kind) UnmarshalText(text []byte) error {
	for known := GRE; known.known(); known++ {
		if known.String() == string(text) {
			*k = known
			return nil
		}
	}
	return fmt.Errorf("%q is no kind of tunnel: there are gre, fou, wireguard, openvpn-udp and openvpn-tcp", text)
}

func (k Kind) known() bool { return k >= GRE && k <= OpenVPNTCP }

// IsOpenVPN tells whether a process carries the frames.
func (k Kind) IsOpenVPN() bool { return k == OpenVPNUDP || k == OpenVPNTCP }

// keyLen is the length of WireGuard's keys in bytes (RFC 7748 section 5).
const keyLen = 32

// Offer is what one end would make a tunnel with.
type Offer struct {
	Kinds   []Kind     // best first; none: no tunnel
	Address netip.Addr // outer, of the sender
	// The sender's UDP ports, and OpenVPN's of TCP too; 0 where it does not offer the kind.
	FOUPort, WireGuardPort, OpenVPNPort uint16
	PublicKey                           [keyLen]byte // WireGuard's
	MTU                                 uint16       // bytes of an outer packet on the sender's interface
	Trusts                              bool         // the sender would have packets of the two ends go unsealed in a tunnel
}

// message is an Offer on the wire, with the nonce of its Machine.
type message struct {
	Offer
	nonce uint32
}

// equal tells whether two say the same.
func (m message) equal(n message) bool {
	kinds := slices.Equal(m.Kinds, n.Kinds)
	m.Kinds, n.Kinds = nil, nil
	return kinds && m.Address == n.Address && m.FOUPort == n.FOUPort && m.WireGuardPort == n.WireGuardPort &&
		m.OpenVPNPort == n.OpenVPNPort && m.PublicKey == n.PublicKey && m.MTU == n.MTU && m.Trusts == n.Trusts && m.nonce == n.nonce
}

// tidy is the Offer without kinds of which something lacks, or that stand there twice.
func (o Offer) tidy() Offer {
	o.Address = o.Address.Unmap()
	var kinds []Kind
	for _, k := range o.Kinds {
		if o.can(k) && !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	o.Kinds = kinds
	return o
}

func (o Offer) can(k Kind) bool {
	a := o.Address
	switch {
	case !a.IsGlobalUnicast() || a.Zone() != "":
		return false
	case k == FOU:
		return o.FOUPort != 0
	case k == WireGuard:
		return o.WireGuardPort != 0 && o.PublicKey != [keyLen]byte{}
	case k.IsOpenVPN():
		return o.OpenVPNPort != 0
	default:
		return k == GRE
	}
}

// port is the port of a kind; 0 for GRE, which has none.
func (o Offer) port(k Kind) uint16 {
	switch k {
	case OpenVPNUDP, OpenVPNTCP:
		return o.OpenVPNPort
	case FOU:
		return o.FOUPort
	case WireGuard:
		return o.WireGuardPort
	default:
		return 0
	}
}

func (m message) append(b []byte) []byte {
	b = append(b, version, byte(len(m.Kinds)))
	for _, k := range m.Kinds {
		b = append(b, byte(k))
	}
	b = binary.BigEndian.AppendUint32(b, m.nonce)
	for _, n := range []uint16{m.MTU, m.FOUPort, m.WireGuardPort} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	b = append(b, m.PublicKey[:]...)
	address := m.Address.AsSlice()
	b = append(append(b, byte(len(address))), address...)
	b = binary.BigEndian.AppendUint16(b, m.OpenVPNPort)
	flags := byte(0)
	if m.Trusts {
		flags = flagTrusts
	}
	return append(b, flags)
}

// decode reads one message. Nothing of b is kept.
func decode(b []byte) (message, error) {
	if len(b) > 0 && b[0] != version {
		return message{}, fmt.Errorf("%w: %d; this node speaks %d", ErrVersion, b[0], version)
	}
	const fixed = 4 + 3*2 + keyLen + 1 // from the nonce to the length of the address
	if len(b) < 2 || len(b) < 2+int(b[1])+fixed {
		return message{}, fmt.Errorf("%w: %d bytes are too few", ErrMalformed, len(b))
	}
	var m message
	kinds, b := b[2:2+int(b[1])], b[2+int(b[1]):]
	for _, k := range kinds {
		if Kind(k).known() {
			m.Kinds = append(m.Kinds, Kind(k))
		}
	}
	m.nonce = binary.BigEndian.Uint32(b)
	m.MTU, m.FOUPort, m.WireGuardPort = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint16(b[8:])
	m.PublicKey = [keyLen]byte(b[10:])
	length, rest := int(b[fixed-1]), b[fixed:]
	if length > len(rest) {
		return message{}, fmt.Errorf("%w: an address of %d bytes where %d are left", ErrMalformed, length, len(rest))
	}
	if length > 0 {
		a, ok := netip.AddrFromSlice(rest[:length])
		if !ok {
			return message{}, fmt.Errorf("%w: an address of %d bytes", ErrMalformed, length)
		}
		m.Address = a
	}
	if rest = rest[length:]; len(rest) >= 2 {
		m.OpenVPNPort = binary.BigEndian.Uint16(rest)
	}
	if len(rest) >= 3 {
		m.Trusts = rest[2]&flagTrusts != 0
	}
	m.Offer = m.tidy()
	return m, nil
}
