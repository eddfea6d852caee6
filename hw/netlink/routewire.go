package netlink

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rtmFOnlink is RTNH_F_ONLINK: take the next hop to be on the link.
const rtmFOnlink = unix.RTNH_F_ONLINK

// kinds maps Kind to RTN_*, by index.
var kinds = [...]uint8{
	Unicast: unix.RTN_UNICAST, Unreachable: unix.RTN_UNREACHABLE,
	Blackhole: unix.RTN_BLACKHOLE, Prohibit: unix.RTN_PROHIBIT,
}

// held is a route as a dump shows it: in which table, and whose.
type held struct {
	route    Route
	table    uint32
	protocol uint8
	cloned   bool // a cache entry, not a route of the table
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// encodeRoute writes the rtmsg and attributes of RTM_NEWROUTE or RTM_DELROUTE
// into req. r is normalised.
func encodeRoute(req *nl.NetlinkRequest, table uint32, protocol uint8, r Route) {
	msg := nl.NewRtMsg()
	msg.Family = family(r.Dst.Addr())
	msg.Dst_len = uint8(r.Dst.Bits())
	msg.Protocol = protocol
	msg.Type = kinds[r.Kind]
	msg.Table = unix.RT_TABLE_UNSPEC // the attribute holds it: this field has 8 bits
	if r.OnLink {
		msg.Flags |= rtmFOnlink
	}
	if r.Dst.Addr().Is4() && r.Kind == Unicast && !r.Via.IsValid() {
		msg.Scope = unix.RT_SCOPE_LINK
	}
	req.AddData(msg)
	add := func(kind int, data []byte) { req.AddData(nl.NewRtAttr(kind, data)) }
	add(unix.RTA_TABLE, nl.Uint32Attr(table))
	add(unix.RTA_DST, r.Dst.Addr().AsSlice())
	if r.Src.IsValid() {
		msg.Src_len = uint8(r.Src.Bits())
		add(unix.RTA_SRC, r.Src.Addr().AsSlice())
	}
	if r.Metric != 0 {
		add(unix.RTA_PRIORITY, nl.Uint32Attr(r.Metric))
	}
	if r.Link != 0 {
		add(unix.RTA_OIF, nl.Uint32Attr(uint32(r.Link)))
	}
	switch {
	case !r.Via.IsValid():
	case r.Via.Is4() == r.Dst.Addr().Is4():
		add(unix.RTA_GATEWAY, r.Via.AsSlice())
	default: // struct rtvia: family, then the address
		via := nl.Uint16Attr(uint16(family(r.Via)))
		add(unix.RTA_VIA, append(via, r.Via.AsSlice()...))
	}
	if r.PrefSrc.IsValid() {
		add(unix.RTA_PREFSRC, r.PrefSrc.AsSlice())
	}
	if r.MTU != 0 {
		metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
		metrics.AddRtAttr(unix.RTAX_MTU, nl.Uint32Attr(uint32(r.MTU)))
		req.AddData(metrics)
	}
}

// decodeRoute reads the payload of one RTM_NEWROUTE. Multipath routes come out
// without link and next hop: they are never ours, or to be replaced.
func decodeRoute(b []byte) (held, error) {
	if len(b) < unix.SizeofRtMsg {
		return held{}, fmt.Errorf("%w: rtmsg of %d bytes", ErrMessage, len(b))
	}
	msg := nl.DeserializeRtMsg(slices.Clone(b[:unix.SizeofRtMsg]))
	h := held{table: uint32(msg.Table), protocol: msg.Protocol, cloned: msg.Flags&unix.RTM_F_CLONED != 0}
	r := &h.route
	r.OnLink = msg.Flags&rtmFOnlink != 0
	r.Kind = Kind(max(slices.Index(kinds[:], msg.Type), 0))
	dst := netip.IPv6Unspecified()
	if msg.Family == unix.AF_INET {
		dst = netip.IPv4Unspecified()
	}
	src := dst
	err := attributes(b[unix.SizeofRtMsg:], func(kind uint16, value []byte) error {
		return decodeRouteAttr(&h, kind, value, &dst, &src)
	})
	if err != nil {
		return held{}, err
	}
	if r.Dst, err = dst.Prefix(int(msg.Dst_len)); err != nil {
		return held{}, fmt.Errorf("%w: destination: %w", ErrMessage, err)
	}
	if msg.Src_len != 0 {
		if r.Src, err = src.Prefix(int(msg.Src_len)); err != nil {
			return held{}, fmt.Errorf("%w: source: %w", ErrMessage, err)
		}
	}
	if r.Kind != Unicast { // IPv6 shows lo as the link of what goes nowhere
		r.Link, r.Via = 0, netip.Addr{}
	}
	return h, nil
}

// decodeRouteAttr reads one attribute; those that say nothing about a Route are passed over.
func decodeRouteAttr(h *held, kind uint16, value []byte, dst, src *netip.Addr) error {
	r := &h.route
	switch kind {
	case unix.RTA_DST:
		return decodeIP(dst, value)
	case unix.RTA_SRC:
		return decodeIP(src, value)
	case unix.RTA_GATEWAY:
		return decodeIP(&r.Via, value)
	case unix.RTA_VIA:
		if len(value) < 2 {
			return fmt.Errorf("%w: RTA_VIA of %d bytes", ErrMessage, len(value))
		}
		return decodeIP(&r.Via, value[2:])
	case unix.RTA_PREFSRC:
		return decodeIP(&r.PrefSrc, value)
	case unix.RTA_TABLE:
		return decodeUint32(&h.table, value)
	case unix.RTA_PRIORITY:
		return decodeUint32(&r.Metric, value)
	case unix.RTA_OIF:
		var index uint32
		err := decodeUint32(&index, value)
		r.Link = int(int32(index))
		return err
	case unix.RTA_METRICS:
		return attributes(value, func(kind uint16, value []byte) error {
			if kind != unix.RTAX_MTU {
				return nil
			}
			var mtu uint32
			err := decodeUint32(&mtu, value)
			r.MTU = int(int32(mtu))
			return err
		})
	}
	return nil
}
