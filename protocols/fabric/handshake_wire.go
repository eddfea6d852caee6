package fabric

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrHandshake wraps what is wrong with the form of a handshake message.
var ErrHandshake = errors.New("fabric: bad handshake message")

// Sizes of handshake messages, in bytes.
const (
	// MaxHandshake is the longest message, in fragments or not.
	MaxHandshake = 8 << 10
	// MinInitiation is the least length of an initiation that carries a Noise
	// message; a shorter one is padded, so that no response is three times as
	// long, even one with a certificate of RSA-4096.
	MinInitiation = 800

	handshakeHeaderLen = 12
	cookieLen          = 16
	handshakeMACLen    = 16

	offCookie     = handshakeHeaderLen
	offInitiation = offCookie + cookieLen // the Noise message

	initiationOverhead = offInitiation + handshakeMACLen + keyLen + keyLen + 2*TagLen // IK

	requestLen = offInitiation + handshakeMACLen
	retryLen   = handshakeHeaderLen + cookieLen + handshakeMACLen
	verdictLen = handshakeHeaderLen + 1 + TagLen
	confirmLen = handshakeHeaderLen + keyLen
)

// Variants of a final.
const (
	variantFinal   = 1 // initiator to responder: the third message of XX
	variantVerdict = 2 // responder to initiator: whether that was accepted
	variantConfirm = 3 // initiator to responder, of sessions: it has the keys
)

// handshakeHeader starts every handshake message. The variant of an initiation is its
// pattern, that of a fragment the type of the whole message. The extra field of an
// initiation is the length of its Noise message, that of a fragment its number and the
// fragments' count. Both are zero elsewhere.
type handshakeHeader struct {
	kind             Type
	variant          uint8
	extra            uint16
	sender, receiver uint32 // index of the handshake at either end, 0 where not known
}

func (h handshakeHeader) append(b []byte) []byte {
	b = append(b, FirstByte(h.kind), h.variant)
	b = binary.BigEndian.AppendUint16(b, h.extra)
	b = binary.BigEndian.AppendUint32(b, h.sender)
	return binary.BigEndian.AppendUint32(b, h.receiver)
}

func parseHandshakeHeader(b []byte) (h handshakeHeader, err error) {
	t, err := TypeOf(b)
	switch {
	case err != nil:
		return h, err
	case !t.IsHandshake():
		return h, ErrType
	case len(b) < handshakeHeaderLen:
		return h, ErrShort
	case len(b) > MaxHandshake:
		return h, ErrTooLong
	}
	h = handshakeHeader{
		kind: t, variant: b[1], extra: binary.BigEndian.Uint16(b[2:]),
		sender: binary.BigEndian.Uint32(b[4:]), receiver: binary.BigEndian.Uint32(b[8:]),
	}
	return h, h.check(len(b))
}

// check judges the fields that a type does not use, and the length.
func (h handshakeHeader) check(size int) error {
	ok := false
	switch h.kind {
	case TypeInitiation:
		ok = h.sender != 0 && h.receiver == 0 && size >= requestLen && int(h.extra) <= size-requestLen &&
			(h.variant == uint8(patternNone)) == (h.extra == 0) && h.variant <= uint8(patternIK)
	case TypeResponse:
		ok = h.variant == 0 && h.extra == 0 && h.receiver != 0
	case TypeFinal:
		ok = h.extra == 0 && h.sender != 0 && h.receiver != 0 &&
			(h.variant == variantFinal || h.variant == variantVerdict && size == verdictLen ||
				h.variant == variantConfirm && size == confirmLen)
	case TypeRetry:
		ok = h.extra == 0 && h.sender == 0 && h.receiver != 0 &&
			(h.variant == 0 && size == retryLen || h.variant == variantSeen && size == seenRetry)
	case TypeHandshakeFragment:
		inner, number, count := Type(h.variant), h.extra>>8, h.extra&0xff
		ok = h.sender != 0 && number < count && count >= 2 && count <= maxHandshakeFragments && size > fragmentHeaderLen &&
			(inner == TypeInitiation && h.receiver == 0 || (inner == TypeResponse || inner == TypeFinal) && h.receiver != 0)
	case TypeControl, TypeData: // no handshake
	}
	if !ok {
		return fmt.Errorf("%w: fields of a message of type %d and %d bytes", ErrHandshake, h.kind, size)
	}
	return nil
}

// HandshakeIndex is the receiver's index in a handshake message: of the Link that
// said Expect, or of the Acceptor's half-open handshake. It is 0 where the message
// begins a handshake: then it is the Acceptor's. It fails with ErrShort, ErrTooLong,
// ErrVersion, ErrType or ErrHandshake.
func HandshakeIndex(datagram []byte) (uint32, error) {
	h, err := parseHandshakeHeader(datagram)
	if err != nil {
		return 0, err
	}
	return h.receiver, nil
}

// initiation is the first message. Without a Noise message it asks for a cookie.
type initiation struct {
	header handshakeHeader
	cookie cookie
	noise  []byte
	mac    [handshakeMACLen]byte
}

func parseInitiation(h handshakeHeader, b []byte) initiation {
	return initiation{
		header: h, cookie: cookie(b[offCookie:]), noise: b[offInitiation : offInitiation+int(h.extra)],
		mac: [handshakeMACLen]byte(b[len(b)-handshakeMACLen:]),
	}
}

// append writes the message with its padding and MAC.
func (m initiation) append(b []byte, key macKey) []byte {
	m.header.kind, m.header.extra = TypeInitiation, uint16(len(m.noise))
	start := len(b)
	b = m.header.append(b)
	b = append(b, m.cookie[:]...)
	b = append(b, m.noise...)
	if least := MinInitiation - handshakeMACLen; len(m.noise) > 0 && len(b)-start < least {
		b = append(b, make([]byte, least-(len(b)-start))...)
	}
	mac := key.sum(b[start:])
	return append(b, mac[:]...)
}

// retry gives a cookie to whoever sent the initiation with this MAC.
func appendRetry(b []byte, receiver uint32, c cookie, key macKey, answered [handshakeMACLen]byte) []byte {
	start := len(b)
	b = handshakeHeader{kind: TypeRetry, receiver: receiver}.append(b)
	b = append(b, c[:]...)
	mac := key.sum(b[start:], answered[:])
	return append(b, mac[:]...)
}

// hello is the payload of a Noise message: who speaks, or why he will not.
type hello struct {
	refusal     CloseReason // and nothing else, where not zero
	index       uint32      // the sender's, of the header
	boot        BootID
	suites      []Suite
	certificate []byte
	binding     []byte
}

const (
	helloLen  = 20 // flags, refusal, number of suites, 0, index 4, boot id 8, lengths of certificate and binding 2 + 2
	maxSuites = 8

	helloRefusal = 1 // flag
)

func (h hello) append(b []byte) []byte {
	var flags byte
	if h.refusal != CloseNone {
		flags |= helloRefusal
	}
	b = append(b, flags, byte(h.refusal), byte(len(h.suites)), 0)
	b = binary.BigEndian.AppendUint32(b, h.index)
	b = append(b, h.boot[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.certificate)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.binding)))
	for _, s := range h.suites {
		b = append(b, byte(s))
	}
	b = append(b, h.certificate...)
	return append(b, h.binding...)
}

// parseHello reads a payload; certificate and binding lie in b. Unknown suites
// are kept: agree passes over them.
func parseHello(b []byte) (h hello, err error) {
	if len(b) < helloLen {
		return h, fmt.Errorf("%w: payload of %d bytes, at least %d", ErrHandshake, len(b), helloLen)
	}
	flags, suites := b[0], int(b[2])
	certificate, binding := int(binary.BigEndian.Uint16(b[16:])), int(binary.BigEndian.Uint16(b[18:]))
	h = hello{refusal: CloseReason(b[1]), index: binary.BigEndian.Uint32(b[4:]), boot: BootID(b[8:16])}
	switch {
	case flags > helloRefusal || b[3] != 0 || (flags == helloRefusal) != (h.refusal != CloseNone):
		return h, fmt.Errorf("%w: payload with flags %#x, refusal %d, reserved %#x", ErrHandshake, flags, b[1], b[3])
	case suites > maxSuites:
		return h, fmt.Errorf("%w: payload with %d suites, at most %d", ErrHandshake, suites, maxSuites)
	case len(b) != helloLen+suites+certificate+binding:
		return h, fmt.Errorf("%w: payload of %d bytes, %d stated", ErrHandshake, len(b), helloLen+suites+certificate+binding)
	case h.refusal != CloseNone:
		return h, nil
	case h.index == 0:
		return h, fmt.Errorf("%w: payload with index 0", ErrHandshake)
	}
	rest := b[helloLen:]
	for _, s := range rest[:suites] {
		h.suites = append(h.suites, Suite(s))
	}
	h.certificate, h.binding = rest[suites:suites+certificate], slices.Clip(rest[suites+certificate:])
	return h, nil
}
