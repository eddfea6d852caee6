package netlink

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attributes hands each attribute of b to decode, until one fails. Its own, because
// vishvananda/netlink panics where the last attribute lacks its padding.
func attributes(b []byte, decode func(kind uint16, value []byte) error) error {
	const align = unix.NLMSG_ALIGNTO
	for len(b) >= unix.SizeofRtAttr {
		length := int(nl.NativeEndian().Uint16(b))
		kind := nl.NativeEndian().Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if length < unix.SizeofRtAttr || length > len(b) {
			return fmt.Errorf("%w: attribute %d of %d bytes where %d are left", ErrMessage, kind, length, len(b))
		}
		if err := decode(kind, b[unix.SizeofRtAttr:length]); err != nil {
			return fmt.Errorf("attribute %d: %w", kind, err)
		}
		b = b[min((length+align-1)&^(align-1), len(b)):]
	}
	return nil
}

func decodeIP(to *netip.Addr, value []byte) error {
	a, ok := netip.AddrFromSlice(value)
	if !ok {
		return fmt.Errorf("%w: address of %d bytes", ErrMessage, len(value))
	}
	*to = a
	return nil
}

func decodeUint32(to *uint32, value []byte) error {
	if len(value) < 4 {
		return fmt.Errorf("%w: number of %d bytes", ErrMessage, len(value))
	}
	*to = nl.NativeEndian().Uint32(value)
	return nil
}
