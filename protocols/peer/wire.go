package peer

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"re6st/protocols/addr"
)

// Version is the first byte of each message.
const Version = 1

// Limits of the wire.
const (
	MaxMessage   = 1152 // bytes; fits a control frame over a path of 1280
	HeaderLen    = 10
	MaxEndpoints = 8
	// MaxRendezvous is how many endpoints a Rendezvous has: who forges one makes
	// its receiver call that many strangers.
	MaxRendezvous = 4
	MaxSoftware   = 64
	ChunkLen      = 1024 // bytes of a document in one message
)

// maxDocument is the size of each document, in bytes.
var maxDocument = [Documents]int{Params: 64 << 10, Revocations: 256 << 10}

// documentKinds are the types of the Offers; that of the Request and of the Chunk
// follow.
var documentKinds = [Documents]byte{Params: 4, Revocations: 8}

// MaxDocument is the size of the largest one that is passed on, in bytes.
func (d Document) MaxDocument() int { return maxDocument[d] }

// The TLVs.
const (
	tlvPrefix    = 1 // length in bits 1, the bits, zero-filled to whole bytes
	tlvStatic    = 2 // 32
	tlvEndpoint  = 3 // address 4 or 16, port 2; repeated
	tlvSoftware  = 4 // text
	tlvNumber    = 5 // of a document, in a Hello of the parameters 8
	tlvPeer      = 6 // see putPeer; repeated
	tlvOffset    = 7 // offset 4
	tlvTotal     = 8 // length 4
	tlvBytes     = 9
	tlvReason    = 10 // 1
	tlvRevoked   = 11 // in a Hello, number of the revocations 8
	tlvCarriers  = 12 // in a Hello, carriers 1, port of TLS 2, and what newer nodes add
	tlvNonce     = 20 // 8
	tlvNAT       = 21 // 1
	tlvClaims    = 30
	tlvTunnel    = 31
	tlvCountry   = 32 // in a Hello, two letters
	tlvPeerTLS   = 33 // in a List, of a peer in it: id 8, port of TLS 2, and what newer nodes add; repeated
	tlvLast      = tlvPeerTLS
	tlvHeaderLen = 3
)

// Header is what each message begins with.
type Header struct {
	Epoch    uint32 // drawn at random by each Exchange
	Sequence uint32 // grows by one from 1 on
}

// Append appends the message to dst. It fails on what Decode would refuse.
func Append(dst []byte, h Header, m Message) ([]byte, error) {
	start := len(dst)
	dst = append(dst, Version, m.kind())
	dst = binary.BigEndian.AppendUint32(dst, h.Epoch)
	dst = binary.BigEndian.AppendUint32(dst, h.Sequence)
	var err error
	switch m := m.(type) {
	case Ack, Unknown:
	case Hello:
		dst, err = appendHello(dst, m)
	case ObservedAddress:
		dst = appendTLV(dst, tlvEndpoint, endpointValue(m.Address))
	case List:
		for _, p := range m.Peers {
			dst = appendPeer(dst, p)
		}
	case Offer:
		dst = appendTLV(dst, tlvNumber, u64(m.Number))
	case Request:
		dst = appendTLV(dst, tlvNumber, u64(m.Number))
		dst = appendTLV(dst, tlvOffset, u32(m.Offset))
	case Chunk:
		dst = appendTLV(dst, tlvNumber, u64(m.Number))
		dst = appendTLV(dst, tlvOffset, u32(m.Offset))
		dst = appendTLV(dst, tlvTotal, u32(m.Total))
		dst = appendTLV(dst, tlvBytes, m.Bytes)
	case Goodbye:
		dst = appendTLV(dst, tlvReason, []byte{byte(m.Reason)})
	case Claims:
		dst = appendTLV(dst, tlvClaims, m.Body)
	case Tunnel:
		dst = appendTLV(dst, tlvTunnel, m.Body)
	case Rendezvous:
		dst = appendTLV(dst, tlvNonce, u64(m.Nonce))
		dst = appendTLV(dst, tlvNAT, []byte{byte(m.NAT)})
		for _, e := range m.Endpoints[:min(MaxRendezvous, len(m.Endpoints))] {
			dst = appendTLV(dst, tlvEndpoint, endpointValue(e))
		}
	}
	if n := len(dst) - start; n > MaxMessage {
		return nil, fmt.Errorf("%w: %T of %d bytes, at most %d", ErrTooLong, m, n, MaxMessage)
	}
	return dst, err
}

func appendHello(dst []byte, m Hello) ([]byte, error) {
	if len(m.Software) > MaxSoftware || !printable(m.Software) {
		return nil, fmt.Errorf("%w: software %q is not at most %d printable characters", ErrMalformed, m.Software, MaxSoftware)
	}
	dst = appendTLV(dst, tlvPrefix, prefixValue(m.Prefix))
	dst = appendTLV(dst, tlvStatic, m.Static[:])
	for _, e := range m.Endpoints[:min(MaxEndpoints, len(m.Endpoints))] {
		dst = appendTLV(dst, tlvEndpoint, endpointValue(e))
	}
	dst = appendTLV(dst, tlvSoftware, []byte(m.Software))
	dst = appendTLV(dst, tlvNumber, u64(m.Numbers[Params]))
	dst = appendTLV(dst, tlvRevoked, u64(m.Numbers[Revocations]))
	if m.Carriers != 0 {
		dst = appendTLV(dst, tlvCarriers, []byte{m.Carriers, byte(m.TLSPort >> 8), byte(m.TLSPort)})
	}
	if m.Country != "" {
		if !IsCountry(m.Country) {
			return nil, fmt.Errorf("%w: country %q is not two capital letters", ErrMalformed, m.Country)
		}
		dst = appendTLV(dst, tlvCountry, []byte(m.Country))
	}
	return dst, nil
}

func appendTLV(dst []byte, kind byte, value []byte) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func endpointValue(e netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(e.Addr().Unmap().AsSlice(), e.Port())
}

func prefixValue(p addr.Bits) []byte {
	b := make([]byte, 1+(p.Len()+7)/8)
	b[0] = byte(p.Len())
	for i := range p.Len() {
		if p.Bit(i) {
			b[1+i/8] |= 0x80 >> (i % 8)
		}
	}
	return b
}

// appendPeer appends what is told of a peer. An older node takes only the first TLV.
func appendPeer(dst []byte, p Peer) []byte {
	dst = appendTLV(dst, tlvPeer, peerValue(p))
	if p.TLSPort != 0 {
		dst = appendTLV(dst, tlvPeerTLS, binary.BigEndian.AppendUint16(p.ID[:], p.TLSPort))
	}
	return dst
}

// peerValue is: id 8, age in seconds 4, static key 32, prefix, and then for each
// endpoint the length of the address 1, the address and the port 2.
func peerValue(p Peer) []byte {
	age := min(max(p.Age/time.Second, 0), math.MaxUint32)
	b := append([]byte(nil), p.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(age))
	b = append(b, p.Static[:]...)
	b = append(b, prefixValue(p.Prefix)...)
	for _, e := range p.Endpoints[:min(MaxEndpoints, len(p.Endpoints))] {
		v := endpointValue(e)
		b = append(b, byte(len(v)-2))
		b = append(b, v...)
	}
	return b
}

// IsCountry tells whether s has the form of a country's code, two letters (ISO 3166-1).
func IsCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
