package fabric

import "fmt"

// Sizes of what the fabric adds to a packet, in bytes.
const (
	HopHeaderLen     = 44
	SessionHeaderLen = 12
	TagLen           = 16
	// Overhead is what a sealed packet has more than the inner one. With UDP (8)
	// and IPv6 (40) that is 120, so a TUN over 1500 bytes has an MTU of 1380.
	Overhead = HopHeaderLen + SessionHeaderLen + TagLen

	// MaxDatagram is the longest payload of UDP over IPv4, the shorter of both.
	MaxDatagram = 65507

	// InitialHopLimit is what an ingress writes; each relay takes one.
	InitialHopLimit = 64
)

// Version of the wire format, in bits 5 and 4 of the first byte.
const Version = 1

// Type tells what a datagram is, in bits 3 to 0 of the first byte.
type Type uint8

// The types of datagram. Those up to TypeHandshakeFragment are for the handshake
// machines, the others for the packet path.
const (
	TypeInitiation        Type = 1
	TypeResponse          Type = 2
	TypeFinal             Type = 3
	TypeRetry             Type = 4
	TypeHandshakeFragment Type = 5
	TypeControl           Type = 8
	TypeData              Type = 9
)

// FirstByte is the first byte of a datagram of type t: bits 7 and 6 are zero,
// because QUIC sets 0x40 and may share the port.
func FirstByte(t Type) byte { return Version<<4 | byte(t)&0x0f }

// TypeOf tells the type of a datagram by its first byte. It fails with ErrShort
// on an empty one, ErrVersion on another protocol or version, and ErrType on a
// type that this version does not have.
func TypeOf(datagram []byte) (Type, error) {
	if len(datagram) == 0 {
		return 0, fmt.Errorf("%w: empty datagram", ErrShort)
	}
	t := Type(datagram[0] & 0x0f)
	switch {
	case datagram[0]>>4 != Version:
		return 0, ErrVersion
	case t.IsHandshake(), t == TypeControl, t == TypeData:
		return t, nil
	}
	return 0, ErrType
}

// IsHandshake tells whether datagrams of the type belong to a handshake machine.
func (t Type) IsHandshake() bool { return t >= TypeInitiation && t <= TypeHandshakeFragment }
