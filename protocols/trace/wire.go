package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/ktunnel"
)

// Version of probes and replies.
const Version = 1

const (
	probeHeaderLen = 12
	replyLen       = 82 // without alternatives
	alternativeLen = 11

	// MaxAlternatives is how many of the ways not taken a reply tells.
	MaxAlternatives = 8
	// MaxExtensions is how long the extensions of a reply are at most, in bytes.
	MaxExtensions = 40
	// MaxReplyLen is the longest reply in bytes.
	MaxReplyLen = replyLen + MaxAlternatives*alternativeLen + MaxExtensions
	// MinProbeLen is the shortest probe: the longest reply, twice, and a seal.
	MinProbeLen = 512
)

// everywhere is the range in which a node's prefix is its bits alone.
var everywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// ID names a trace: random, so that who is not on its way cannot answer it.
type ID [8]byte

// Probe is a question.
type Probe struct {
	ID     ID
	Number uint16 // within the trace
	// Extends: whoever asks reads extensions of replies; of a Reply, it has some.
	Extends bool
}

// extends is the flag of a probe.
const extends = 1

// Append appends the probe to dst, filled up to size bytes, MinProbeLen at least.
func (p Probe) Append(dst []byte, size int) []byte {
	start := len(dst)
	flags := byte(0)
	if p.Extends {
		flags = extends
	}
	dst = append(dst, Version, flags)
	dst = binary.BigEndian.AppendUint16(dst, p.Number)
	dst = append(dst, p.ID[:]...)
	return append(dst, make([]byte, max(size, MinProbeLen)-(len(dst)-start))...)
}

// ParseProbe reads a probe. It fails with ErrProbe.
func ParseProbe(b []byte) (Probe, error) {
	switch {
	case len(b) < MinProbeLen:
		return Probe{}, fmt.Errorf("%w: %d bytes, at least %d", ErrProbe, len(b), MinProbeLen)
	case b[0] != Version:
		return Probe{}, fmt.Errorf("%w: version %d", ErrProbe, b[0])
	}
	return Probe{ID: ID(b[4:12]), Number: binary.BigEndian.Uint16(b[2:]), Extends: b[1]&extends != 0}, nil
}

// Code tells why a node answered.
type Code uint8

// The codes.
const (
	Passed  Code = 1 // the hop limit ended here, on the way
	Arrived Code = 2 // this is the egress
	NoRoute Code = 3 // no way leads on from here
)

// LinkType is the carrier of a link.
type LinkType uint8

// The types of links.
const (
	NoLink LinkType = 0
	UDP    LinkType = 1
	QUIC   LinkType = 2
	TLS    LinkType = 3
)

// String is the type as trace shows it.
func (t LinkType) String() string {
	switch t {
	case NoLink:
		return "none"
	case UDP:
		return "udp"
	case QUIC:
		return "quic"
	case TLS:
		return "tls"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Way is how a node sends on towards the egress.
type Way struct {
	Next   addr.NodeID // zero: nowhere
	Type   LinkType
	Remote netip.AddrPort // of the link; not valid where it is not known
	RTT    time.Duration  // of the link, smoothed, in whole microseconds; 0: not known
	MTU    uint16         // inner packet in bytes that the link carries; 0: not known
	Loss   Loss           // an extension
	Tunnel ktunnel.Kind   // below the link, and an extension; 0: none, or not known
	Metric uint16         // of the selected route
	Others []Alternative  // not taken, best first
	More   uint8          // how many more there are
}

// Alternative is a way not taken.
type Alternative struct {
	Next     addr.NodeID
	Metric   uint16 // 65535: retracted
	Feasible bool   // false: it might lead back here (RFC 8966 section 3.5.1)
}

// Reply is an answer.
type Reply struct {
	Probe
	Code   Code
	Prefix addr.Bits   // of the answering node
	From   addr.NodeID // the neighbor from which the probe came
	Back   addr.NodeID // the neighbor to which this reply goes
	Way    Way         // empty at the egress
}

// Append appends the reply to dst. Alternatives beyond MaxAlternatives are counted
// as More.
func (r Reply) Append(dst []byte) []byte {
	others, more := r.Way.Others, int(r.Way.More)
	if len(others) > MaxAlternatives {
		more += len(others) - MaxAlternatives
		others = others[:MaxAlternatives]
	}
	dst = append(dst, Version, byte(r.Code))
	dst = binary.BigEndian.AppendUint16(dst, r.Number)
	dst = append(dst, r.ID[:]...)
	subnet, _ := addr.Subnet(everywhere, r.Prefix) // fits: it is no longer than an address
	prefix := subnet.Addr().As16()
	dst = append(dst, byte(r.Prefix.Len()))
	dst = append(dst, prefix[:]...)
	dst = append(dst, r.From[:]...)
	dst = append(dst, r.Back[:]...)
	dst = append(dst, r.Way.Next[:]...)
	dst = append(dst, byte(r.Way.Type))
	remote := netip.IPv6Unspecified().As16()
	if r.Way.Remote.IsValid() {
		remote = r.Way.Remote.Addr().As16()
	}
	dst = append(dst, remote[:]...)
	dst = binary.BigEndian.AppendUint16(dst, r.Way.Remote.Port())
	dst = binary.BigEndian.AppendUint32(dst, uint32(min(r.Way.RTT.Microseconds(), 1<<32-1)))
	dst = binary.BigEndian.AppendUint16(dst, r.Way.MTU)
	dst = binary.BigEndian.AppendUint16(dst, r.Way.Metric)
	dst = append(dst, byte(len(others)), byte(min(more, 255)))
	for _, a := range others {
		dst = append(dst, a.Next[:]...)
		dst = binary.BigEndian.AppendUint16(dst, a.Metric)
		flags := byte(0)
		if a.Feasible {
			flags = 1
		}
		dst = append(dst, flags)
	}
	if r.Extends {
		dst = r.Way.appendExtensions(dst)
	}
	return dst
}

// ParseReply reads a reply. It fails with ErrReply.
func ParseReply(b []byte) (Reply, error) {
	if len(b) < replyLen || b[0] != Version {
		return Reply{}, fmt.Errorf("%w: %d bytes, at least %d of version %d", ErrReply, len(b), replyLen, Version)
	}
	n := int(b[80])
	prefix, ok := addr.BitsIn(everywhere, netip.AddrFrom16([16]byte(b[13:29])), int(b[12]))
	switch {
	case b[1] < byte(Passed) || b[1] > byte(NoRoute):
		return Reply{}, fmt.Errorf("%w: code %d", ErrReply, b[1])
	case !ok:
		return Reply{}, fmt.Errorf("%w: a prefix of %d bits", ErrReply, b[12])
	case n > MaxAlternatives || len(b) < replyLen+n*alternativeLen || len(b) > replyLen+n*alternativeLen+MaxExtensions:
		return Reply{}, fmt.Errorf("%w: %d bytes with %d alternatives", ErrReply, len(b), n)
	}
	b, extensions := b[:replyLen+n*alternativeLen], b[replyLen+n*alternativeLen:]
	r := Reply{
		Probe: Probe{ID: ID(b[4:12]), Number: binary.BigEndian.Uint16(b[2:])},
		Code:  Code(b[1]), Prefix: prefix, From: addr.NodeID(b[29:37]), Back: addr.NodeID(b[37:45]),
		Way: Way{
			Next: addr.NodeID(b[45:53]), Type: LinkType(b[53]),
			RTT: time.Duration(binary.BigEndian.Uint32(b[72:])) * time.Microsecond,
			MTU: binary.BigEndian.Uint16(b[76:]), Metric: binary.BigEndian.Uint16(b[78:]), More: b[81],
		},
	}
	if a := netip.AddrFrom16([16]byte(b[54:70])).Unmap(); !a.IsUnspecified() {
		r.Way.Remote = netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[70:]))
	}
	for o := b[replyLen:]; len(o) > 0; o = o[alternativeLen:] {
		r.Way.Others = append(r.Way.Others, Alternative{addr.NodeID(o[:8]), binary.BigEndian.Uint16(o[8:]), o[10]&1 != 0})
	}
	if err := r.Way.readExtensions(extensions); err != nil {
		return Reply{}, err
	}
	r.Extends = r.Way.isExtended()
	return r, nil
}
