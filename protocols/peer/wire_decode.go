package peer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"re6st/protocols/addr"
	"re6st/protocols/nat"
)

// Decode reads one message. Nothing of b is kept.
func Decode(b []byte) (Header, Message, error) {
	if len(b) > MaxMessage {
		return Header{}, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(b), MaxMessage)
	}
	if len(b) > 0 && b[0] != Version {
		return Header{}, nil, fmt.Errorf("%w: %d; this node speaks %d", ErrVersion, b[0], Version)
	}
	if len(b) < HeaderLen {
		return Header{}, nil, fmt.Errorf("%w: %d bytes, less than a header", ErrMalformed, len(b))
	}
	h := Header{binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:])}
	f, err := readFields(b[HeaderLen:])
	if err != nil {
		return h, nil, err
	}
	m, err := f.message(b[1])
	return h, m, err
}

// fields is all that the TLVs of a message may say.
type fields struct {
	has       [tlvLast + 1]bool
	prefix    addr.Bits
	static    [32]byte
	endpoints []netip.AddrPort
	software  string
	number    uint64
	revoked   uint64
	peers     []Peer
	peersTLS  map[addr.NodeID]uint16
	offset    uint32
	total     uint32
	bytes     []byte
	reason    Reason
	nonce     uint64
	nat       nat.Kind
	claims    []byte
	carriers  uint8
	country   string
	tlsPort   uint16
	tunnel    []byte
}

func readFields(b []byte) (f fields, err error) {
	for at := HeaderLen; len(b) > 0; {
		if len(b) < tlvHeaderLen || len(b)-tlvHeaderLen < int(binary.BigEndian.Uint16(b[1:])) {
			return f, fmt.Errorf("%w: the TLV at byte %d is cut off", ErrMalformed, at)
		}
		n := int(binary.BigEndian.Uint16(b[1:]))
		kind, value := b[0], b[tlvHeaderLen:tlvHeaderLen+n]
		if int(kind) < len(f.has) {
			repeats := kind == tlvEndpoint || kind == tlvPeer || kind == tlvPeerTLS
			if f.has[kind] && !repeats {
				return f, fmt.Errorf("%w: a second TLV of type %d at byte %d", ErrMalformed, kind, at)
			}
			f.has[kind] = true
			if !f.read(kind, value) {
				return f, fmt.Errorf("%w: the TLV of type %d and %d bytes at byte %d", ErrMalformed, kind, n, at)
			}
		}
		b, at = b[tlvHeaderLen+n:], at+tlvHeaderLen+n
	}
	return f, nil
}

// read takes in one TLV; false: its value is malformed.
func (f *fields) read(kind byte, v []byte) (ok bool) {
	switch kind {
	case tlvPrefix:
		var rest []byte
		f.prefix, rest, ok = readPrefix(v)
		return ok && len(rest) == 0
	case tlvStatic:
		return len(v) == copy(f.static[:], v) && len(v) == len(f.static)
	case tlvEndpoint:
		e, ok := readEndpoint(v)
		if ok && len(f.endpoints) < MaxEndpoints {
			f.endpoints = append(f.endpoints, e)
		}
		return ok
	case tlvSoftware:
		f.software = string(v)
		return len(v) <= MaxSoftware && printable(f.software)
	case tlvNumber:
		return readNumber(v, 8, func(n uint64) { f.number = n })
	case tlvRevoked:
		return readNumber(v, 8, func(n uint64) { f.revoked = n })
	case tlvPeer:
		p, ok := readPeer(v)
		f.peers = append(f.peers, p)
		return ok
	case tlvPeerTLS:
		return f.readPeerTLS(v)
	case tlvCountry:
		f.country = string(v)
		return IsCountry(f.country)
	case tlvOffset:
		return readNumber(v, 4, func(n uint64) { f.offset = uint32(n) })
	case tlvTotal:
		return readNumber(v, 4, func(n uint64) { f.total = uint32(n) })
	case tlvBytes:
		f.bytes = append([]byte(nil), v...)
		return len(v) > 0 && len(v) <= ChunkLen
	case tlvReason:
		return readNumber(v, 1, func(n uint64) { f.reason = Reason(n) })
	case tlvNonce:
		return readNumber(v, 8, func(n uint64) { f.nonce = n })
	case tlvClaims:
		f.claims = append([]byte(nil), v...)
		return len(v) > 0
	case tlvCarriers:
		if len(v) < 3 {
			return false
		}
		f.carriers, f.tlsPort = v[0], binary.BigEndian.Uint16(v[1:])
		return true
	case tlvTunnel:
		f.tunnel = append([]byte(nil), v...)
		return len(v) > 0
	case tlvNAT:
		return readNumber(v, 1, func(n uint64) { f.nat = nat.Kind(n) })
	}
	return true // type 0: padding
}

func readNumber(v []byte, size int, set func(uint64)) bool {
	var n uint64
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	set(n)
	return len(v) == size
}

func readPrefix(v []byte) (p addr.Bits, rest []byte, ok bool) {
	if len(v) == 0 || v[0] > addr.MaxBits {
		return p, nil, false
	}
	n := int(v[0])
	size := (n + 7) / 8
	if len(v) < 1+size {
		return p, nil, false
	}
	for i := range 8 * size {
		one := v[1+i/8]&(0x80>>(i%8)) != 0
		if i < n {
			p = p.Append(one)
		} else if one {
			return p, nil, false
		}
	}
	return p, v[1+size:], true
}

func readEndpoint(v []byte) (netip.AddrPort, bool) {
	if len(v) != 4+2 && len(v) != 16+2 {
		return netip.AddrPort{}, false
	}
	n := len(v) - 2
	a, ok := netip.AddrFromSlice(v[:n])
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(v[n:])), ok
}

func (f *fields) readPeerTLS(v []byte) bool {
	if len(v) < 8+2 {
		return false
	}
	if f.peersTLS == nil {
		f.peersTLS = make(map[addr.NodeID]uint16)
	}
	f.peersTLS[addr.NodeID(v[:8])] = binary.BigEndian.Uint16(v[8:])
	return true
}

func readPeer(v []byte) (p Peer, ok bool) {
	const fixed = 8 + 4 + 32
	if len(v) < fixed {
		return p, false
	}
	copy(p.ID[:], v)
	p.Age = time.Duration(binary.BigEndian.Uint32(v[8:])) * time.Second
	copy(p.Static[:], v[12:])
	p.Prefix, v, ok = readPrefix(v[fixed:])
	for ok && len(v) > 0 {
		n := int(v[0]) + 2
		if len(v) < 1+n {
			return p, false
		}
		var e netip.AddrPort
		if e, ok = readEndpoint(v[1 : 1+n]); ok && len(p.Endpoints) < MaxEndpoints {
			p.Endpoints = append(p.Endpoints, e)
		}
		v = v[1+n:]
	}
	return p, ok && !p.ID.IsZero()
}

// message is what the fields mean in a message of a type.
func (f *fields) message(kind byte) (Message, error) {
	var m Message
	var needs []int
	switch kind {
	case Ack{}.kind():
		m = Ack{}
	case Hello{}.kind():
		m, needs = Hello{
			f.prefix, f.static, f.endpoints, f.software, [Documents]uint64{f.number, f.revoked}, f.carriers, f.tlsPort, f.country,
		}, []int{tlvPrefix, tlvStatic}
	case ObservedAddress{}.kind():
		m, needs = ObservedAddress{}, []int{tlvEndpoint}
		if len(f.endpoints) > 0 {
			m = ObservedAddress{f.endpoints[0]}
		}
	case List{}.kind():
		for i, p := range f.peers {
			f.peers[i].TLSPort = f.peersTLS[p.ID]
		}
		m = List{f.peers}
	case Claims{}.kind():
		m, needs = Claims{f.claims}, []int{tlvClaims}
	case Tunnel{}.kind():
		m, needs = Tunnel{f.tunnel}, []int{tlvTunnel}
	case Goodbye{}.kind():
		m, needs = Goodbye{f.reason}, []int{tlvReason}
	case Rendezvous{}.kind(), Rendezvous{Answer: true}.kind():
		m = Rendezvous{kind == Rendezvous{Answer: true}.kind(), f.nonce, f.nat, f.endpoints[:min(MaxRendezvous, len(f.endpoints))]}
		needs = []int{tlvNonce}
	default:
		var err error
		switch m, needs, err = f.documentMessage(kind); {
		case err != nil:
			return nil, err
		case m == nil:
			return Unknown{kind}, nil
		}
	}
	for _, n := range needs {
		if !f.has[n] {
			return nil, fmt.Errorf("%w: a %T without its TLV of type %d", ErrMalformed, m, n)
		}
	}
	return m, nil
}

// documentMessage is an Offer, a Request or a Chunk; nil for a message of another
// type.
func (f *fields) documentMessage(kind byte) (Message, []int, error) {
	for d := range Document(Documents) {
		switch kind {
		case Offer{Document: d}.kind():
			return Offer{d, f.number}, []int{tlvNumber}, nil
		case Request{Document: d}.kind():
			return Request{d, f.number, f.offset}, []int{tlvNumber, tlvOffset}, nil
		case Chunk{Document: d}.kind():
			if int64(f.total) > int64(d.MaxDocument()) || int64(f.offset)+int64(len(f.bytes)) > int64(f.total) {
				return nil, nil, fmt.Errorf("%w: %d bytes at %d of %d of the %s, which have at most %d",
					ErrMalformed, len(f.bytes), f.offset, f.total, d, d.MaxDocument())
			}
			return Chunk{d, f.number, f.offset, f.total, f.bytes}, []int{tlvNumber, tlvOffset, tlvTotal, tlvBytes}, nil
		}
	}
	return nil, nil, nil
}
