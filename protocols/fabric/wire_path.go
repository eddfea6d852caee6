package fabric

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// PathProbeLen is the length of a path probe without its padding: 0, kind, reserved 2,
// token 4.
const PathProbeLen = 8

// The kinds of path probes.
const (
	pathProbe  = 1
	pathAnswer = 2
)

// ErrPathProbe is what ParsePathProbe returns, wrapped.
var ErrPathProbe = errors.New("fabric: bad path probe")

// PathProbe is a message of one end of a session to the other, in the place of an inner
// packet: no version of IP is 0. Its padding makes it as long as a packet that is to pass;
// the answer has none. It is what confirms a RelayTooBig (RFC 8899 section 4.6).
type PathProbe struct {
	Answer bool
	Token  uint32 // of the asking end; the answer repeats it
}

// IsSessionMessage tells whether an inner packet is for the other end of the session itself.
func IsSessionMessage(inner []byte) bool { return len(inner) > 0 && inner[0]>>4 == 0 }

// ParsePathProbe reads one. It fails with ErrPathProbe, also on kinds of the future.
func ParsePathProbe(inner []byte) (PathProbe, error) {
	switch {
	case len(inner) < PathProbeLen:
		return PathProbe{}, fmt.Errorf("%w: %d bytes, want %d", ErrPathProbe, len(inner), PathProbeLen)
	case inner[0] != 0 || inner[1] != pathProbe && inner[1] != pathAnswer:
		return PathProbe{}, fmt.Errorf("%w: kind %d.%d", ErrPathProbe, inner[0], inner[1])
	}
	return PathProbe{inner[1] == pathAnswer, binary.BigEndian.Uint32(inner[4:])}, nil
}

// Append appends the probe to dst, padded to so many bytes.
func (p PathProbe) Append(dst []byte, size int) []byte {
	kind := byte(pathProbe)
	if p.Answer {
		kind = pathAnswer
	}
	dst = append(dst, 0, kind, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, p.Token)
	return append(dst, make([]byte, max(0, size-PathProbeLen))...)
}
