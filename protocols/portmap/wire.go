package portmap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Port is the gateway's, of both protocols.
const Port = 5351

// MaxMessage is the most that a message has (RFC 6887 section 7).
const MaxMessage = 1100

// Versions, by which one port serves two protocols.
const (
	versionNATPMP = 0
	versionPCP    = 2
)

const (
	protocolUDP = 17   // IANA's
	answerBit   = 0x80 // of the opcode
)

// Result is the code in an answer; both protocols have 0 for success.
type Result uint16

// The results that are told apart (RFC 6887 section 7.4; RFC 6886 section 3.5).
const (
	Success            Result = 0
	UnsupportedVersion Result = 1
)

// NonceLen is the length of a mapping's nonce.
const NonceLen = 12

// The sizes of PCP's messages.
const (
	pcpHeaderLen = 24
	pcpMapLen    = 36
)

// PCPMap is a MAP request (RFC 6887 section 11.1) for a UDP port.
type PCPMap struct {
	Client   netip.Addr // this node, as the gateway sees it
	Lifetime uint32     // seconds; 0: no more
	Nonce    [NonceLen]byte
	Internal uint16
	External netip.AddrPort // that is wished for; the address may be zero
}

// Append appends the request.
func (m PCPMap) Append(b []byte) []byte {
	b = append(b, versionPCP, 1, 0, 0) // opcode MAP
	b = binary.BigEndian.AppendUint32(b, m.Lifetime)
	b = appendMapped(b, m.Client)
	b = append(b, m.Nonce[:]...)
	b = append(b, protocolUDP, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, m.Internal)
	b = binary.BigEndian.AppendUint16(b, m.External.Port())
	return appendMapped(b, m.External.Addr())
}

// appendMapped appends an address as IPv6 has it; zero is any IPv4 address.
func appendMapped(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	sixteen := a.As16()
	return append(b, sixteen[:]...)
}

// PCPMapped is the answer to a PCPMap. Where Result is not Success only Lifetime counts:
// for so long it will be so.
type PCPMapped struct {
	Result   Result
	Lifetime uint32
	Epoch    uint32 // seconds since the gateway lost its mappings
	Nonce    [NonceLen]byte
	Internal uint16
	External netip.AddrPort
}

// ParsePCPMapped reads an answer. It fails with ErrShort, ErrVersion or ErrOpcode. An
// answer of NAT-PMP is of another version, and says that the gateway knows no PCP.
func ParsePCPMapped(b []byte) (m PCPMapped, err error) {
	switch {
	case len(b) > 0 && b[0] != versionPCP:
		return m, fmt.Errorf("%w: %d", ErrVersion, b[0])
	case len(b) < pcpHeaderLen:
		return m, fmt.Errorf("%w: %d bytes of PCP", ErrShort, len(b))
	case b[1]&answerBit == 0:
		return m, fmt.Errorf("%w: opcode %#x", ErrOpcode, b[1])
	}
	m.Result, m.Lifetime, m.Epoch = Result(b[3]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if m.Result != Success {
		return m, nil // the opcode may be one that the gateway did not understand
	}
	switch {
	case b[1] != answerBit|1:
		return m, fmt.Errorf("%w: opcode %#x", ErrOpcode, b[1])
	case len(b) < pcpHeaderLen+pcpMapLen:
		return m, fmt.Errorf("%w: %d bytes of a MAP answer", ErrShort, len(b))
	case b[pcpHeaderLen+NonceLen] != protocolUDP:
		return m, fmt.Errorf("%w: protocol %d", ErrOpcode, b[pcpHeaderLen+NonceLen])
	}
	b = b[pcpHeaderLen:]
	copy(m.Nonce[:], b)
	m.Internal = binary.BigEndian.Uint16(b[16:])
	m.External = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[20:36])).Unmap(), binary.BigEndian.Uint16(b[18:]))
	return m, nil
}

// PCPAnnounce is a request that maps nothing (RFC 6887 section 14.1): whoever knows PCP
// answers it.
func PCPAnnounce(client netip.Addr) []byte {
	return appendMapped([]byte{versionPCP, 0, 0, 0, 0, 0, 0, 0}, client)
}

// ParsePCPAnnounced reads the answer to PCPAnnounce. It fails with ErrShort, ErrVersion or
// ErrOpcode.
func ParsePCPAnnounced(b []byte) (Result, error) {
	switch {
	case len(b) > 0 && b[0] != versionPCP:
		return 0, fmt.Errorf("%w: %d", ErrVersion, b[0])
	case len(b) < pcpHeaderLen:
		return 0, fmt.Errorf("%w: %d bytes of PCP", ErrShort, len(b))
	case b[1] != answerBit:
		return 0, fmt.Errorf("%w: opcode %#x", ErrOpcode, b[1])
	}
	return Result(b[3]), nil
}

// NATPMPAddress is the request for the external address (RFC 6886 section 3.2).
func NATPMPAddress() []byte { return []byte{versionNATPMP, 0} }

// NATPMPMap is the request for a UDP port (RFC 6886 section 3.3). A lifetime of 0 in
// seconds deletes the mapping; external is then 0.
func NATPMPMap(internal, external uint16, lifetime uint32) []byte {
	b := []byte{versionNATPMP, 1, 0, 0}
	b = binary.BigEndian.AppendUint16(b, internal)
	b = binary.BigEndian.AppendUint16(b, external)
	return binary.BigEndian.AppendUint32(b, lifetime)
}

// NATPMPAnswer is the answer to one of the two: to NATPMPAddress where Address is valid,
// else to NATPMPMap. Where Result is not Success the rest is zero.
type NATPMPAnswer struct {
	Result   Result
	Epoch    uint32
	Address  netip.Addr
	Internal uint16
	External uint16
	Lifetime uint32
}

// ParseNATPMPAnswer reads an answer. It fails with ErrShort, ErrVersion or ErrOpcode.
func ParseNATPMPAnswer(b []byte) (a NATPMPAnswer, err error) {
	const header, address, mapping = 8, 12, 16
	switch {
	case len(b) > 0 && b[0] != versionNATPMP:
		return a, fmt.Errorf("%w: %d", ErrVersion, b[0])
	case len(b) < header:
		return a, fmt.Errorf("%w: %d bytes of NAT-PMP", ErrShort, len(b))
	case b[1] != answerBit && b[1] != answerBit|1:
		return a, fmt.Errorf("%w: opcode %#x", ErrOpcode, b[1])
	}
	a.Result, a.Epoch = Result(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[4:])
	switch {
	case a.Result != Success:
	case b[1] == answerBit && len(b) >= address:
		a.Address = netip.AddrFrom4([4]byte(b[8:12]))
	case b[1] == answerBit|1 && len(b) >= mapping:
		a.Internal, a.External = binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])
		a.Lifetime = binary.BigEndian.Uint32(b[12:])
	default:
		return a, fmt.Errorf("%w: %d bytes of NAT-PMP", ErrShort, len(b))
	}
	return a, nil
}
