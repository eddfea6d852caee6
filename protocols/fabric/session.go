package fabric

import (
	"crypto/cipher"

	"re6st/protocols/addr"
)

// sessionAADLen: version, class, ingress, egress.
const sessionAADLen = 1 + 1 + 8 + 8

// Session is one set of keys between an ingress and an egress, both ways. Safe
// for concurrent use.
type Session struct {
	local, remote uint32
	self, peer    addr.NodeID

	sendAEAD, receiveAEAD cipher.AEAD

	sent     sender
	received *window
}

// NewSession derives a session's keys from the handshake's roots. local and
// remote are as in NewLinkSession; self and peer are the two nodes, as the
// handshake proved them. It fails with ErrKeys, ErrIndex, ErrNode or ErrSuite.
func NewSession(suite Suite, keys Keys, local, remote uint32, self, peer addr.NodeID) (*Session, error) {
	if err := keys.check(local, remote); err != nil {
		return nil, err
	}
	if self.IsZero() || peer.IsZero() || self == peer {
		return nil, ErrNode
	}
	send, err := suite.aead(keys.Send, labelSession)
	if err != nil {
		return nil, err
	}
	receive, err := suite.aead(keys.Receive, labelSession)
	if err != nil {
		return nil, err
	}
	return &Session{
		local: local, remote: remote, self: self, peer: peer, sendAEAD: send, receiveAEAD: receive,
		received: newWindow(SessionWindow),
	}, nil
}

// Peer is the other end.
func (s *Session) Peer() addr.NodeID { return s.peer }

// LocalIndex is what the peer's frames carry.
func (s *Session) LocalIndex() uint32 { return s.local }

// RemoteIndex is what our frames carry.
func (s *Session) RemoteIndex() uint32 { return s.remote }

// HasSent tells whether a frame with this header was sealed here.
func (s *Session) HasSent(h SessionHeader) bool {
	return h.Index == s.remote && h.Counter < s.sent.counter.Load()
}

// Usage is as LinkSession.Usage, of whole frames.
func (s *Session) Usage() (bytes, frames uint64) {
	frames, bytes = s.received.usage()
	return s.sent.bytes.Load() + bytes, s.sent.counter.Load() + frames
}

// Seal appends the session header and the sealed inner packet to dst, whose last
// HopHeaderLen bytes are the frame's hop header; the caller writes that before
// or after, with the same class, this session's peer as egress and self as
// ingress. It allocates only where dst lacks the room. inner may lie in that
// room exactly where its ciphertext goes, SessionHeaderLen behind dst, and
// nowhere else in it. It fails with ErrShort, ErrTooLong or ErrExhausted.
func (s *Session) Seal(dst []byte, class uint8, inner []byte) ([]byte, error) {
	size := Overhead + len(inner)
	if len(dst) < HopHeaderLen {
		return nil, ErrShort
	}
	if size > MaxDatagram {
		return nil, ErrTooLong
	}
	counter, err := s.sent.next(size)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	var header [SessionHeaderLen]byte
	SessionHeader{s.remote, counter}.put(header[:])
	dst = append(dst, header[:]...)
	sc := scratches.Get().(*scratch)
	dst = s.sendAEAD.Seal(dst, dst[start:], inner, sc.sessionAAD(class, s.self, s.peer))
	scratches.Put(sc)
	return dst, nil
}

// Open authenticates a whole data frame, decrypts it in place and returns the
// inner packet, which lies in frame; frame is spoilt on failure. It fails with
// the errors of ParseHop, ErrFragment (reassemble first), ErrNode, ErrIndex,
// ErrReplay or ErrAuth.
func (s *Session) Open(frame []byte) (inner []byte, err error) {
	if len(frame) < Overhead {
		return nil, ErrShort
	}
	hop, err := ParseHop(frame)
	if err != nil {
		return nil, err
	}
	h, err := ParseSession(frame)
	switch {
	case err != nil:
		return nil, err
	case hop.Fragment:
		return nil, ErrFragment
	case hop.Ingress != s.peer || hop.Egress != s.self:
		return nil, ErrNode
	case h.Index != s.local:
		return nil, ErrIndex
	case h.Counter >= CounterLimit || !s.received.fresh(h.Counter):
		return nil, ErrReplay
	}
	sealed := frame[HopHeaderLen+SessionHeaderLen:]
	sc := scratches.Get().(*scratch)
	inner, err = s.receiveAEAD.Open(sealed[:0], frame[HopHeaderLen:HopHeaderLen+nonceLen], sealed,
		sc.sessionAAD(hop.Class, s.peer, s.self))
	scratches.Put(sc)
	if err != nil {
		return nil, ErrAuth
	}
	if !s.received.accept(h.Counter, len(frame)) {
		return nil, ErrReplay
	}
	return inner, nil
}

// sessionAAD is what the ends agree on about a frame. Topology, ECN, hop limit
// and fragment are not in it: relays and redundant copies change them.
func (sc *scratch) sessionAAD(class uint8, ingress, egress addr.NodeID) []byte {
	sc.aad[0], sc.aad[1] = Version, class
	copy(sc.aad[2:], ingress[:])
	copy(sc.aad[10:], egress[:])
	return sc.aad[:sessionAADLen]
}
