package babel

import (
	"encoding/binary"
	"net/netip"
)

// TLV types of RFC 8967 section 6. MACs stand in the trailer, the others in the
// body; none has sub-TLVs.
const (
	typeMAC              = 16
	typePC               = 17
	typeChallengeRequest = 18
	typeChallengeReply   = 19
)

// pseudoHeader is what a MAC covers before the packet (section 4.1).
func pseudoHeader(src, dst netip.Addr) []byte {
	b := make([]byte, 0, 2*(16+2))
	for _, a := range []netip.Addr{src, dst} {
		full := a.As16()
		b = binary.BigEndian.AppendUint16(append(b, full[:]...), Port)
	}
	return b
}

func appendTLV(b []byte, typ uint8, parts ...[]byte) []byte {
	start := len(b)
	b = append(b, typ, 0)
	for _, p := range parts {
		b = append(b, p...)
	}
	b[start+1] = uint8(len(b) - start - 2)
	return b
}

// split is a packet's header with its body, and its trailer.
func split(packet []byte) (covered, trailer []byte, ok bool) {
	if len(packet) < headerLen || packet[0] != magic || packet[1] != version {
		return nil, nil, false
	}
	n := headerLen + int(binary.BigEndian.Uint16(packet[2:]))
	if n > len(packet) {
		return nil, nil, false
	}
	return packet[:n], packet[n:], true
}

// eachTLV calls do for each TLV but Pad1, and tells whether the last ends with b.
func eachTLV(b []byte, do func(typ uint8, body []byte)) bool {
	for len(b) > 0 {
		if b[0] == typePad1 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return false
		}
		body := b[2 : 2+int(b[1])]
		do(b[0], body)
		b = b[2+len(body):]
	}
	return true
}

// preparsed is what a body has for the Authenticator (section 4.3, step 3).
type preparsed struct {
	counted   bool   // there is a packet counter
	index     []byte // all three share the packet's memory
	pc        uint32
	challenge []byte   // nil: none
	replies   [][]byte // all but those of a length that no nonce of ours has
}

// preparse goes through a body a first time. Only the first packet counter counts,
// and the first challenge.
func preparse(body []byte) (p preparsed, ok bool) {
	ok = eachTLV(body, func(typ uint8, b []byte) {
		switch {
		case typ == typePC && !p.counted && len(b) >= 4 && len(b)-4 <= MaxMACIndex:
			p.counted, p.pc, p.index = true, binary.BigEndian.Uint32(b), b[4:]
		case typ == typeChallengeRequest && p.challenge == nil && len(b) <= MaxNonce:
			p.challenge = b
		case typ == typeChallengeReply && len(b) == nonceLen:
			p.replies = append(p.replies, b)
		}
	})
	return p, ok
}
