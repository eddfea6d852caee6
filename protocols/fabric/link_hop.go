package fabric

import (
	"crypto/cipher"
	"encoding/binary"
)

// StampHop makes a data frame ready for this link: it writes the receiver's link
// index, the next counter and the MAC into the hop header, and nothing else. It
// fails with ErrShort, ErrTooLong or ErrExhausted.
func (s *LinkSession) StampHop(frame []byte) error { return s.StampHops(frame, len(frame)) }

// StampHops is StampHop of frames that lie one behind another, each of so many bytes but for
// the last, which may be shorter: their counters are one behind another too. It costs less
// than one by one. Where it fails, no frame is changed.
func (s *LinkSession) StampHops(frames []byte, length int) error {
	if length < hopAADLen || len(frames) == 0 {
		return ErrShort
	}
	if length > MaxDatagram {
		return ErrTooLong
	}
	count := (len(frames) + length - 1) / length
	last := len(frames) - (count-1)*length
	if last < hopAADLen {
		return ErrShort
	}
	counter, err := s.sent.nextOf(count, len(frames))
	if err != nil {
		return err
	}
	if full := fullFrames(count, length, last); full > 0 {
		s.full.Add(full)
	}
	sc := scratches.Get().(*scratch)
	for rest := frames; len(rest) > 0; counter++ {
		frame := rest[:min(length, len(rest))]
		rest = rest[len(frame):]
		binary.BigEndian.PutUint32(frame[offLinkIndex:], s.remote)
		binary.BigEndian.PutUint64(frame[offCounter:], counter)
		binary.NativeEndian.PutUint64(frame[offMAC:HopHeaderLen], sc.hopMAC(s.sendMAC, frame))
	}
	scratches.Put(sc)
	return nil
}

// fullFrames is how many of count frames, of length bytes each but for the last, are of
// FullFrame or more.
func fullFrames(count, length, last int) uint64 {
	switch {
	case length < FullFrame:
		return 0
	case last < FullFrame:
		return uint64(count - 1)
	}
	return uint64(count)
}

// CheckedHop is what CheckHops found out about one frame.
type CheckedHop struct {
	HopHeader       // authentic where Err is nil
	Err       error // as of CheckHop
}

// CheckHop authenticates the hop header of a data frame that came by this link
// and takes its counter, so the same frame fails the second time. It fails with
// the errors of ParseHop, ErrIndex, ErrReplay or ErrAuth. It does not change
// the frame.
func (s *LinkSession) CheckHop(frame []byte) (HopHeader, error) {
	var checked [1]CheckedHop
	s.CheckHops(frame, len(frame), checked[:])
	if err := checked[0].Err; err != nil {
		return HopHeader{}, err
	}
	return checked[0].HopHeader, nil
}

// CheckHops is CheckHop of frames that lie one behind another, each of so many bytes but for
// the last, which may be shorter; checked has one for each of them. It costs less than one
// by one.
func (s *LinkSession) CheckHops(frames []byte, length int, checked []CheckedHop) {
	sc := scratches.Get().(*scratch)
	rest := frames
	for i := range checked {
		frame := rest[:min(length, len(rest))]
		rest = rest[len(frame):]
		checked[i].Err = s.authenticate(sc, &checked[i].HopHeader, frame)
	}
	scratches.Put(sc)
	// Whether a counter is fresh is looked at once, at the end: it costs as much as the MAC.
	w := s.received
	w.mu.Lock()
	for i := range checked {
		c := &checked[i]
		if c.Err == nil && !w.take(c.Counter, min(length, len(frames)-i*length)) {
			c.Err = ErrReplay
		}
	}
	w.mu.Unlock()
}

// authenticate reads the hop header of a frame and checks its MAC.
func (s *LinkSession) authenticate(sc *scratch, h *HopHeader, frame []byte) error {
	if len(frame) < hopAADLen {
		return ErrShort
	}
	err := h.parse(frame)
	switch {
	case err != nil:
		return err
	case h.LinkIndex != s.local:
		return ErrIndex
	case h.Counter >= CounterLimit:
		return ErrReplay
	}
	// By one look at all bits, of 32-bit machines too, so that how long it takes tells nothing.
	if differ := sc.hopMAC(s.receiveMAC, frame) ^ binary.NativeEndian.Uint64(h.MAC[:]); uint32(differ)|uint32(differ>>32) != 0 {
		return ErrAuth
	}
	return nil
}

// hopMAC is the MAC of a data frame: the tag over no plaintext, with the hop
// header and the end-to-end header as associated data. The frame's length stands
// where the MAC will be; the nonce is the link index and counter, as they lie.
// The MAC is in the order that it lies in memory.
func (sc *scratch) hopMAC(aead cipher.AEAD, frame []byte) uint64 {
	sc.aad = [hopAADLen]byte(frame)
	binary.BigEndian.PutUint64(sc.aad[offMAC:], uint64(len(frame)))
	return binary.NativeEndian.Uint64(aead.Seal(sc.tag[:0], sc.aad[offLinkIndex:offEgress], nil, sc.aad[:]))
}
