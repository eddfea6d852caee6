package fabric

import (
	"encoding/binary"

	"re6st/protocols/addr"
)

// Offsets in the hop header; see the figure in doc.go.
const (
	offClass     = 1
	offTopology  = 2
	offHopLimit  = 3
	offFlags     = 4
	offFlow      = 5
	offFragment  = 6
	offLinkIndex = 8
	offCounter   = 12
	offEgress    = 20
	offIngress   = 28
	offMAC       = 36
)

const (
	flagECN      = 0b0000_0011
	flagFragment = 0b0000_0100
	flagLast     = 0b0000_1000
	flagReserved = 0b1111_0000
)

const (
	// FragmentUnit is the unit of a fragment's offset, in bytes.
	FragmentUnit = 16

	fragmentIDShift = 12
	fragmentIDMask  = 0x0f
	fragmentOffMask = 1<<fragmentIDShift - 1
)

// The codepoints of ECN (RFC 3168 section 5).
const (
	ECNNotECT = 0b00
	ECNECT1   = 0b01
	ECNECT0   = 0b10
	ECNCE     = 0b11
)

// HopHeader is the part of a data frame that relays read.
type HopHeader struct {
	Class    uint8
	Topology uint8
	HopLimit uint8
	ECN      uint8 // 0 to 3
	Flow     uint8 // entropy for links of equal cost

	Fragment       bool
	Last           bool   // the last fragment; false where Fragment is
	FragmentID     uint8  // 0 to 15; chosen by who splits first
	FragmentOffset uint16 // of what follows the session header, in units of FragmentUnit; 0 to 4095

	LinkIndex uint32 // the receiver's; StampHop sets it
	Counter   uint64 // of the link; StampHop sets it
	Egress    addr.NodeID
	Ingress   addr.NodeID
	MAC       [8]byte // StampHop sets it
}

// ParseHop reads the hop header at the start of a data frame. It fails with
// ErrShort, ErrVersion, ErrType, ErrReserved (also where fragment fields are set
// in a frame that is no fragment) or ErrNode. What it returns is not authentic
// until LinkSession.CheckHop says so.
func ParseHop(b []byte) (h HopHeader, err error) {
	if err := h.parse(b); err != nil {
		return HopHeader{}, err
	}
	return h, nil
}

// parse is ParseHop in place; what is in h after an error means nothing.
func (h *HopHeader) parse(b []byte) error {
	if len(b) < HopHeaderLen {
		return ErrShort
	}
	if b[0]>>4 != Version {
		return ErrVersion
	}
	if b[0] != FirstByte(TypeData) {
		return ErrType
	}
	flags, fragment := b[offFlags], binary.BigEndian.Uint16(b[offFragment:])
	if flags&flagReserved != 0 || flags&flagFragment == 0 && (flags&flagLast != 0 || fragment != 0) {
		return ErrReserved
	}
	// One by one: a literal is made elsewhere and copied.
	h.Class, h.Topology, h.HopLimit = b[offClass], b[offTopology], b[offHopLimit]
	h.ECN, h.Flow = flags&flagECN, b[offFlow]
	h.Fragment, h.Last = flags&flagFragment != 0, flags&flagLast != 0
	h.FragmentID, h.FragmentOffset = uint8(fragment>>fragmentIDShift), fragment&fragmentOffMask
	h.LinkIndex, h.Counter = binary.BigEndian.Uint32(b[offLinkIndex:]), binary.BigEndian.Uint64(b[offCounter:])
	h.Egress, h.Ingress = addr.NodeID(b[offEgress:offIngress]), addr.NodeID(b[offIngress:offMAC])
	h.MAC = [macLen]byte(b[offMAC:HopHeaderLen])
	if h.Egress.IsZero() || h.Ingress.IsZero() {
		return ErrNode
	}
	return nil
}

// Put writes h into the first HopHeaderLen bytes of b; it panics if b is
// shorter. Bits that do not fit their field are cut off.
func (h HopHeader) Put(b []byte) {
	_ = b[HopHeaderLen-1]
	flags, fragment := h.ECN&flagECN, uint16(0)
	if h.Fragment {
		flags |= flagFragment
		if h.Last {
			flags |= flagLast
		}
		fragment = uint16(h.FragmentID&fragmentIDMask)<<fragmentIDShift | h.FragmentOffset&fragmentOffMask
	}
	b[0] = FirstByte(TypeData)
	b[offClass], b[offTopology], b[offHopLimit] = h.Class, h.Topology, h.HopLimit
	b[offFlags], b[offFlow] = flags, h.Flow
	binary.BigEndian.PutUint16(b[offFragment:], fragment)
	binary.BigEndian.PutUint32(b[offLinkIndex:], h.LinkIndex)
	binary.BigEndian.PutUint64(b[offCounter:], h.Counter)
	copy(b[offEgress:], h.Egress[:])
	copy(b[offIngress:], h.Ingress[:])
	copy(b[offMAC:], h.MAC[:])
}

// TakeHop is what a relay does to the hop limit of a data frame: one less. It
// fails with ErrHopLimit, and leaves the frame alone, where none would be left.
func TakeHop(frame []byte) error {
	if len(frame) < HopHeaderLen {
		return ErrShort
	}
	if frame[offHopLimit] <= 1 {
		return ErrHopLimit
	}
	frame[offHopLimit]--
	return nil
}

// MarkCE sets the ECN field of a data frame to "congestion experienced"; only
// where the inner packet is ECN-capable (RFC 6040 section 4.1), and it tells
// whether it was.
func MarkCE(frame []byte) bool {
	if len(frame) < HopHeaderLen || frame[offFlags]&flagECN == ECNNotECT {
		return false
	}
	frame[offFlags] |= ECNCE
	return true
}

// DataLinkIndex is the receiver's link index in a data frame; 0 where the frame
// is too short to have one.
func DataLinkIndex(frame []byte) uint32 {
	if len(frame) < HopHeaderLen+SessionHeaderLen {
		return 0
	}
	return binary.BigEndian.Uint32(frame[offLinkIndex:])
}

// SessionHeader is the end-to-end header, which follows the hop header and is
// repeated in every fragment.
type SessionHeader struct {
	Index   uint32 // the receiver's
	Counter uint64
}

// ParseSession reads the end-to-end header of a data frame. It fails with
// ErrShort.
func ParseSession(frame []byte) (SessionHeader, error) {
	if len(frame) < HopHeaderLen+SessionHeaderLen {
		return SessionHeader{}, ErrShort
	}
	b := frame[HopHeaderLen:]
	return SessionHeader{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])}, nil
}

func (h SessionHeader) put(b []byte) {
	binary.BigEndian.PutUint32(b, h.Index)
	binary.BigEndian.PutUint64(b[4:], h.Counter)
}
