package ktunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	vnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Offsets in a packet of IPv6 (RFC 8200 section 3), in bytes: of its header, and, of a packet
// without extension headers, of what follows.
const (
	nextHeaderWord    = 4 // payload length, next header, hop limit
	sourceOffset      = 8
	destinationOffset = 24
	payloadOffset     = 40
)

// Types of ICMPv6 (RFC 4861 section 4).
const (
	neighborSolicitation  = 135
	neighborAdvertisement = 136
)

// admitted are packets that a tunnel takes; all of the keys have to fit.
type admitted []vnl.TcU32Key

// filtered tells whether the kernel is to keep others' packets out. WireGuard lets no other
// sources in by itself, by cryptokey routing.
func (s *Spec) filtered() bool {
	return s.Port != 0 && !s.Unfiltered || s.Trust != (Trust{}) && s.Kind != WireGuard
}

// admitted are the link's own datagrams, and what is trusted.
func (s *Spec) admitted() []admitted {
	all := []admitted{within(linkLocals, sourceOffset)}
	if s.Port != 0 {
		all[0] = datagrams(s.Port)
	}
	if s.Trust != (Trust{}) {
		all = append(all, append(within(s.Trust.Peer, sourceOffset), within(s.Trust.Own, destinationOffset)...))
	}
	return all
}

// datagrams are those of UDP for a port, between link-local addresses.
func datagrams(port uint16) admitted {
	return append(inside(unix.IPPROTO_UDP), vnl.TcU32Key{Mask: 0xffff, Val: uint32(port), Off: payloadOffset})
}

// neighbors are the questions and answers of neighbor discovery, of a tunnel of Ethernet frames.
func neighbors() (all []admitted) {
	for _, kind := range []uint32{neighborSolicitation, neighborAdvertisement} {
		all = append(all, append(between(unix.IPPROTO_ICMPV6), vnl.TcU32Key{Mask: 0xff000000, Val: kind << 24, Off: payloadOffset}))
	}
	return all
}

// between matches what has a link-local source and a next header.
func between(next uint32) admitted {
	return append(within(linkLocals, sourceOffset), vnl.TcU32Key{Mask: 0xff00, Val: next << 8, Off: nextHeaderWord})
}

// inside matches what has a link-local destination too, which is no multicast address.
func inside(next uint32) admitted {
	return append(between(next), within(linkLocals, destinationOffset)...)
}

// admit has the kernel take nothing that comes by a link but what fits.
func (t *Tunnels) admit(index int, all []admitted) error {
	err := t.handle.QdiscAdd(&vnl.Clsact{QdiscAttrs: vnl.QdiscAttrs{
		LinkIndex: index, Parent: vnl.HANDLE_CLSACT, Handle: vnl.MakeHandle(vnl.HANDLE_CLSACT>>16, 0),
	}})
	add := func(priority, protocol uint16, keys admitted, action vnl.TcAct) {
		if err == nil {
			err = t.handle.FilterAdd(&vnl.U32{
				FilterAttrs: vnl.FilterAttrs{LinkIndex: index, Parent: vnl.HANDLE_MIN_INGRESS, Priority: priority, Protocol: protocol},
				Sel:         &vnl.TcU32Sel{Flags: vnl.TC_U32_TERMINAL, Keys: keys},
				Actions:     []vnl.Action{&vnl.GenericAction{ActionAttrs: vnl.ActionAttrs{Action: action}}},
			})
		}
	}
	// A packet is for the first that fits. What fits none is dropped last.
	for i, keys := range all {
		add(uint16(1+i), unix.ETH_P_IPV6, keys, vnl.TC_ACT_OK)
	}
	add(uint16(1+len(all)), unix.ETH_P_ALL, admitted{{}}, vnl.TC_ACT_SHOT)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w; it takes the modules sch_ingress, cls_u32 and act_gact", ErrUnfiltered, err)
	}
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// Filters tries on a link, which takes nothing from then on, whether the kernel can keep
// packets out: nil, or ErrUnfiltered.
func (t *Tunnels) Filters(link string) error {
	l, err := t.handle.LinkByName(link)
	if err != nil {
		return fmt.Errorf("ktunnel: link %s: %w", link, err)
	}
	return t.admit(l.Attrs().Index, nil)
}

// within matches packets whose address at an offset lies in a prefix.
func within(p netip.Prefix, offset int32) (keys admitted) {
	address := p.Addr().As16()
	for at := 0; at < p.Bits(); at += 32 {
		mask := ^uint32(0)
		if rest := p.Bits() - at; rest < 32 {
			mask <<= 32 - rest
		}
		keys = append(keys, vnl.TcU32Key{Mask: mask, Val: binary.BigEndian.Uint32(address[at/8:]) & mask, Off: offset + int32(at/8)})
	}
	return keys
}
