package fabric

import (
	"encoding/binary"
	"fmt"

	"re6st/protocols/addr"
)

const (
	// ControlHeaderLen: type, flags, reserved 2, receiver's link index 4, counter 8.
	ControlHeaderLen = 16
	// ControlOverhead is what a control frame has more than its body.
	ControlOverhead = ControlHeaderLen + 1 + TagLen
	// MaxControlBody fits a link over the least IPv6 path, 1280 bytes.
	MaxControlBody = 1280 - 40 - 8 - ControlOverhead
)

// ControlKind tells what the body of a control frame is. Unknown kinds are
// ignored, so that a newer node may send them.
type ControlKind uint8

// The kinds of control frames.
const (
	ControlKeepAlive     ControlKind = 0 // padding: the body means nothing
	ControlProbe         ControlKind = 1
	ControlProbeAck      ControlKind = 2
	ControlBabel         ControlKind = 3
	ControlPIM           ControlKind = 4
	ControlPeer          ControlKind = 5
	ControlTransit       ControlKind = 6
	ControlMulticast     ControlKind = 7
	ControlClose         ControlKind = 8
	ControlPathChallenge ControlKind = 9
	ControlPathResponse  ControlKind = 10
	ControlMTUProbe      ControlKind = 11 // padded to the size that is tried
	ControlMTUProbeAck   ControlKind = 12

	// ControlKinds is how many there are, from 0 on.
	ControlKinds = 13
)

var controlNames = [ControlKinds]string{
	"keepalive", "probe", "probe-ack", "babel", "pim", "peer", "transit", "multicast", "close", "path-challenge", "path-response",
	"mtu-probe", "mtu-probe-ack",
}

// String is the kind as status and metrics show it.
func (k ControlKind) String() string {
	if k < ControlKinds {
		return controlNames[k]
	}
	return "unknown"
}

// ControlLinkIndex is the receiver's link index in a control frame; 0 where the
// datagram is too short to be one.
func ControlLinkIndex(datagram []byte) uint32 {
	if len(datagram) < ControlOverhead {
		return 0
	}
	return binary.BigEndian.Uint32(datagram[4:])
}

// ControlCounter is the link counter of a control frame; 0 where the datagram is too
// short to be one.
func ControlCounter(datagram []byte) uint64 {
	if len(datagram) < ControlOverhead {
		return 0
	}
	return binary.BigEndian.Uint64(datagram[8:])
}

func parseControlHeader(b []byte) (index uint32, counter uint64, err error) {
	switch {
	case len(b) < ControlOverhead:
		return 0, 0, ErrShort
	case b[0]>>4 != Version:
		return 0, 0, ErrVersion
	case b[0] != FirstByte(TypeControl):
		return 0, 0, ErrType
	case b[1] != 0 || b[2] != 0 || b[3] != 0:
		return 0, 0, ErrReserved
	}
	return binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:]), nil
}

// TransitKind tells what a transit message carries.
type TransitKind uint8

// The kinds of transit messages.
const (
	TransitHandshake  TransitKind = 1 // a message of an end-to-end handshake
	TransitRelayError TransitKind = 2
	TransitRendezvous TransitKind = 3 // a peer message with which two nodes meet
	TransitTrace      TransitKind = 4 // a probe of protocols/trace, answered where its hop limit ends too
	TransitTraceReply TransitKind = 5 // its answer, and the same sealed as a data frame where there is a session
)

// TransitHeaderLen: topology, hop limit, class, kind, egress 8, ingress 8.
const TransitHeaderLen = 20

// Transit is the body of a ControlTransit frame: a message that travels from
// node to node, opened and sealed again by each, to the node Egress. Relays
// forward it by (topology, egress). Nothing but the last link proves its origin.
type Transit struct {
	Topology uint8
	HopLimit uint8
	Class    uint8
	Kind     TransitKind
	Egress   addr.NodeID
	Ingress  addr.NodeID
	Payload  []byte
}

// ParseTransit reads a transit message; the payload lies in body. It fails with
// ErrTransit.
func ParseTransit(body []byte) (Transit, error) {
	if len(body) < TransitHeaderLen {
		return Transit{}, fmt.Errorf("%w: %d bytes, the header has %d", ErrTransit, len(body), TransitHeaderLen)
	}
	t := Transit{
		Topology: body[0], HopLimit: body[1], Class: body[2], Kind: TransitKind(body[3]),
		Egress: addr.NodeID(body[4:12]), Ingress: addr.NodeID(body[12:20]), Payload: body[TransitHeaderLen:],
	}
	if t.Egress.IsZero() || t.Ingress.IsZero() {
		return Transit{}, fmt.Errorf("%w: egress %s, ingress %s; neither may be zero", ErrTransit, t.Egress, t.Ingress)
	}
	return t, nil
}

// Append appends the message to dst.
func (t Transit) Append(dst []byte) []byte {
	dst = append(dst, t.Topology, t.HopLimit, t.Class, byte(t.Kind))
	dst = append(dst, t.Egress[:]...)
	dst = append(dst, t.Ingress[:]...)
	return append(dst, t.Payload...)
}

// RelayErrorCode tells why a data frame went no further.
type RelayErrorCode uint8

// The codes of relay errors.
const (
	RelayTooBig         RelayErrorCode = 1 // the next link carries MTU bytes of inner packet
	RelayNoRoute        RelayErrorCode = 2
	RelayHopLimit       RelayErrorCode = 3
	RelayUnknownSession RelayErrorCode = 4 // from the egress
)

// String is for logs.
func (c RelayErrorCode) String() string {
	switch c {
	case RelayTooBig:
		return "too big"
	case RelayNoRoute:
		return "no route"
	case RelayHopLimit:
		return "hop limit exceeded"
	case RelayUnknownSession:
		return "unknown session"
	}
	return fmt.Sprintf("relay error %d", uint8(c))
}

// relayErrorLen: code, topology, MTU 2, session index 4, counter 8, egress 8, ingress 8.
const relayErrorLen = 32

// RelayError is the payload of a TransitRelayError message, which goes back to
// the frame's ingress. It is a hint: whoever relays for a node can send one. The
// ingress tells by the session and counter whether it sent such a frame.
type RelayError struct {
	Code     RelayErrorCode
	Topology uint8
	MTU      uint16 // of the inner packet, in bytes; 0 but for RelayTooBig
	Session  SessionHeader
	Egress   addr.NodeID // of the frame
	Ingress  addr.NodeID // of the frame
}

// NewRelayError describes a data frame that went no further. It fails with the
// errors of ParseHop.
func NewRelayError(code RelayErrorCode, mtu uint16, frame []byte) (RelayError, error) {
	hop, err := ParseHop(frame)
	if err != nil {
		return RelayError{}, err
	}
	session, err := ParseSession(frame)
	if err != nil {
		return RelayError{}, err
	}
	return RelayError{code, hop.Topology, mtu, session, hop.Egress, hop.Ingress}, nil
}

// ParseRelayError reads the payload. It fails with ErrRelayError, also on codes
// of the future.
func ParseRelayError(b []byte) (RelayError, error) {
	if len(b) != relayErrorLen {
		return RelayError{}, fmt.Errorf("%w: %d bytes, want %d", ErrRelayError, len(b), relayErrorLen)
	}
	e := RelayError{
		Code: RelayErrorCode(b[0]), Topology: b[1], MTU: binary.BigEndian.Uint16(b[2:]),
		Session: SessionHeader{binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:])},
		Egress:  addr.NodeID(b[16:24]), Ingress: addr.NodeID(b[24:32]),
	}
	if e.Code < RelayTooBig || e.Code > RelayUnknownSession {
		return RelayError{}, fmt.Errorf("%w: unknown code %d", ErrRelayError, e.Code)
	}
	return e, nil
}

// Append appends the payload to dst.
func (e RelayError) Append(dst []byte) []byte {
	dst = append(dst, byte(e.Code), e.Topology)
	dst = binary.BigEndian.AppendUint16(dst, e.MTU)
	dst = binary.BigEndian.AppendUint32(dst, e.Session.Index)
	dst = binary.BigEndian.AppendUint64(dst, e.Session.Counter)
	dst = append(dst, e.Egress[:]...)
	return append(dst, e.Ingress[:]...)
}
