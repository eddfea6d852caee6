package ktunnel

// Bytes that the headers of a tunnel take.
const (
	ipv4Header      = 20
	ipv6Header      = 40
	udpHeader       = 8
	greHeader       = 8  // with a key
	wireguardHeader = 32 // type, receiver, counter and tag
	wireguardBlock  = 16 // packets are filled up to a multiple of it
	openvpnHeader   = 24 // opcode with peer id, packet id, tag of the AEAD
	ethernetHeader  = 14
)

// OpenVPNMTU is the most that a TAP of OpenVPN carries, in bytes, as an Ethernet does; by TCP
// it always does, for the kernel cuts the stream.
const OpenVPNMTU = 1500

// MinMTU is what IPv6 needs of a link, in bytes (RFC 8200 section 5).
const MinMTU = 1280

// MTU is what a tunnel carries whose outer packets have at most underlay bytes. ipv6 is
// the family of the outer addresses. Below MinMTU there can be no tunnel.
func (k Kind) MTU(underlay int, ipv6 bool) int {
	inner := underlay - ipv4Header
	if ipv6 {
		inner = underlay - ipv6Header
	}
	switch k {
	case GRE:
		return inner - greHeader
	case FOU:
		return inner - udpHeader - greHeader
	case OpenVPNUDP:
		return min(inner-udpHeader-openvpnHeader-ethernetHeader, OpenVPNMTU)
	case OpenVPNTCP:
		return OpenVPNMTU
	default:
		return (inner - udpHeader - wireguardHeader) / wireguardBlock * wireguardBlock
	}
}

// MTU is that of the tunnel, the same at both ends; less than MinMTU: there can be none.
func (a Agreement) MTU() int { return a.Kind.MTU(a.Underlay, a.Local.Addr().Is6()) }
