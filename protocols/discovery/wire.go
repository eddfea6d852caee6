package discovery

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"

	"re6st/protocols/addr"
)

const (
	version    = 1
	labelKey   = "re6st lan v1 beacon\x00"
	nonceAt    = 1
	sealedAt   = nonceAt + chacha20poly1305.NonceSizeX
	prefixSize = addr.MaxBits / 8
	bodySize   = 8 + 32 + 2 + 1 + prefixSize
)

// Beacon is what a node says of itself.
type Beacon struct {
	ID     addr.NodeID
	Static [32]byte  // its X25519 key
	Port   uint16    // where it is reached by UDP, at the sender's address
	Prefix addr.Bits // its own, below the network's
}

// check tells whether b may be sent, or believed.
func (b Beacon) check() error {
	if b.ID.IsZero() || b.Port == 0 || b.Static == [32]byte{} {
		return fmt.Errorf("%w: without a node id, a port or a key", ErrMalformed)
	}
	return nil
}

// Key seals and opens the beacons of one network. Safe for concurrent use.
type Key struct{ aead cipher.AEAD }

// NewKey is that of the network whose CA has this fingerprint.
func NewKey(fingerprint [32]byte) (Key, error) {
	key := blake2s.Sum256(append([]byte(labelKey), fingerprint[:]...))
	aead, err := chacha20poly1305.NewX(key[:])
	return Key{aead}, err
}

// associated is what a beacon is bound to: its version and its sender's address.
func associated(from netip.Addr) []byte {
	a := from.As16()
	return append([]byte{version}, a[:]...)
}

// Seal makes the packet to send from the link-local address from. rand gives the
// nonce.
func (k Key) Seal(rand io.Reader, from netip.Addr, b Beacon) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	packet := make([]byte, sealedAt, sealedAt+bodySize+chacha20poly1305.Overhead)
	packet[0] = version
	if _, err := io.ReadFull(rand, packet[nonceAt:]); err != nil {
		return nil, err
	}
	body := make([]byte, 0, bodySize)
	body = append(body, b.ID[:]...)
	body = append(body, b.Static[:]...)
	body = binary.BigEndian.AppendUint16(body, b.Port)
	body = append(body, byte(b.Prefix.Len()))
	body = append(body, bits(b.Prefix)...)
	return k.aead.Seal(packet, packet[nonceAt:], body, associated(from)), nil
}

// Open reads a packet that came from the link-local address from. It fails with
// ErrForeign or ErrMalformed.
func (k Key) Open(from netip.Addr, packet []byte) (Beacon, error) {
	if len(packet) < sealedAt+bodySize+chacha20poly1305.Overhead || len(packet) > MaxBeacon || packet[0] != version {
		return Beacon{}, fmt.Errorf("%w: %d bytes", ErrForeign, len(packet))
	}
	body, err := k.aead.Open(nil, packet[nonceAt:sealedAt], packet[sealedAt:], associated(from))
	if err != nil {
		return Beacon{}, ErrForeign
	}
	return decode(body)
}

// decode reads what was sealed.
func decode(body []byte) (b Beacon, err error) {
	if len(body) < bodySize {
		return b, fmt.Errorf("%w: %d bytes, at least %d", ErrMalformed, len(body), bodySize)
	}
	b.ID = addr.NodeID(body[:8])
	b.Static = [32]byte(body[8:40])
	b.Port = binary.BigEndian.Uint16(body[40:])
	if body[42] > addr.MaxBits {
		return b, fmt.Errorf("%w: a prefix of %d bits, at most %d", ErrMalformed, body[42], addr.MaxBits)
	}
	for i := range int(body[42]) {
		b.Prefix = b.Prefix.Append(body[43+i/8]&(0x80>>(i%8)) != 0)
	}
	return b, b.check()
}

// bits is p in 16 bytes, the first bit first and zeros behind.
func bits(p addr.Bits) []byte {
	b := make([]byte, prefixSize)
	for i := range p.Len() {
		if p.Bit(i) {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return b
}
