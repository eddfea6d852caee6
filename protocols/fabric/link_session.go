package fabric

import (
	"crypto/cipher"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// CounterLimit ends a key: counters at or above it are neither sent nor
// accepted. At ten million frames a second it lasts 30 hours; rekeying is due
// long before.
const CounterLimit = 1 << 40

const (
	macLen    = HopHeaderLen - offMAC
	nonceLen  = 12
	hopAADLen = HopHeaderLen + SessionHeaderLen
)

// scratch is memory for what goes through an AEAD's interface, which would
// otherwise be allocated per frame.
type scratch struct {
	aad [hopAADLen]byte
	tag [TagLen]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// sender counts what goes out under one root.
type sender struct{ counter, bytes atomic.Uint64 }

// next reserves a counter; ErrExhausted where there is none left.
func (s *sender) next(size int) (uint64, error) { return s.nextOf(1, size) }

// nextOf reserves so many counters, for so many bytes in all, and returns the first;
// ErrExhausted where fewer are left.
func (s *sender) nextOf(frames, bytes int) (uint64, error) {
	// Load first: a key that is used up must not count on until it wraps.
	if s.counter.Load() >= CounterLimit {
		return 0, ErrExhausted
	}
	end := s.counter.Add(uint64(frames))
	if end > CounterLimit {
		return 0, ErrExhausted
	}
	s.bytes.Add(uint64(bytes))
	return end - uint64(frames), nil
}

// LinkSession is one set of keys of a link: it seals control frames and stamps
// data frames on one side, opens and checks them on the other. Control and data
// frames share the counter and the window, but not the key. Safe for concurrent
// use.
type LinkSession struct {
	suite         Suite
	local, remote uint32

	sendAEAD, receiveAEAD cipher.AEAD // control frames
	sendMAC, receiveMAC   cipher.AEAD // hop MACs

	sent     sender
	received *window

	full    atomic.Uint64 // data frames of FullFrame bytes or more, stamped
	refused atomic.Uint32 // the shortest that the interface did not take; 0: none
}

// NewLinkSession derives a link's keys from the handshake's roots. local is the
// index that the peer writes into its frames for us, remote the one that it
// chose; both are non-zero. It fails with ErrKeys, ErrIndex or ErrSuite.
func NewLinkSession(suite Suite, keys Keys, local, remote uint32) (*LinkSession, error) {
	if err := keys.check(local, remote); err != nil {
		return nil, err
	}
	s := &LinkSession{suite: suite, local: local, remote: remote, received: newWindow(LinkWindow)}
	for _, k := range []struct {
		to    *cipher.AEAD
		root  [32]byte
		label string
	}{
		{&s.sendAEAD, keys.Send, labelLinkAEAD},
		{&s.sendMAC, keys.Send, labelHopMAC},
		{&s.receiveAEAD, keys.Receive, labelLinkAEAD},
		{&s.receiveMAC, keys.Receive, labelHopMAC},
	} {
		aead, err := suite.aead(k.root, k.label)
		if err != nil {
			return nil, err
		}
		*k.to = aead
	}
	return s, nil
}

// Suite is the AEAD that both ends agreed on.
func (s *LinkSession) Suite() Suite { return s.suite }

// LocalIndex is what the peer's frames carry.
func (s *LinkSession) LocalIndex() uint32 { return s.local }

// RemoteIndex is what our frames carry.
func (s *LinkSession) RemoteIndex() uint32 { return s.remote }

// Usage is the sum of both directions since the keys were made: authentic
// frames and their bytes without UDP and IP. It is what rekeying goes by.
func (s *LinkSession) Usage() (bytes, frames uint64) {
	frames, bytes = s.received.usage()
	return s.sent.bytes.Load() + bytes, s.sent.counter.Load() + frames
}

// SealControl appends one control frame to dst and returns the longer slice.
// It allocates only where dst lacks ControlOverhead+len(body) bytes of room;
// body must not lie in that room. It fails with ErrTooLong or ErrExhausted.
func (s *LinkSession) SealControl(dst []byte, kind ControlKind, body []byte) ([]byte, error) {
	size := ControlOverhead + len(body)
	if size > MaxDatagram {
		return nil, ErrTooLong
	}
	counter, err := s.sent.next(size)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	dst = append(dst, FirstByte(TypeControl), 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, s.remote)
	dst = binary.BigEndian.AppendUint64(dst, counter)
	dst = append(dst, byte(kind))
	dst = append(dst, body...)
	header, plain := dst[start:start+ControlHeaderLen], dst[start+ControlHeaderLen:]
	return s.sendAEAD.Seal(dst[:start+ControlHeaderLen], header[ControlHeaderLen-nonceLen:], plain, header), nil
}

// OpenControl authenticates, decrypts in place and returns the kind and the body
// of a control frame; the body lies in datagram, which is spoilt on failure. It
// fails with ErrShort, ErrVersion, ErrType, ErrReserved, ErrIndex, ErrReplay or
// ErrAuth.
func (s *LinkSession) OpenControl(datagram []byte) (ControlKind, []byte, error) {
	index, counter, err := parseControlHeader(datagram)
	switch {
	case err != nil:
		return 0, nil, err
	case index != s.local:
		return 0, nil, ErrIndex
	case counter >= CounterLimit || !s.received.fresh(counter):
		return 0, nil, ErrReplay
	}
	header, sealed := datagram[:ControlHeaderLen], datagram[ControlHeaderLen:]
	plain, err := s.receiveAEAD.Open(sealed[:0], header[ControlHeaderLen-nonceLen:], sealed, header)
	if err != nil {
		return 0, nil, ErrAuth
	}
	if !s.received.accept(counter, len(datagram)) {
		return 0, nil, ErrReplay
	}
	return ControlKind(plain[0]), plain[1:], nil
}

// NoteTooBig tells the Link that this machine's interface refused a frame of so many bytes,
// when it looks next.
func (s *LinkSession) NoteTooBig(size int) {
	for old := s.refused.Load(); old == 0 || uint32(size) < old; old = s.refused.Load() {
		if s.refused.CompareAndSwap(old, uint32(size)) {
			return
		}
	}
}
