package fabric

import (
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
)

// MinQuestion is the least length of a question in bytes: so it may be answered to any
// address by less than it has.
const MinQuestion = requestLen + 1 + seenLen

const (
	// wantsPlace stands where a longer initiation has its Noise message.
	wantsPlace = 1
	// variantSeen is that of a retry which tells where it was sent to.
	variantSeen = 1

	seenLen     = 16 + 2 // address and port
	seenRetry   = retryLen + seenLen
	offSeen     = offCookie + cookieLen
	offQuestion = offInitiation // wantsPlace
)

// Asker asks nodes whether handshakes of a network come to them, and where from, by
// initiations without a Noise message, which cost a node no state: it answers with a retry.
// A node of an earlier version answers too, and does not tell where from.
type Asker struct{ key macKey }

// NewAsker makes the Asker for the network whose CA has this fingerprint.
func NewAsker(fingerprint [32]byte) Asker { return Asker{newMACKey(fingerprint)} }

// Append appends a question of size bytes, MinQuestion at least, with zeros. The answer's
// HandshakeIndex is index, which must not be zero.
func (a Asker) Append(b []byte, index uint32, size int) []byte {
	start := len(b)
	b = handshakeHeader{kind: TypeInitiation, sender: index}.append(b)
	b = append(b, make([]byte, max(size, MinQuestion)-handshakeHeaderLen-handshakeMACLen)...)
	b[start+offQuestion] = wantsPlace
	mac := a.key.sum(b[start:])
	return append(b, mac[:]...)
}

// Answers tells whether a datagram answers the question, as whoever saw that and knows the
// CA can, and where the question was seen to come from; not valid: it does not say.
func (a Asker) Answers(question, answer []byte) (seen netip.AddrPort, ok bool) {
	h, err := parseHandshakeHeader(answer)
	if err != nil || h.kind != TypeRetry || len(question) < MinQuestion {
		return seen, false
	}
	asked := [handshakeMACLen]byte(question[len(question)-handshakeMACLen:])
	if h.receiver != binary.BigEndian.Uint32(question[4:]) || !a.key.isMarked(answer, asked[:]) {
		return seen, false
	}
	if h.variant == variantSeen {
		seen = hideSeen([seenLen]byte(answer[offSeen:]), asked).addrPort()
	}
	return seen, true
}

// asksPlace tells whether an initiation without a Noise message is a question.
func asksPlace(b []byte) bool { return len(b) >= MinQuestion && b[offQuestion] == wantsPlace }

// seenAt is an address and a port.
type seenAt [seenLen]byte

func newSeenAt(at netip.AddrPort) (s seenAt) {
	a := at.Addr().As16()
	copy(s[:], a[:])
	binary.BigEndian.PutUint16(s[16:], at.Port())
	return s
}

func (s seenAt) addrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s[:16])).Unmap(), binary.BigEndian.Uint16(s[16:]))
}

// hideSeen and again shows what is hidden: some NATs rewrite addresses that they find in
// what passes (RFC 8489 section 14.2).
func hideSeen(s seenAt, asked [handshakeMACLen]byte) (hidden seenAt) {
	subtle.XORBytes(hidden[:], s[:], append(asked[:], asked[:2]...))
	return hidden
}

// appendSeen is appendRetry for a question from an address.
func appendSeen(b []byte, receiver uint32, c cookie, key macKey, asked [handshakeMACLen]byte, at netip.AddrPort) []byte {
	start := len(b)
	b = handshakeHeader{kind: TypeRetry, variant: variantSeen, receiver: receiver}.append(b)
	b = append(b, c[:]...)
	hidden := hideSeen(newSeenAt(at), asked)
	b = append(b, hidden[:]...)
	mac := key.sum(b[start:], asked[:])
	return append(b, mac[:]...)
}
