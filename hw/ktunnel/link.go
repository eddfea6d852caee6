package ktunnel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"re6st/hw/netlink"
)

// What vishvananda/netlink does not name, of include/uapi/linux/if_tunnel.h.
const (
	greFwmark      = 20     // IFLA_GRE_FWMARK
	greKey         = 0x2000 // GRE_KEY, in network order
	encapFOU       = 1      // TUNNEL_ENCAP_FOU
	encapChecksums = 1 | 2  // TUNNEL_ENCAP_FLAG_CSUM, _CSUM6
	noEncapLimit   = 1      // IP6_TNL_F_IGN_ENCAP_LIMIT of ip6_tunnel.h: no destination option of RFC 2473
)

// hopLimit is that of outer packets.
const hopLimit = 64

// linkKind is the kernel's name of the sort of link.
func (s *Spec) linkKind() string {
	switch {
	case s.Kind == WireGuard:
		return "wireguard"
	case s.Local.Addr().Is4():
		return "gre"
	default:
		return "ip6gre"
	}
}

// newLink is the request that makes the link, in TunnelGroup and down. vishvananda/netlink
// cannot leave out RFC 2473's option, nor mark.
func (s *Spec) newLink() *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(s.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(s.MTU))))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(netlink.TunnelGroup)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(s.linkKind()))
	if s.Kind != WireGuard {
		s.addGRE(info.AddRtAttr(nl.IFLA_INFO_DATA, nil))
	}
	req.AddData(info)
	return req
}

func (s *Spec) addGRE(data *nl.RtAttr) {
	key := binary.BigEndian.AppendUint32(nil, s.Key)
	data.AddRtAttr(nl.IFLA_GRE_LOCAL, s.Local.Addr().AsSlice())
	data.AddRtAttr(nl.IFLA_GRE_REMOTE, s.Remote.Addr().AsSlice())
	data.AddRtAttr(nl.IFLA_GRE_IKEY, key)
	data.AddRtAttr(nl.IFLA_GRE_OKEY, key)
	data.AddRtAttr(nl.IFLA_GRE_IFLAGS, bigEndian16(greKey))
	data.AddRtAttr(nl.IFLA_GRE_OFLAGS, bigEndian16(greKey))
	data.AddRtAttr(nl.IFLA_GRE_TTL, []byte{hopLimit})
	if s.Local.Addr().Is4() {
		data.AddRtAttr(nl.IFLA_GRE_PMTUDISC, []byte{1})
	} else {
		data.AddRtAttr(nl.IFLA_GRE_FLAGS, nl.Uint32Attr(noEncapLimit))
	}
	if s.Mark != 0 {
		data.AddRtAttr(greFwmark, nl.Uint32Attr(s.Mark))
	}
	if s.Kind == FOU {
		data.AddRtAttr(nl.IFLA_GRE_ENCAP_TYPE, nl.Uint16Attr(encapFOU))
		data.AddRtAttr(nl.IFLA_GRE_ENCAP_FLAGS, nl.Uint16Attr(encapChecksums))
		data.AddRtAttr(nl.IFLA_GRE_ENCAP_SPORT, bigEndian16(s.Local.Port()))
		data.AddRtAttr(nl.IFLA_GRE_ENCAP_DPORT, bigEndian16(s.Remote.Port()))
	}
}

func bigEndian16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// family of an address, as the kernel numbers it.
func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
